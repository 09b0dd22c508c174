"""On a GPU: the same numbers as on the CPU, mixed precision, resuming, searching."""

import json

import pytest
import torch

from recipes.config import load
from recipes.decoding.beam_search import BeamSearch
from recipes.models.language_model import TransformerLM
from tests.support.corpus import write_corpus
from train import main

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
TINY = ["--d_model", "32", "--d_ffn", "64", "--layers", "2", "--decoder_layers", "1", "--workers", "0"]
MIXERS = list(load("hparams/quickstart.yaml", {"data_folder": "none"}).hparams["mixers"])


@pytest.fixture
def exact_products(monkeypatch):
    """Matrix products in full float32: TF32 keeps ten bits of the mantissa."""
    monkeypatch.setattr(torch.backends.cuda.matmul, "allow_tf32", False)
    monkeypatch.setattr(torch.backends.cudnn, "allow_tf32", False)


@pytest.mark.parametrize("mixer", MIXERS)
def test_cpu_and_cuda_agree(mixer, exact_products):
    model = load("hparams/quickstart.yaml", {"data_folder": "none", "mixer": mixer}).hparams["model"].eval()
    audio, lengths = 0.1 * torch.randn(3, 40000), torch.tensor([40000, 23456, 1000])
    with torch.no_grad():
        expected = model(audio, lengths).ctc_logits.log_softmax(-1)
        actual = model.cuda()(audio.cuda(), lengths.cuda()).ctc_logits.log_softmax(-1).cpu()
    for row, frames in enumerate(model.encode(audio.cuda(), lengths.cuda()).lengths.tolist()):
        torch.testing.assert_close(actual[row, :frames], expected[row, :frames], atol=1e-3, rtol=1e-3)


def run(tmp_path, *options):
    data = tmp_path / "data"
    if not data.exists():
        write_corpus(data, {"train-clean-5": (2, 8), "dev-clean": (1, 2), "test-clean": (1, 2)})
    command = ["hparams/quickstart.yaml", "--data_folder", str(data), "--output_folder", str(tmp_path / "run")]
    assert main([*command, *TINY, "--device", "cuda:0", *options]) == 0
    return [json.loads(line) for line in (tmp_path / "run" / "log.jsonl").read_text().splitlines()]


def test_bfloat16_trains(tmp_path):
    losses = [epoch["train_loss"] for epoch in run(tmp_path, "--number_of_epochs", "6", "--precision", "bf16")]
    assert losses[-1] < 0.8 * losses[0]


def test_resumes_after_a_stop(tmp_path):
    run(tmp_path, "--number_of_epochs", "1")
    assert [epoch["epoch"] for epoch in run(tmp_path, "--number_of_epochs", "2")] == [1, 2]


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
def test_search_gives_the_scores_of_the_cpu(precision, exact_products):
    """With a language model; in bf16 but for its rounding."""
    hparams = load("hparams/quickstart.yaml", {"data_folder": "none"}).hparams
    model, lm = hparams["model"].eval(), TransformerLM(32, 16, layers=1, heads=2, d_ffn=32, dropout=0.0).eval()
    search = BeamSearch(beam=6, ctc_weight=0.4, lm_weight=0.3, length_bonus=0.2)
    audio, lengths = 0.1 * torch.randn(3, 40000), torch.tensor([40000, 23456, 9000])
    results = []
    for device in ("cpu", "cuda"):
        mixed = precision == "bf16" and device == "cuda"
        with torch.no_grad(), torch.autocast(device, torch.bfloat16, enabled=mixed):
            output = model.to(device)(audio.to(device), lengths.to(device))
            log_probs = output.ctc_logits.float().log_softmax(-1)
            results.append(search(model.decoder, output.encoded, log_probs, lm.to(device)))
    for expected, on_gpu in zip(*results, strict=True):
        assert on_gpu[0].score == pytest.approx(expected[0].score, rel=1e-3 if precision == "fp32" else 0.05)
