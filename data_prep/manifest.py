"""Manifests: CSV files with the columns of SpeechBrain's LibriSpeech recipe, which can read them too.

ID, duration (seconds), wav (`$data_root/<split>/SPK/CHAP/ID.flac`, so that a corpus can move), spk_id
(`SPK-CHAP`), wrd (the words).
"""

import csv
import hashlib
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.errors import DataError
from data_prep.files import checksum, write_atomically

HOMOPHONES_FILE = "HOMOPHONES.TXT"  # beside the splits: pairs of words that sound alike, one pair a line
COLUMNS = ["ID", "duration", "wav", "spk_id", "wrd"]


def read_manifest(manifest) -> Iterator[dict[str, str]]:
    """Yield the rows of a manifest as dicts of text. Raises DataError when it is missing, damaged or no manifest."""
    if not Path(manifest).is_file():
        raise DataError(f"no manifest {manifest}: write it with python -m data_prep.librispeech")
    with open(manifest, newline="", encoding="utf-8") as file:
        try:
            reader = csv.DictReader(file)
            if reader.fieldnames != COLUMNS:
                raise DataError(f"{manifest} is no manifest: its first line isn't {','.join(COLUMNS)}")
            for row in reader:
                if None in row or None in row.values():
                    raise DataError(f"{manifest}, line {reader.line_num}: not {len(COLUMNS)} columns; prepare it again")
                yield row
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{manifest} is unreadable ({error}); prepare it again") from None


def utterances_by_id(manifest, root) -> dict[str, dict]:
    """The rows of a manifest as SpeechBrain's datasets take them: ID → duration (seconds), wav (a path), wrd.

    `$data_root` stands for `root` in the column wav alone, so that a `$` among the words stays what it is.
    Raises DataError as `read_manifest` does, and for an ID that occurs twice.
    """
    utterances = {}
    for row in read_manifest(manifest):
        if row["ID"] in utterances:
            raise DataError(f"{manifest}: utterance {row['ID']} is in it twice; prepare it again")
        path = row["wav"].replace("$data_root", str(root), 1)
        utterances[row["ID"]] = {"duration": float(row["duration"]), "wav": path, "wrd": row["wrd"]}
    return utterances


def merge(manifests: Iterable, out_csv) -> Path:
    """Write the rows of several manifests to `out_csv`, in order; an unchanged file is not written again.

    Raises DataError when an utterance ID occurs twice.
    """
    origin, rows = {}, []
    for manifest in manifests:
        for row in read_manifest(manifest):
            if row["ID"] in origin:
                raise DataError(f"utterance {row['ID']} is in both {origin[row['ID']]} and {manifest}; leave one out")
            origin[row["ID"]] = manifest
            rows.append(list(row.values()))
    out_csv, content = Path(out_csv), to_csv(rows)
    if checksum(out_csv) != hashlib.sha256(content).hexdigest():
        out_csv.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out_csv, content)
    return out_csv


def to_csv(rows: Iterable[list]) -> bytes:
    """The manifest of these rows, each in the order of COLUMNS."""
    text = io.StringIO(newline="")
    csv.writer(text, lineterminator="\n").writerows([COLUMNS, *rows])
    return text.getvalue().encode()
