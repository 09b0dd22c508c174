"""A comparison of three entries, three seeds each, that were never trained: words are wrong at random."""

from pathlib import Path

import numpy as np
import pytest

from recipes.bakeoff import Comparison, ComparisonRecord, write_results
from recipes.bakeoff.runs import FinishedRun
from tests.support.bakeoff_folders import WORDS, write_comparison, write_run

UTTERANCES = 80
SEEDS = (1, 2, 3)
RATES = {"good": 0.1, "same": 0.1, "bad": 0.3}  # of wrong words
NAMES = tuple(RATES)


def drawn(name: str, seed: int) -> list[int]:
    """Wrong words of each utterance."""
    generator = np.random.default_rng([seed, *name.encode()])
    return generator.binomial(WORDS, RATES[name], UTTERANCES).tolist()


def results_of(folder: Path, baseline: str = "good") -> tuple[Comparison, list[FinishedRun]]:
    return write_results(folder, ComparisonRecord.read(folder), baseline)


@pytest.fixture
def folder(tmp_path) -> Path:
    write_comparison(tmp_path, NAMES, SEEDS)
    for name in NAMES:
        for seed in SEEDS:
            write_run(tmp_path, name, seed, {"test-clean": drawn(name, seed)})
    return tmp_path
