"""LibriSpeech folder to manifests: `python -m data_prep.librispeech DATA_FOLDER OUT`.

The rule for bad data: an utterance with a problem is left out and reported by name; a split with none left,
or with more than a tenth left out, is refused. Hidden files (a leading dot) are no part of a corpus.
"""

import argparse
import hashlib
import json
import os
import posixpath
import re
from collections import Counter, defaultdict
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple

import soundfile
from tqdm import tqdm

from data_prep.errors import DataError, command_line
from data_prep.files import checksum, write_atomically
from data_prep.manifest import merge, read_manifest, to_csv
from data_prep.splits import Roles, available_splits, choose_splits, find_corpus, named_splits

__all__ = [
    "Prepared",
    "Roles",
    "choose_splits",
    "find_corpus",
    "merge",
    "prepare",
    "prepare_split",
    "read_manifest",
]

SAMPLE_RATE = 16000
LEFT_OUT_AT_MOST = 0.1  # of a split's utterances
NAMES_SHOWN = 5  # per kind of problem; the report file has them all
REPORT_FORMAT = 1  # raise it when the same source would give another manifest
AUDIO = (".flac", ".wav")
TRANSCRIPT = ".trans.txt"
UTTERANCE_ID = re.compile(r"[^\s-]+-[^\s-]+-[^\s-]+")


class Prepared(NamedTuple):
    """The folder that `$data_root` stands for, and the manifest of each split by use, in order."""

    root: Path
    train: dict[str, Path]
    valid: dict[str, Path]
    test: dict[str, Path]


def prepare(
    data_folder,
    out_folder,
    train="auto",
    valid="auto",
    test="auto",
    workers: int | None = None,
    progress=True,
) -> Prepared:
    """Choose splits (see `choose_splits`) and write `out_folder/<split>.csv` for each; prints what it found.

    Raises DataError for a folder without corpus, a missing split, or a split that is refused.
    """
    root = find_corpus(data_folder)
    try:
        roles = choose_splits(available_splits(root), train, valid, test)
    except DataError as error:
        raise DataError(f"{root}: {error}") from None
    if roles.note:
        print(roles.note)
    names = dict.fromkeys(roles.train + roles.valid + roles.test)
    manifests = {name: prepare_split(root, name, out_folder, workers, progress) for name in names}
    return Prepared(root, *({name: manifests[name] for name in use} for use in roles[:3]))


