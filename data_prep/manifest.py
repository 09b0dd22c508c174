"""Manifests: CSV files with the columns of SpeechBrain's LibriSpeech recipe, which can read them too.

ID, duration (seconds), wav (`$data_root/<split>/SPK/CHAP/ID.flac`, so that a corpus can move), spk_id
(`SPK-CHAP`: speaker and chapter), wrd (the words, as `data_prep.text.normalize` spells them). The column wav of a part
of a longer file ends as `data_prep.segments` writes it.
"""

import csv
import io
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.errors import DataError
from data_prep.files import blocks_checksum, checksum, write_atomically

HOMOPHONES_FILE = "HOMOPHONES.TXT"  # beside the splits: pairs of words that sound alike, one pair a line
UNKNOWN_SPEAKER = "unknown"  # in the column spk_id
DATA_ROOT = "$data_root"  # in the column wav: stands for the folder of the corpus
ROWS_AT_A_TIME = 4096  # in memory as text
BYTES_AT_A_TIME = 1 << 20
COLUMNS = ["ID", "duration", "wav", "spk_id", "wrd"]


def read_manifest(manifest) -> Iterator[dict[str, str]]:
    """Yield the rows of a manifest as dicts of text. Raises DataError when it is missing, damaged or no manifest."""
    return (dict(zip(COLUMNS, row, strict=True)) for row in read_rows(manifest))


def is_manifest(path) -> bool:
    """Whether a file begins as a manifest does."""
    with open(path, "rb") as file:
        return file.readline(1000).rstrip(b"\r\n") == ",".join(COLUMNS).encode()


def read_rows(manifest) -> Iterator[list[str]]:
    """Yield the rows of a manifest in the order of COLUMNS. Raises DataError as `read_manifest` does."""
    if not Path(manifest).is_file():
        raise DataError(f"no manifest {manifest}: write it with python -m data_prep.librispeech")
    with open(manifest, newline="", encoding="utf-8") as file:
        try:
            reader = csv.reader(file)
            if next(reader, None) != COLUMNS:
                raise DataError(
                    f"{manifest} is no manifest: its first line isn't {','.join(COLUMNS)}; python -m data_prep.own "
                    "makes one of own data"
                )
            for row in reader:
                if len(row) != len(COLUMNS):
                    raise DataError(f"{manifest}, line {reader.line_num}: not {len(COLUMNS)} columns; prepare it again")
                yield row
        except (UnicodeDecodeError, csv.Error) as error:
            raise DataError(f"{manifest} is unreadable ({error}); prepare it again") from None


def located(path: str, root) -> str:
    """A path of the column wav, with `root` in place of `$data_root`."""
    return path.replace(DATA_ROOT, str(root), 1)


def merge(manifests: Iterable, out_csv) -> Path:
    """Write the rows of several manifests to `out_csv`, in order; an unchanged file is not written again.

    Raises DataError when an utterance ID occurs twice.
    """
    manifests, out_csv, origin = list(manifests), Path(out_csv), {}
    for manifest in manifests:
        for row in read_rows(manifest):
            if row[0] in origin:
                raise DataError(f"utterance {row[0]} is in both {origin[row[0]]} and {manifest}; leave one out")
            origin[row[0]] = manifest
    if checksum(out_csv) != blocks_checksum(_joined(manifests)):
        out_csv.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(out_csv, _joined(manifests))
    return out_csv


def _joined(manifests: list) -> Iterator[bytes]:
    """The content of all manifests, their first lines once."""
    yield from csv_blocks([])
    for manifest in manifests:
        block = b""
        with open(manifest, "rb") as file:
            file.readline()
            while more := file.read(BYTES_AT_A_TIME):
                block = more
                yield block
        if block and not block.endswith(b"\n"):
            yield b"\n"


def csv_blocks(rows: Iterable) -> Iterator[bytes]:
    """The manifest of these rows, each in the order of COLUMNS, in blocks."""
    text = io.StringIO(newline="")
    writer = csv.writer(text, lineterminator="\n")
    writer.writerow(COLUMNS)
    for number, row in enumerate(rows, 1):
        writer.writerow(row)
        if number % ROWS_AT_A_TIME == 0:
            yield text.getvalue().encode()
            text.seek(0)
            text.truncate()
    yield text.getvalue().encode()


def speaker_of(spk_id: str) -> str | None:
    """The speaker in the column spk_id, None where the corpus does not name it."""
    speaker = spk_id.partition("-")[0]
    return None if speaker == UNKNOWN_SPEAKER else speaker
