"""Plans and folders of comparisons for tests; folders as compare.py leaves them, without training."""

from collections.abc import Sequence
from pathlib import Path

import pytest

from recipes.bakeoff import ComparisonRecord, EntryRecord
from recipes.bakeoff.plan import Plan, make_plan
from recipes.bakeoff.runs import run_folder
from recipes.config import flatten
from recipes.config.arguments import parse_arguments
from recipes.scoring.results import LOG, DecodedUtterance, EpochRecord, RunSummary, SplitResult, decoded_file
from tests.support.runs import RECIPE, TINY, small_corpus

WORDS = 10  # of every utterance


def tiny_corpus(folder: Path) -> Path:
    """A small corpus, and in it the tiny recipe written out, which is faster than merging it each time."""
    small_corpus(folder)
    (folder / "tiny.yaml").write_text(flatten(RECIPE, parse_arguments([str(RECIPE), *TINY]).overrides))
    return folder


def shared(data: Path, *options: str) -> list[str]:
    return [str(data / "tiny.yaml"), "--data_folder", str(data), "--device", "cpu", *options]


def plan_of(data: Path, folder: Path, *mixers: str, seeds=(2,), options=(), **budget) -> Plan:
    return make_plan(shared(data, *options), mixers, seeds, folder=folder, **budget)


def refused(function, *arguments, **options) -> str:
    with pytest.raises(ValueError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


def write_comparison(folder: Path, names: Sequence[str], seeds: Sequence[int], **changes) -> ComparisonRecord:
    """Write the record and return it; the runs are for `write_run`."""
    common = {
        "recipe": "quickstart",
        "command": "python compare.py …",
        "machines": ["a CPU, 2 cores"],
        "content": {"number_of_epochs": 2, "lr": 0.002},
        "data": {"train": {}, "valid": {}, "test": {"test-clean": "a"}},
        "seconds": None,
        "match_parameters": None,
        "optimizer_step_limit": None,
        "baseline": names[0],
        "mixers": {
            name: EntryRecord(
                mixer=name,
                settings={},
                content={},
                steps=None,
                parameters=1_000_000 * number,
                multiply_adds_10s=10**8 * number,
                seeds=list(seeds),
            )
            for number, name in enumerate(names, start=1)
        },
    }
    for name in names:
        (folder / "runs" / name).mkdir(parents=True)
    record = ComparisonRecord(**{**common, **changes})
    record.write(folder)
    return record


def write_run(folder: Path, name: str, seed: int, errors: dict[str, Sequence[int]], **scores) -> Path:
    """A finished run with so many wrong words in each utterance of each split. scores: of every split."""
    run = run_folder(folder, name, seed)
    run.mkdir(parents=True)
    for split, counts in errors.items():
        write_decoded(decoded_file(run, split), counts)
    RunSummary(
        recipe="quickstart",
        mixer=name,
        seed=seed,
        parameters=1_000_000,
        seconds=60.0 + seed,
        peak_memory_mb=500.0 + seed,
        device="cpu",
        versions={"torch": "2.11"},
        commit="abc",
        recipe_hash="0",
        splits={split: split_result(counts, **scores) for split, counts in errors.items()},
        decoded_by="python train.py … --test_only",
    ).write(run)
    for epoch in (1, 2):
        log_epoch(run, epoch, 100 * epoch, valid_wer_greedy_ctc=50 / epoch + seed)
    return run


def split_result(counts: Sequence[int], **scores) -> SplitResult:
    """A split's entry in the summary: `counts` words of each utterance are substituted."""
    wer = 100 * sum(counts) / (WORDS * len(counts))
    return SplitResult(
        wer=round(wer, 3),
        interval=None,
        substitutions=sum(counts),
        deletions=0,
        insertions=0,
        utterances=len(counts),
        words=WORDS * len(counts),
        wer_greedy_ctc=round(wer, 3),
        audio_seconds=100.0,
        decode_seconds=25.0,
        rtf=0.25,
        **scores,
    )


def log_epoch(run: Path, epoch: int, steps: int, **metrics: float) -> None:
    """Append a line to a run's log.jsonl."""
    record = EpochRecord(epoch, steps, seconds=30.0 * epoch, lr=1e-3, time=1e9 + epoch, metrics=metrics)
    with open(run / LOG, "a") as log:
        log.write(record.line() + "\n")


def write_decoded(path: Path, counts: Sequence[int]) -> None:
    utterances = []
    for number, wrong in enumerate(counts):
        hypothesis = " ".join(["NO"] * wrong + ["YES"] * (WORDS - wrong))
        utterances.append(decoded(f"1-1-{number:04d}", str(number % 4), " ".join(["YES"] * WORDS), hypothesis))
    DecodedUtterance.write_all(utterances, path)


def decoded(identifier: str, speaker: str, words: str, hypothesis: str) -> DecodedUtterance:
    return DecodedUtterance(
        id=identifier,
        speaker=speaker,
        duration=2.5,
        audio=f"../{identifier}.flac",
        words=words,
        hypothesis=hypothesis,
        greedy=hypothesis,
        score=-1.5,
    )
