"""A user's manifest turned into this project's: where the audio lies, who speaks, and what is wrong."""

import gzip
import hashlib
import os
import re
import zlib
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path

from data_prep.errors import DataError
from data_prep.manifest import DATA_ROOT, UNKNOWN_SPEAKER
from data_prep.own.kaldi import files_of, is_data_folder, kaldi_rows
from data_prep.own.rows import BadRow, Row
from data_prep.own.tables import TABLES, csv_rows, json_rows
from data_prep.problems import BAD_ROW, DUPLICATE, NO_FILE
from data_prep.segments import parse_segment
from data_prep.split_manifest import Content, SplitWriter, Utterance
from data_prep.text import is_utf8, printable
from data_prep.transcripts import UTF16

FORMAT = 2  # raise it when the same manifest would give another
KINDS = "a CSV or TSV file, a file with a JSON object a line (.jsonl), both also .gz, or a data folder of Kaldi"
ENDING = re.compile(r"(\.(csv|tsv|jsonl|json|txt))?(\.gz)?$", re.IGNORECASE)
GZIP = b"\x1f\x8b"


def manifest_names(paths: Iterable[Path]) -> dict[Path, str]:
    """The name of each manifest in reports: that of its file, after its folder's where several have the same.

    Raises DataError where two are called the same nevertheless.
    """
    paths = list(paths)
    for path in paths:
        if not is_utf8(str(path)):
            raise DataError(f"{printable(str(path))} is no UTF-8 name: rename it")
    stems = {path: _in_one_word(ENDING.sub("", path.name) or path.name) for path in paths}
    counts, names = Counter(stems.values()), {}
    for path, stem in stems.items():
        name = stem if counts[stem] == 1 else f"{_in_one_word(path.parent.name)}-{stem}"
        if name in names.values():
            others = [other for other in names if names[other] == name]
            raise DataError(f"two manifests would be called {name}, {others[0]} and {path}: rename one")
        names[path] = name
    return names


def check_source(source: Path) -> None:
    """Raises DataError for what does not exist, and for another folder than Kaldi's."""
    if source.is_dir() and not is_data_folder(source):
        raise DataError(f"{source} is no manifest: give {KINDS}, with wav.scp and text")
    if not source.exists():
        raise DataError(f"no manifest {source}: give {KINDS}")


def prepare_manifest(source: Path, root: Path, writer: SplitWriter, data_folder: Path | None = None) -> Path:
    """Write the manifest of `source`; what is there stays when neither `source` nor its audio has changed.

    root: the folder that `$data_root` stands for; audio outside it has absolute paths. data_folder: where relative
    paths are looked for that are not in the manifest's own folder, and what `$data_root` in `source` stands for.
    Raises DataError for a source that cannot be read, and where `writer` refuses it.
    """
    digest = hashlib.sha256(f"own {FORMAT}".encode())
    rows = list(_read(source, digest))
    places = _Places(source.parent if source.is_file() else source, root, data_folder)
    content, marks = _content(source, rows, places)
    digest.update("".join(marks).encode(errors="surrogateescape"))
    fingerprint = digest.hexdigest()
    if writer.is_unchanged(fingerprint):
        return writer.manifest
    for speaker, names in alike(row.speaker for row in rows if isinstance(row, Row)).items():
        writer.say(f"note on {writer.split}: {', '.join(names)} count as one speaker, {speaker}")
    return writer.write(content, fingerprint)


def alike(speakers: Iterable[str]) -> dict[str, list[str]]:
    """The names of speakers that the manifest writes alike, by what it writes."""
    written: dict[str, set[str]] = defaultdict(set)
    for name in speakers:
        written[_speaker(name)].add(" ".join(name.split()))
    return {speaker: sorted(names) for speaker, names in written.items() if len(names) > 1}


def manifest_texts(source: Path) -> Iterator[str]:
    """The words of each row, as they are written. Raises DataError for a source, or a row, that cannot be read."""
    for row in _read(source, hashlib.sha256()):
        if isinstance(row, BadRow):
            raise DataError(f"{row.place}: {row.reason}; correct the row, or take it out")
        yield row.text


def _read(source: Path, digest) -> Iterator[Row | BadRow]:
    check_source(source)
    if source.is_dir():
        contents = {path.name: _text(path, digest) for path in files_of(source)}
        return kaldi_rows(source, contents)
    content = _text(source, digest)
    if source.name.lower().removesuffix(".gz").endswith(tuple(TABLES)):
        return csv_rows(source, content)
    if content.lstrip()[:1] != "{" and content.strip():
        raise DataError(f"{source} is no manifest: give {KINDS}")
    return json_rows(source, content)


