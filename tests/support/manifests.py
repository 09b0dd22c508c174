"""Manifests for tests."""

from collections.abc import Iterable

from data_prep.manifest import csv_blocks


def to_csv(rows: Iterable) -> bytes:
    """The manifest of these rows, each in the order of `data_prep.manifest.COLUMNS`."""
    return b"".join(csv_blocks(rows))
