"""A tiny run whose weights are noise, so that it hears letters everywhere."""

from pathlib import Path

import pytest
import torch

from recipes.training.run_folder import WEIGHTS
from recipes.training.tensors import load_weights, save_weights
from tests.support.runs import small_corpus, train

FREQUENT = 3  # the tokenizer's first piece that is no named one: the space


@pytest.fixture(scope="session")
def corpus(tmp_path_factory) -> Path:
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="session")
def recordings(corpus) -> list[str]:
    """Of different lengths."""
    return sorted(map(str, corpus.rglob("test-clean/**/*.flac"))) + sorted(
        map(str, corpus.rglob("dev-clean/**/*.flac"))
    )


@pytest.fixture(scope="session")
def run(corpus, tmp_path_factory) -> Path:
    output = tmp_path_factory.mktemp("trained") / "run"
    assert train(corpus, output) == 0
    make_talkative(output)
    return output


def make_talkative(run: Path) -> None:
    """Weights off their initial values, and the blank no likelier than letters."""
    generator = torch.Generator().manual_seed(3)
    weights = load_weights(run / WEIGHTS)
    noisy = {
        name: value + 0.3 * torch.randn(value.shape, generator=generator) if value.is_floating_point() else value
        for name, value in weights.items()
        if not name.startswith("normalize")
    }
    noisy["ctc.bias"][FREQUENT] += 1.0
    save_weights({**weights, **noisy}, run / WEIGHTS)