def _text(path: Path, digest) -> str:
    """The text of a file, compressed or not."""
    content = path.read_bytes()
    digest.update(content)
    try:
        content = gzip.decompress(content) if content.startswith(GZIP) else content
        encoding = "utf-16" if content.startswith(UTF16) else "utf-8-sig"
        return content.decode(encoding).replace("\r\n", "\n")
    except UnicodeDecodeError as error:
        line = content[: error.start].count(b"\n") + 1
        raise DataError(f"{path}, line {line}: not UTF-8 text; convert it, iconv -f latin1 -t utf-8") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise DataError(f"{path} is damaged ({error}): write it again") from None


class _Places:
    """Where audio lies: its path on disk, and as the manifest has it; a mark of each file for the fingerprint."""

    def __init__(self, folder: Path, root: Path, data_folder: Path | None):
        self.folder, self.root, self.data_folder = str(folder), str(root), data_folder
        self.marks: dict[str, str | None] = {}  # by path; None where there is no such file

    def path(self, audio: str) -> str:
        """Absolute."""
        for placeholder in (DATA_ROOT, "{data_root}"):
            if audio.startswith(placeholder):
                folder, rest = self.data_folder or self.folder, audio.removeprefix(placeholder)
                inner = os.path.normpath(f"{folder}/LibriSpeech{rest}")  # as of corpora, the folder may be the parent
                path = os.path.normpath(f"{folder}{rest}")
                return inner if self.mark(path) is None and self.mark(inner) is not None else path
        path = os.path.normpath(os.path.join(self.folder, audio))
        if self.data_folder is not None and not os.path.isabs(audio) and self.mark(path) is None:
            return os.path.normpath(os.path.join(self.data_folder, audio))
        return path

    def mark(self, path: str) -> str | None:
        if path not in self.marks:
            try:
                status = os.stat(path)
                self.marks[path] = f"{status.st_size}\0{status.st_mtime_ns}"
            except (OSError, ValueError):  # ValueError: a zero byte in the name
                self.marks[path] = None
        return self.marks[path]

    def in_manifest(self, path: str) -> str:
        """`$data_root/…` below the root."""
        return f"{DATA_ROOT}/{os.path.relpath(path, self.root)}" if _is_below(path, self.root) else path

    def name(self, path: str) -> str:
        """An ID for an utterance without one: its path below the manifest's or the data folder, without ending."""
        folders = [folder for folder in (self.folder, self.data_folder) if folder and _is_below(path, str(folder))]
        relative = os.path.relpath(path, folders[0]) if folders else path.lstrip("/")
        return os.path.splitext(relative)[0].replace("/", "-")


def _content(source: Path, rows: list[Row | BadRow], places: _Places) -> tuple[Content, list[str]]:
    """What was found, and the marks of the files."""
    problems: dict[str, list[str]] = defaultdict(list)
    first_lines: dict[str, str] = {}
    utterances: dict[str, Utterance] = {}
    seen: Counter[str] = Counter()
    for row in rows:
        if isinstance(row, BadRow):
            problems[BAD_ROW].append(row.place)
            first_lines.setdefault(BAD_ROW, f"{row.place}: {row.reason}")
            continue
        path = places.path(row.audio)
        utterance = _utterance(row, path, places)
        seen[utterance.id] += 1
        if parse_segment(path).end is not None:
            problems[BAD_ROW].append(row.place)
            first_lines.setdefault(BAD_ROW, f"{row.place}: a file's name must not end in #t=SECONDS,SECONDS")
        elif places.mark(path) is None:
            problems[NO_FILE].append(utterance.id)
            first_lines.setdefault(NO_FILE, f"{row.place} '{row.audio}'")
        else:
            utterances[utterance.id] = utterance
    repeated = {identifier for identifier, count in seen.items() if count > 1}
    problems[DUPLICATE] += (identifier for identifier in repeated for _ in range(seen[identifier]))
    kept = [utterances[identifier] for identifier in sorted(utterances.keys() - repeated)]
    problems[NO_FILE] = [identifier for identifier in problems[NO_FILE] if identifier not in repeated]
    bad = sum(isinstance(row, BadRow) for row in rows)
    content = Content(str(source), Path(places.root), kept, seen.total() + bad, problems, first_lines)
    marks = [f"\0{places.in_manifest(path)}\0{mark}" for path, mark in sorted(places.marks.items())]
    return content, marks


def _utterance(row: Row, path: str, places: _Places) -> Utterance:
    identifier = row.id
    if not identifier:
        identifier = places.name(path)
        if row.start is not None or row.end is not None:
            identifier += f"-{row.start or 0.0:09.3f}"
    audio = places.in_manifest(path)
    return Utterance(_in_one_word(identifier), audio, _speaker(row.speaker), row.text, row.start, row.end, row.channels)


def _speaker(name: str) -> str:
    """As the manifest has it, whose "-" parts speaker and chapter."""
    return re.sub(r"[\s-]+", "_", name.strip()) or UNKNOWN_SPEAKER


def _is_below(path: str, folder: str) -> bool:
    return path.startswith(f"{folder.rstrip(os.sep)}{os.sep}")


def _in_one_word(text: str) -> str:
    return "_".join(text.split())