def prepare_split(root, split: str, out_folder, workers: int | None = None, progress=True) -> Path:
    """Write `out_folder/<split>.csv` and its report `<split>.json`; both stay when the source hasn't changed.

    The report holds a fingerprint of the source (names, sizes, times of change; relative, so that a corpus
    may move), counts, hours and every problem by name. Raises DataError when the split is refused.
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    if workers < 1:
        raise DataError(f"workers is {workers}: give 1 or more")
    out_folder = Path(out_folder)
    out_folder.mkdir(parents=True, exist_ok=True)
    manifest, report_file = out_folder / f"{split}.csv", out_folder / f"{split}.json"
    folder = Path(root) / split
    chapters, fingerprint = _list_source(folder)
    report = _read_report(report_file)
    if report.get("fingerprint") == fingerprint and report["csv_sha256"] == (checksum(manifest) or "no file"):
        _print_report(report, report_file)
        return manifest

    lines, found, problems = _pair(folder, chapters, workers)
    rows, rates = [], Counter()
    measures = _measure_all([folder / path for _, path, _ in lines], workers, progress, split)
    for (identifier, path, words), measure in zip(lines, measures, strict=True):
        if isinstance(measure, str):
            problems[measure].append(identifier)
            continue
        frames, rate = measure
        rates[rate] += 1
        speaker_chapter = identifier.rsplit("-", 1)[0]
        # 7 decimals bring back the number of samples at any usual rate; at 16 kHz they are exact.
        rows.append([identifier, round(frames / rate, 7), f"$data_root/{split}/{path}", speaker_chapter, words])

    refused = not rows or found - len(rows) > LEFT_OUT_AT_MOST * found
    content = to_csv(rows)
    report = {
        "fingerprint": fingerprint,
        "csv_sha256": None if refused else hashlib.sha256(content).hexdigest(),
        "split": split,
        "utterances": len(rows),
        "utterances_found": found,
        "hours": round(sum(row[1] for row in rows) / 3600, 6),
        "speakers": len({row[0].split("-")[0] for row in rows}),
        "sample_rates": {str(rate): count for rate, count in sorted(rates.items())},
        "problems": {kind: sorted(names) for kind, names in sorted(problems.items()) if names},
    }
    if not refused:
        write_atomically(manifest, content)
    write_atomically(report_file, json.dumps(report, indent=1).encode())
    _print_report(report, report_file)
    if refused:
        unusable = f"{found - len(rows)} of {found} utterances are unusable" if found else "no utterance in it"
        raise DataError(
            f"{folder}: {unusable}; a split is refused when nothing is usable or more than 10 % is not"
            f" (each problem by name in {report_file}): repair it, fetch it again or choose other splits"
        )
    return manifest


def _list_source(folder: Path) -> tuple[dict[str, list[str]], str]:
    """Audio and transcript names by chapter folder (relative to the split), and their fingerprint."""

    def refuse(error):
        raise DataError(f"can't list {error.filename}: {error.strerror}")

    chapters = {}
    digest = hashlib.sha256(f"format {REPORT_FORMAT}".encode())
    for parent, subfolders, names in os.walk(folder, onerror=refuse, followlinks=True):
        subfolders[:] = sorted(name for name in subfolders if not name.startswith("."))
        names = [name for name in sorted(names) if not name.startswith(".")]
        names = [name for name in names if name.lower().endswith((TRANSCRIPT, *AUDIO))]
        if not names:
            continue
        chapter = Path(parent).relative_to(folder).as_posix()
        chapters[chapter] = names
        for name in names:
            try:
                status = os.stat(os.path.join(parent, name))
                mark = f"{status.st_size}\0{status.st_mtime_ns}"
            except FileNotFoundError:  # a link to nowhere: reported as damaged when it's read
                mark = "nowhere"
            digest.update(f"\0{chapter}/{name}\0{mark}".encode(errors="surrogateescape"))
    return chapters, digest.hexdigest()


def _pair(folder: Path, chapters: dict[str, list[str]], workers: int):
    """Pair transcript lines with audio files of the same chapter.

    Returns (ID, audio path relative to the split, words) sorted by ID; the number of utterances of which
    there is a line or an audio file; and the problems, kind → names.
    """
    transcripts = [
        posixpath.normpath(f"{chapter}/{name}")
        for chapter, names in chapters.items()
        for name in names
        if name.lower().endswith(TRANSCRIPT)
    ]
    with ThreadPoolExecutor(workers) as pool:
        texts = dict(zip(transcripts, pool.map(lambda path: _read_text(folder / path), transcripts), strict=True))
    problems = defaultdict(list)
    pairs, seen, repeated = {}, set(), set()
    for chapter, names in chapters.items():
        audio, lines, has_transcript = {}, {}, False
        for name in names:
            path = posixpath.normpath(f"{chapter}/{name}")
            if path not in texts:
                _add(audio, Path(name).stem, path, repeated)
                continue
            has_transcript = True
            for number, line in enumerate(texts[path].split("\n"), 1):
                identifier, *words = line.split() or [""]
                if UTTERANCE_ID.fullmatch(identifier) and "\N{REPLACEMENT CHARACTER}" not in line:
                    _add(lines, identifier, " ".join(words), repeated)
                elif identifier:
                    problems["malformed transcript line"].append(f"{path}:{number}")
        if has_transcript:
            problems["audio without transcript line"] += audio.keys() - lines.keys()
        else:
            problems["chapter without transcript file"].append(f"{chapter} ({len(audio)} audio files)")
        problems["transcript line without audio"] += lines.keys() - audio.keys()
        repeated |= seen & (audio.keys() | lines.keys())
        seen |= audio.keys() | lines.keys()
        for identifier in audio.keys() & lines.keys():
            if lines[identifier]:
                pairs[identifier] = audio[identifier], lines[identifier]
            else:
                problems["empty transcript"].append(identifier)
    # Nobody can tell which of two is the right one, so an ID that occurs twice is left out altogether.
    problems["duplicate ID"] += repeated
    usable = sorted(pairs.keys() - repeated)
    return [(identifier, *pairs[identifier]) for identifier in usable], len(seen), problems


def _add(entries: dict, identifier: str, value: str, repeated: set) -> None:
    if identifier in entries:
        repeated.add(identifier)
    entries[identifier] = value


def _read_text(path: Path) -> str:
    try:
        return path.read_text(encoding="utf-8-sig", errors="replace")
    except FileNotFoundError:  # a link to nowhere: its audio is reported as having no line
        return ""


def _measure_all(paths: list[Path], workers: int, progress: bool, label: str) -> list:
    """`_measure` of each path, in order.

    By threads: on cached files processes were a fifth faster, but would first import all that the caller has.
    """
    batches = [paths[start : start + 64] for start in range(0, len(paths), 64)]
    measures = []
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(paths), desc=label, unit="file", disable=not progress, leave=False) as bar,
    ):
        for batch in pool.map(lambda batch: [_measure(path) for path in batch], batches):
            measures += batch
            bar.update(len(batch))
    return measures


def _measure(path: Path) -> tuple[int, int] | str:
    """Number of samples and sample rate by the file's header, or the kind of problem.

    The last sample is decoded too (0.1 ms), since a FLAC file that is cut short, if by one byte, doesn't give
    it. A WAV file that is cut short simply counts as shorter.
    """
    try:
        if path.stat().st_size == 0:
            return "empty audio file"
        with soundfile.SoundFile(path) as audio:
            if audio.frames == 0:
                return "empty audio file"
            if audio.channels != 1:
                return "audio with more than one channel"
            audio.seek(audio.frames - 1)
            if len(audio.read(1)) == 1:
                return audio.frames, audio.samplerate
    except (OSError, soundfile.LibsndfileError):
        pass
    return "damaged audio file"


def _read_report(path: Path) -> dict:
    try:
        report = json.loads(path.read_text())
        return report if isinstance(report, dict) and "csv_sha256" in report else {}
    except (OSError, ValueError):
        return {}


def _print_report(report: dict, report_file: Path) -> None:
    print(
        f"{report['split']:<16} {report['utterances']:>7} utterances {report['hours']:>8.2f} hours"
        f" {report['speakers']:>5} speakers"
    )
    for kind, names in report["problems"].items():
        more = f", … (all in {report_file})" if len(names) > NAMES_SHOWN else ""
        print(f"  left out: {kind}: {len(names)}: {', '.join(names[:NAMES_SHOWN])}{more}")
    for rate, count in report["sample_rates"].items():
        if int(rate) != SAMPLE_RATE:
            print(
                f"  kept: {count} of {report['utterances']} files at {rate} Hz;"
                f" training resamples them to {SAMPLE_RATE} Hz"
            )


@command_line
def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m data_prep.librispeech", description="LibriSpeech to manifests.")
    parser.add_argument("data_folder", help="folder that holds train-*, dev-*, test-*, or its parent")
    parser.add_argument("out_folder", help="where <split>.csv and the report <split>.json go")
    parser.add_argument("--splits", nargs="+", metavar="NAME", help="only these (default: all that are there)")
    parser.add_argument("--workers", type=int, help="files read at a time (default: number of cores)")
    arguments = parser.parse_args(argv)
    root = find_corpus(arguments.data_folder)
    splits = available_splits(root)
    if arguments.splits:
        splits = named_splits(splits, arguments.splits)
    for split in splits:
        prepare_split(root, split, arguments.out_folder, arguments.workers)


if __name__ == "__main__":
    raise SystemExit(main())
