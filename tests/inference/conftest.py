"""A tiny run whose weights are noise, so that it hears letters everywhere."""

from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data_prep.tokenizer import BLANK
from recipes.config import load
from recipes.decoding.transducer import greedy_start
from recipes.inference import Transcriber
from recipes.inference.recognition.loaded_model import LoadedModel
from recipes.inference.streams.stream import Stream
from recipes.training.run_folder import WEIGHTS
from recipes.training.tensors import load_weights, save_weights
from tests.support.models import randomised
from tests.support.runs import ROOT, small_corpus, train

FREQUENT = 3  # the tokenizer's first piece that is no named one: the space
SIZES = {"d_model": 16, "heads": 2, "layers": 2, "d_ffn": 32, "kernel_size": 3, "data_folder": "unused"}
PREDICTIONS = {
    "stateless": {"model.decoder.prediction": "!new:recipes.models.StatelessPrediction {vocab_size: 32, size: 16}"},
    "lstm": {},
}


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


def noisy_transducer(run, samples, prediction: str, **keys) -> LoadedModel:
    """Weights that were not trained, and hear letters, spaces and silences alike; it is searched greedily."""
    keys = {**SIZES, "test_search.beam": 1, **PREDICTIONS[prediction], **keys}
    recipe = load(ROOT / "hparams" / "quickstart_transducer.yaml", keys)
    tokenizer = Transcriber.load(run, device="cpu").recognise.tokenizer
    model = randomised(recipe.hparams["model"], 0.3)
    model.normalize.mean.fill_(-15.0)
    model.normalize.std.fill_(8.0)
    with torch.no_grad():
        audio = torch.from_numpy(samples / np.float32(2**15))[None]
        decoder, encoded = model.decoder, model.encode(audio, torch.tensor([len(samples)]))
        decoder.of_frame.weight *= 3
        decoder.of_frame.bias -= decoder.prepare(encoded)[0].mean(0)
        logits = decoder.joint(decoder.prepare(encoded)[0], greedy_start(decoder, 1).predicted)
        decoder.out.bias -= logits.mean(0)
        for output in (BLANK, FREQUENT):
            decoder.out.bias[output] += 1.2 * logits.std(0).mean()
    return LoadedModel(model, tokenizer, recipe.hparams["test_search"], None, "noise", recipe)
