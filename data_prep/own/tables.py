"""Rows of CSV files, and of files with a JSON object a line; Lhotse's cuts are told by what a line holds."""

import csv
import io
import json
from collections.abc import Iterator
from pathlib import Path

from data_prep.errors import DataError
from data_prep.own.lhotse import cut_rows, is_cut, not_cuts
from data_prep.own.rows import BadRow, Row, missing_fields, row_of

SEPARATORS = {".csv": ",", ".tsv": "\t"}


def csv_rows(path: Path, content: str) -> Iterator[Row | BadRow]:
    """Raises DataError where the first line names no column for the audio, or for the text."""
    separator = SEPARATORS[path.name.removesuffix(".gz")[-4:].lower()]
    reader = csv.reader(io.StringIO(content, newline=""), delimiter=separator, skipinitialspace=True)
    try:
        columns = [name.strip() for name in next(reader, [])]
        if missing := missing_fields(columns):
            raise DataError(f"{path}: no column for {' and '.join(missing)}; its first line is {','.join(columns)!r}")
        for values in reader:
            place = f"{path}:{reader.line_num}"
            if not values:
                continue
            if len(values) != len(columns):
                yield BadRow(place, f"{len(values)} columns where the first line has {len(columns)}")
            else:
                yield row_of(place, dict(zip(columns, values, strict=True)))
    except csv.Error as error:
        raise DataError(f"{path}, line {reader.line_num}: {error}; write it again as CSV") from None


def json_rows(path: Path, content: str) -> Iterator[Row | BadRow]:
    """Raises DataError for a manifest of Lhotse that holds no cuts."""
    for number, line in enumerate(content.split("\n"), 1):
        if not line.strip():
            continue
        place = f"{path}:{number}"
        try:
            values = json.loads(line)
        except ValueError:
            yield BadRow(place, "no JSON object")
            continue
        if not isinstance(values, dict):
            yield BadRow(place, "no JSON object")
        elif is_cut(values):
            yield from cut_rows(place, values)
        elif kind := not_cuts(values):
            raise DataError(f"{path} is Lhotse's manifest of {kind}: give one of cuts (lhotse cut simple makes it)")
        elif missing := missing_fields(values):
            yield BadRow(place, f"no {' and no '.join(missing)}")
        else:
            yield row_of(place, values)
