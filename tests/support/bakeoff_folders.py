"""Plans and folders of comparisons for tests; folders as compare.py leaves them, without training."""

import json
from collections.abc import Sequence
from pathlib import Path

import pytest

from recipes.bakeoff.plan import Plan, make_plan
from recipes.config import flatten
from recipes.config.arguments import parse_arguments
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


def write_comparison(folder: Path, names: Sequence[str], seeds: Sequence[int], **changes) -> dict:
    """Write the record and return it; the runs are for `write_run`."""
    record = {
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
            name: {
                "mixer": name,
                "settings": {},
                "content": {},
                "steps": None,
                "seeds": list(seeds),
                "parameters": 1_000_000 * number,
                "multiply_adds_10s": 10**8 * number,
            }
            for number, name in enumerate(names, start=1)
        },
        **changes,
    }
    for name in names:
        (folder / "runs" / name).mkdir(parents=True)
    (folder / "comparison.json").write_text(json.dumps(record))
    return record


def write_run(folder: Path, name: str, seed: int, errors: dict[str, Sequence[int]], **extras) -> Path:
    """A finished run with so many wrong words in each utterance of each split. `extras` go to every split."""
    run = folder / "runs" / name / str(seed)
    run.mkdir(parents=True)
    for split, counts in errors.items():
        write_decoded(run / f"decoded_{split}.jsonl", counts)
    summary = {
        "recipe": "quickstart",
        "mixer": name,
        "seed": seed,
        "parameters": 1_000_000,
        "seconds": 60.0 + seed,
        "peak_memory_mb": 500.0 + seed,
        "device": "cpu",
        "versions": {"torch": "2.11"},
        "commit": "abc",
        "recipe_hash": "0",
        "splits": {
            split: {"wer": 0, "rtf": 0.25, "audio_seconds": 100.0, "decode_seconds": 25.0, **extras} for split in errors
        },
    }
    (run / "summary.json").write_text(json.dumps(summary))
    lines = [{"epoch": epoch, "steps": 100 * epoch, "valid_wer_greedy_ctc": 50 / epoch + seed} for epoch in (1, 2)]
    (run / "log.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    return run


def write_decoded(path: Path, counts: Sequence[int]) -> None:
    lines = [
        {
            "id": f"1-1-{number:04d}",
            "speaker": str(number % 4),
            "words": " ".join(["YES"] * WORDS),
            "hypothesis": " ".join(["NO"] * wrong + ["YES"] * (WORDS - wrong)),
        }
        for number, wrong in enumerate(counts)
    ]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines))
