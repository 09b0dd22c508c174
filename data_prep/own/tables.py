"""Rows of CSV files, and of files with a JSON object a line; Lhotse's cuts are told by what a line holds."""

import csv
import io
import json
import re
from collections.abc import Iterator
from pathlib import Path

from data_prep.errors import DataError
from data_prep.own.lhotse import cut_rows, is_cut, not_cuts
from data_prep.own.rows import BadRow, Row, missing_fields, named_twice, row_of

TABLES = (".csv", ".tsv")
Record = tuple[int, list[str]]  # number of the line, values


def csv_rows(path: Path, content: str) -> Iterator[Row | BadRow]:
    """Raises DataError where the first line names no column for the audio, or for the text, or a column twice."""
    is_tsv = path.name.lower().removesuffix(".gz").endswith(".tsv")
    records = tsv_records(content) if is_tsv else csv_records(path, content)
    _, first = next(records, (1, []))
    columns = [name.strip() for name in first]
    if missing := missing_fields(columns):
        line = ("\t" if is_tsv else ",").join(columns)
        raise DataError(f"{path}: no column for {' and '.join(missing)}; its first line is {line!r}{hint(columns)}")
    if twice := named_twice(columns):
        raise DataError(f"{path}: two columns are named '{twice[0]}': rename or remove one")
    for number, values in records:
        place = f"{path}:{number}"
        if len(values) != len(columns):
            yield BadRow(place, f"{len(values)} columns where the first line has {len(columns)}")
        else:
            yield row_of(place, dict(zip(columns, values, strict=True)))


def hint(columns: list[str]) -> str:
    """What may be wrong with a first line that lacks a column."""
    if not missing_fields([name.lower() for name in columns]):
        return ": write the names in small letters"
    if len(columns) == 1 and re.search("[;\t|]", columns[0]):
        return ": separate the values by commas, or by tabs in a file that ends in .tsv"
    return ""


def csv_records(path: Path, content: str) -> Iterator[Record]:
    """Raises DataError for quotes that do not end, which would hide all rows after them."""
    reader = csv.reader(io.StringIO(content, newline=""), skipinitialspace=True, strict=True)
    begin = 1
    try:
        for values in reader:
            if values:
                yield reader.line_num, values
            begin = reader.line_num + 1
    except csv.Error as error:
        raise DataError(
            f"{path}, line {begin}: {error}; a value in quotes ends with one, and those inside are doubled"
        ) from None


def tsv_records(content: str) -> Iterator[Record]:
    """Lines and tabs alone: quotes are text, as in Common Voice, but for those around a whole value, as of csv."""
    for number, line in enumerate(content.split("\n"), 1):
        if line.strip():
            yield number, [QUOTED.sub(unquoted, value) for value in line.split("\t")]


QUOTED = re.compile(r'\s*"((?:[^"]|"")*)"\s*\Z')


def unquoted(match: re.Match) -> str:
    return match[1].replace('""', '"')


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
