"""Training runs for tests: `train.py` on a small corpus, with a recipe cut down to seconds."""

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from unittest.mock import patch

import torch
from markupsafe import Markup
from torch import nn

from recipes.config import load
from recipes.reports import error_sections, run_sections
from recipes.scoring import EpochRecord, RunSummary, SplitResult
from tests.support.corpus import write_corpus
from train import main

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "hparams" / "quickstart.yaml"
TINY = (
    "--device cpu --noprogressbar --workers 0 --d_model 16 --heads 2 --layers 2 --d_ffn 32 --kernel_size 3"
    " --decoder_layers 1 --number_of_epochs 1 --batch_seconds 4 --warmup_steps 2 --test_search.beam 2"
).split()


def small_corpus(folder: Path) -> Path:
    write_corpus(folder, {"train-clean-5": (2, 12), "dev-clean": (1, 3), "test-clean": (1, 3)})
    return folder


def arguments(data: Path, output: Path, *options: str, recipe: Path = RECIPE) -> list[str]:
    """The command line of a tiny run, without the program's name; later options win."""
    return [str(recipe), "--data_folder", str(data), "--output_folder", str(output), *TINY, *options]


def train(data: Path, output: Path, *options: str, recipe: Path = RECIPE) -> int:
    """Run it in this process, with a report without plots; the exit status."""
    with without_plots():
        return main(arguments(data, output, *options, recipe=recipe))


@contextmanager
def without_plots() -> Iterator[None]:
    """Reports whose plots are blank: to draw them takes as long as a tiny training. tests/reports draws them."""
    drawn = {"line_plot": lambda *_, **options: Markup('<svg class="plot"></svg>')}
    with patch.multiple(run_sections, **drawn), patch.multiple(error_sections, **drawn):
        yield


def summary(output: Path) -> RunSummary:
    return RunSummary.read(output)


def results(output: Path) -> dict[str, SplitResult]:
    """The summary's results of each split, without the time that they took."""
    splits = summary(output).splits
    return {name: replace(result, decode_seconds=None, rtf=None) for name, result in splits.items()}


def epochs(output: Path) -> list[EpochRecord]:
    """The machine-readable log, every line of which must be readable."""
    records, unreadable = EpochRecord.read_all(output)
    assert unreadable == 0
    return records


def weights(output: Path) -> dict[str, torch.Tensor]:
    """The averaged model at the end of a run."""
    return torch.load(output / "averaged.ckpt")


def same_weights(output: Path, expected: Path) -> bool:
    """Bit for bit."""
    ours, theirs = weights(output), weights(expected)
    return ours.keys() == theirs.keys() and all(torch.equal(ours[name], theirs[name]) for name in ours)


def assert_learned(output: Path, model: nn.Module, unused: tuple[str, ...] = ()) -> None:
    """Every parameter of the model has moved since its start, nothing is infinite, and the loss fell in each epoch.

    model: as the recipe makes it. unused: ends of the names of parameters that a model does not use.
    """
    trained = weights(output)
    assert all(value.isfinite().all() for value in trained.values())
    unmoved = {name for name, parameter in model.named_parameters() if torch.equal(parameter, trained[name])}
    assert {name for name in unmoved if not name.endswith(unused)} == set()
    losses = [epoch.metrics["train_loss"] for epoch in epochs(output)]
    assert len(losses) > 1 and losses == sorted(losses, reverse=True), losses


def initial_model(output: Path) -> nn.Module:
    """The model of a run as its recipe makes it, before any training."""
    hparams = load(output / "recipe.yaml").hparams
    return hparams.get("model") or hparams["language_model"]
