"""A tiny run whose weights are noise, so that it hears letters everywhere."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data_prep.tokenizer import BLANK
from recipes.inference import Transcriber
from recipes.inference.streaming import Stream
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


@pytest.fixture(scope="session")
def samples(recordings) -> np.ndarray:
    return np.concatenate([soundfile.read(path, dtype="int16")[0] for path in recordings])


@pytest.fixture(scope="session")
def transcriber(run, samples) -> Transcriber:
    """Hears letters, spaces and silences alike."""
    transcriber = Transcriber.load(run, device="cpu")
    model = transcriber.recognise.model
    with torch.no_grad():
        logits = model(torch.from_numpy(samples / np.float32(2**15))[None], torch.tensor([len(samples)])).ctc_logits[0]
        model.ctc.bias -= logits.mean(0)
        for output in (BLANK, FREQUENT):
            model.ctc.bias[output] += 1.2 * logits.std(0).mean()
    return transcriber


def cut(samples, seed=0, most=9000):
    draw, pieces = np.random.default_rng(seed), []
    while len(samples):
        size = int(draw.choice([0, 1, draw.integers(1, most)]))
        pieces, samples = [*pieces, samples[:size]], samples[size:]
    return pieces


def all_texts(stream: Stream, pieces) -> list:
    return [text for piece in pieces for text in stream.feed(piece)] + stream.finish()
