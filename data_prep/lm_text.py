"""Sentences to train a language model on: from transcripts, and from plain or gzip text of any size.

A text is read line by line and never kept in memory. A source, or several in a list, may be:

- a manifest, this project's or one of own data (`.csv`, `.tsv`, `.jsonl`, see `data_prep.own`), which is read whole;
- a transcript file of a corpus (an ID, then the words);
- a run folder: the manifests that the run was trained, validated or tested on;
- a corpus folder in LibriSpeech's layout: the transcripts of its train*, dev* or test* splits;
- any other file: one sentence a line, UTF-8, also compressed by gzip (`librispeech-lm-norm.txt.gz`).
"""

import gzip
import json
import random
import zlib
from collections.abc import Iterable, Iterator
from itertools import islice
from pathlib import Path
from typing import BinaryIO, NamedTuple

from data_prep.errors import DataError
from data_prep.files import expand_user
from data_prep.manifest import is_manifest, read_manifest
from data_prep.own import manifest_texts
from data_prep.source import list_source
from data_prep.splits import available_splits, choose_splits, find_corpus
from data_prep.text import normalize
from data_prep.transcripts import NAMES, is_transcript, read_transcript

NO_SPLITS = {"train": [], "valid": [], "test": []}
GZIP = b"\x1f\x8b"  # how every gzip file begins
RUN_MANIFESTS = {"train": "merged/train.csv", "valid": "merged/valid.csv", "test": "*.csv"}
RUN_DATA = "data.json"  # of a run: which of its manifests it was trained and validated on
MANIFESTS = (".csv", ".tsv", ".jsonl")


class TextSize(NamedTuple):
    """The amount of text."""

    sentences: int
    words: int


def text_files(sources: str | Path | Iterable[str | Path], use: str) -> list[Path]:
    """The files of one or several sources, in order. use: train, valid or test, for what a folder holds.

    Raises DataError for a source that does not exist, and for a folder without such text.
    """
    sources = [sources] if isinstance(sources, str | Path) else list(sources)
    return [file for source in sources for file in _files(expand_user(source), use)]


def _files(source: Path, use: str) -> list[Path]:
    if source.is_file():
        return [source]
    if not source.is_dir():
        raise DataError(f"there is no text {source}: give a text file (.gz too), a manifest, a run or a corpus folder")
    if (source / "manifests").is_dir():
        files = sorted((source / "manifests").glob(RUN_MANIFESTS[use]))
        missing = f"the run {source} has no manifests/{RUN_MANIFESTS[use]}"
        if use == "test":
            others = _trained_on(source)
            files = [file for file in files if file.stem not in others]
            missing += " but those that it was trained and validated on"
    else:
        root = find_corpus(source)
        splits = getattr(choose_splits(available_splits(root), **{**NO_SPLITS, use: "auto"}), use)
        files = [file for split in splits for file in _transcripts(root / split)]
        missing = f"the corpus {root} has no {NAMES} in {', '.join(splits)}"
    if not files:
        raise DataError(f"{missing}: name a file with the text")
    return files


def _trained_on(run: Path) -> set[str]:
    """The names of the manifests that a run was trained and validated on, before other data were allowed too.

    Raises DataError where they are not known.
    """
    path = run / RUN_DATA
    try:
        data = json.loads(path.read_text(encoding="utf-8"))
        parts = [data, *data.get("earlier", [])]
        return {name for part in parts for use in ("train", "valid") for name in part[use]["files"]}
    except (OSError, ValueError, KeyError, TypeError):
        raise DataError(
            f"{path} is missing or damaged, which says what the run was not trained on: name a file with the text"
        ) from None


def sentences(files: Iterable[Path]) -> Iterator[str]:
    """The sentences of all files in order, spelled by `normalize`; empty lines are left out.

    Raises DataError with file and line for what is no UTF-8, and for damaged gzip files and manifests.
    """
    for file in files:
        for line in _lines(Path(file)):
            words = normalize(line)
            if words:
                yield words


def count(files: Iterable[Path]) -> TextSize:
    """Read all files once, so that a damaged line is reported before hours of training.

    Raises DataError as `sentences` does, and for files without a word.
    """
    files, total, words = list(files), 0, 0
    for sentence in sentences(files):
        total, words = total + 1, words + sentence.count(" ") + 1
    if not total:
        raise DataError(f"{', '.join(map(str, files[:3]))}: no sentence in it; give a text with words")
    return TextSize(total, words)


def shuffled(items: Iterable, buffer: int, key: str) -> Iterator[list]:
    """Lists of ``buffer`` items (the last may be shorter), each in an order that follows from ``key`` alone.

    No more than a list is held in memory. An item stays within its list, so that in a sorted text the neighbours
    of an item change, and not the region.
    """
    generator, items = random.Random(key), iter(items)
    while block := list(islice(items, buffer)):
        generator.shuffle(block)
        yield block


def _lines(file: Path) -> Iterator[str]:
    if file.name.lower().removesuffix(".gz").endswith(MANIFESTS):
        yield from (row["wrd"] for row in read_manifest(file)) if is_manifest(file) else manifest_texts(file)
        return
    if is_transcript(file.name):
        yield from _transcript_words(file)
        return
    number = 0
    try:
        with _open(file) as stream:
            for number, line in enumerate(stream, 1):
                yield line.decode("utf-8-sig" if number == 1 else "utf-8")
    except UnicodeDecodeError:
        raise _not_utf8(file, number) from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{file} is damaged after line {number} ({error}); fetch it again") from None


def _transcript_words(file: Path) -> Iterator[str]:
    for line in read_transcript(file):
        if line.words is None:
            raise _not_utf8(file, line.number)
        yield line.words


def _transcripts(split: Path) -> Iterator[Path]:
    for folder in list_source(split)[0]:
        yield from (split / folder.file(name) for name in folder.transcripts)


def _not_utf8(file: Path, number: int) -> DataError:
    return DataError(f"{file}, line {number}: not UTF-8 text; convert it, iconv -f latin1 -t utf-8")


def _open(file: Path) -> BinaryIO:
    with open(file, "rb") as stream:
        compressed = stream.read(len(GZIP)) == GZIP
    if compressed:
        return gzip.open(file)
    if file.suffix == ".gz":
        raise DataError(f"{file} is no gzip file: fetch it again, or take .gz from its name if it is plain text")
    return open(file, "rb")
