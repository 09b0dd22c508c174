"""LibriSpeech folder to manifests: `python -m data_prep.librispeech DATA_FOLDER OUT`.

The rule for bad data: an utterance with a problem is left out and reported by name; a split with none left,
or with more than a tenth left out, is refused. Only headers of audio files are read; `--check` decodes them.
Corpora of other layouts are read by the same rules: see `data_prep.problems.RULES` and docs/data.md.
"""

import argparse
import json
import math
import os
from collections import Counter
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import NamedTuple, TypeVar

from tqdm import tqdm

from data_prep import audio
from data_prep.errors import DataError, command_line
from data_prep.files import checksum, write_atomically
from data_prep.manifest import csv_blocks, merge, read_manifest, speaker_of
from data_prep.overlap import overlaps
from data_prep.pairing import pair, speaker_and_chapter
from data_prep.report import print_report, read_report, refusal
from data_prep.source import list_source
from data_prep.splits import Roles, available_splits, choose_splits, find_corpus, named_splits
from data_prep.text import is_utf8, printable

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

LEFT_OUT_AT_MOST = 0.1  # of a split's utterances
FILES_AT_A_TIME = 256  # per task of a thread
DECODED_PER_SECOND = 2500  # seconds of speech that a core decodes in a second, about

Result = TypeVar("Result")


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
    check=False,
) -> Prepared:
    """Choose splits (see `choose_splits`) and write `out_folder/<split>.csv` for each; prints reports and overlaps.

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
    manifests = {name: prepare_split(root, name, out_folder, workers, progress, check) for name in names}
    prepared = Prepared(root, *({name: manifests[name] for name in use} for use in roles[:3]))
    for line in overlaps(prepared.train.values(), {**prepared.valid, **prepared.test}):
        print(line)
    return prepared


def prepare_split(root, split: str, out_folder, workers: int | None = None, progress=True, check=False) -> Path:
    """Write `out_folder/<split>.csv` and its report `<split>.json`; both stay when the source hasn't changed.

    workers: files read at a time. check: decode all audio, which finds damage inside files. The report holds a
    fingerprint of the source (see `list_source`), counts, hours and every problem by name. Raises DataError when
    the split is refused.
    """
    workers = os.cpu_count() or 1 if workers is None else workers
    if workers < 1:
        raise DataError(f"workers is {workers}: give 1 or more")
    if not is_utf8(split):
        raise DataError(f"{printable(split)} in {root} is no UTF-8 name: rename the folder")
    out_folder, folder = Path(out_folder), Path(root) / split
    out_folder.mkdir(parents=True, exist_ok=True)
    manifest, report_file = out_folder / f"{split}.csv", out_folder / f"{split}.json"
    folders, fingerprint = list_source(folder)
    report = read_report(report_file)
    is_same = report.get("fingerprint") == fingerprint and (report["checked"] or not check)
    if is_same and report["csv_sha256"] == (checksum(manifest) or "no file"):
        print_report(report, report_file)
        return manifest

    pairs = pair(folder, folders, workers)
    problems = pairs.problems
    paths = [f"{folder}/{utterance.audio}" for utterance in pairs.utterances]
    headers = _map_files(audio.read_header, paths, workers, progress, split)
    if check:
        _check_audio(paths, headers, workers, progress, split)
    rows, rates, several_channels = [], Counter(), 0
    for utterance, header in zip(pairs.utterances, headers, strict=True):
        if isinstance(header, str):
            problems[header].append(utterance.id)
            continue
        rates[header.rate] += 1
        several_channels += header.channels > 1
        # 7 decimals bring back the number of samples at any usual rate; at 16 kHz they are exact.
        duration, path = round(header.frames / header.rate, 7), f"$data_root/{split}/{utterance.audio}"
        rows.append((utterance.id, duration, path, speaker_and_chapter(utterance), utterance.words))

    refused = not rows or pairs.count - len(rows) > LEFT_OUT_AT_MOST * pairs.count
    if not refused:
        write_atomically(manifest, csv_blocks(rows))
    report = {
        "fingerprint": fingerprint,
        "csv_sha256": None if refused else checksum(manifest),
        "checked": check,
        "split": split,
        "utterances": len(rows),
        "utterances_found": pairs.count,
        "hours": round(sum(row[1] for row in rows) / 3600, 6),
        "speakers": len({speaker_of(row[3]) for row in rows} - {None}),
        "sample_rates": {str(rate): count for rate, count in sorted(rates.items())},
        "several_channels": several_channels,
        "several_formats": pairs.several_formats,
        "problems": {kind: sorted(map(printable, names)) for kind, names in sorted(problems.items()) if names},
        "first_lines": {kind: printable(line) for kind, line in pairs.first_lines.items()},
    }
    write_atomically(report_file, json.dumps(report, indent=1).encode())
    print_report(report, report_file)
    if refused:
        raise DataError(refusal(report, folder, report_file))
    return manifest


def _check_audio(paths: list[str], headers: list, workers: int, progress: bool, split: str) -> None:
    """Decode the files and put the kinds of problems in place of their headers."""
    sound = [index for index, header in enumerate(headers) if not isinstance(header, str)]
    seconds = sum(headers[index].frames / headers[index].rate for index in sound)
    minutes = seconds / DECODED_PER_SECOND / min(workers, os.cpu_count() or 1) / 60
    print(f"{split}: decoding {seconds / 3600:.1f} hours of audio, about {math.ceil(minutes)} min")
    outcomes = _map_files(audio.check, [paths[index] for index in sound], workers, progress, split)
    for index, problem in zip(sound, outcomes, strict=True):
        headers[index] = problem or headers[index]


def _map_files(
    function: Callable[[str], Result], paths: list[str], workers: int, progress: bool, label: str
) -> list[Result]:
    """`function` of each path, in order, by threads: what takes time in it releases Python's lock."""
    batches = [paths[start : start + FILES_AT_A_TIME] for start in range(0, len(paths), FILES_AT_A_TIME)]
    results: list[Result] = []
    with (
        ThreadPoolExecutor(workers) as pool,
        tqdm(total=len(paths), desc=label, unit="file", disable=not progress, leave=False) as bar,
    ):
        for batch in pool.map(lambda batch: [function(path) for path in batch], batches):
            results += batch
            bar.update(len(batch))
    return results


@command_line
def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m data_prep.librispeech", description="LibriSpeech to manifests.")
    parser.add_argument("data_folder", help="folder that holds train*, dev* (or valid*) and test*, or its parent")
    parser.add_argument("out_folder", help="where <split>.csv and the report <split>.json go")
    parser.add_argument("--splits", nargs="+", metavar="NAME", help="only these (default: all that are there)")
    parser.add_argument("--workers", type=int, help="files read at a time (default: number of cores)")
    parser.add_argument(
        "--check",
        action="store_true",
        help="decode all audio to find damage inside files: about 3 minutes per 100 hours and core",
    )
    options = parser.parse_args(argv)
    root = find_corpus(options.data_folder)
    splits = available_splits(root)
    if options.splits:
        splits = named_splits(splits, options.splits)
    for split in splits:
        prepare_split(root, split, options.out_folder, options.workers, check=options.check)


if __name__ == "__main__":
    raise SystemExit(main())
