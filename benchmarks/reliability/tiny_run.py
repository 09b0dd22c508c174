"""A training of seconds that uses random numbers wherever it can, and its result."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import torch

from benchmarks.reliability.corpus import write_corpus
from benchmarks.reliability.programs import ROOT
from recipes.scoring import RunSummary
from recipes.scoring.results import LOG

TINY = (
    "--device cpu --noprogressbar --workers 0 --d_model 16 --heads 2 --layers 2 --d_ffn 32 --kernel_size 3"
    " --decoder_layers 1 --batch_seconds 6 --warmup_steps 4 --test_search.beam 2 --average_checkpoints 2"
).split()
RANDOM = (
    "--dropout 0.1 --speeds [95,100,105] --model.augment.time_masks 2 --model.augment.freq_masks 2"
    " --model.augment.warp 3"
).split()
TIMED = {"decode_seconds", "rtf"}  # of a split's results
OF_THE_CLOCK = {"time", "seconds"}  # of a line of the log


def small_corpus(folder: Path) -> Path:
    """Two dozen utterances to train on, few to validate and to test on."""
    write_corpus(folder, {"train-clean-5": (2, 12), "dev-clean": (1, 4), "test-clean": (1, 4)})
    return folder


def arguments(data: Path, output: Path, *options: str) -> list[str]:
    """The command line of the training, without the program's name; later options win."""
    recipe = str(ROOT / "hparams" / "quickstart.yaml")
    return [recipe, "--data_folder", str(data), "--output_folder", str(output), *TINY, *RANDOM, *options]


class Outcome(NamedTuple):
    """What a run ended with."""

    weights: dict[str, torch.Tensor]
    results: dict[str, dict]  # by test set
    log: list[dict]  # as it is written: a lost or doubled epoch shows

    def equals(self, expected: "Outcome") -> bool:
        """Bit for bit."""
        return self.difference(expected) == 0.0 and self.results == expected.results and self.log == expected.log

    def difference(self, expected: "Outcome") -> float:
        """The largest of a weight; infinite where the weights have other names."""
        if self.weights.keys() != expected.weights.keys():
            return float("inf")
        differences = [(value - expected.weights[name]).abs().max() for name, value in self.weights.items()]
        return float(max(differences))


def outcome(output: Path) -> Outcome:
    splits = RunSummary.read(output).splits
    results = {name: without(vars(result), TIMED) for name, result in splits.items()}
    lines = (output / LOG).read_text(encoding="utf-8").splitlines()
    log = [without(json.loads(line), OF_THE_CLOCK) for line in lines]
    weights = torch.load(output / "averaged.ckpt", map_location="cpu", weights_only=True)
    return Outcome(weights, results, log)


def without(values: dict, keys: Sequence[str] | set[str]) -> dict:
    return {key: value for key, value in values.items() if key not in keys}
