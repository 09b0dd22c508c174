"""No model, loss or search mixes tensors of the GPU and of the CPU, and what they give there is what they give here.

Where there is no GPU: tensors pretend to be on one (tests/support/pretend_gpu.py). Forward only.
"""

from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.functional import pad

from data_prep.tokenizer import START
from mixers import Context
from recipes.asr.data import Batch
from recipes.asr.loss import joint_loss
from recipes.config import load
from recipes.decoding import BeamSearch, Hypothesis, greedy_ctc
from recipes.models import TransformerLM
from recipes.models.attention_cache import position_encoding
from tests.support.pretend_gpu import Pretender, pretend_gpu, to_gpu

pytestmark = pytest.mark.skipif(torch.cuda.is_available(), reason="test_gpu.py has a real one")
HPARAMS = Path(__file__).parents[2] / "hparams"
SMALL = {"d_model": 16, "heads": 2, "layers": 1, "d_ffn": 16, "kernel_size": 3, "vocab_size": 12, "data_folder": "."}
MIXERS = list(load(HPARAMS / "conformer.yaml", {"data_folder": "."}, training=False).hparams["mixers"])
LENGTHS, TOKENS = torch.tensor([8000, 5000]), torch.tensor([[3, 5, 7, 4], [6, 6, 3, 0]])


@pytest.fixture(autouse=True)
def nothing_stays():
    """The sinusoids of a device are kept."""
    yield
    position_encoding.cache_clear()


def built(recipe: str, **keys) -> dict:
    torch.manual_seed(0)
    layers = {} if recipe == "quickstart_transducer" else {"decoder_layers": 1}
    return load(HPARAMS / f"{recipe}.yaml", {**SMALL, **layers, **keys}, training=False).hparams


def moved(value, on_gpu: bool):
    return Pretender(value.clone()) if on_gpu else value


def outcome(hparams: dict, on_gpu: bool, views: int = 1) -> tuple[list[float], list]:
    """Losses, and the sentences of both searches. (Training draws at random, on a GPU in another order.)"""
    model = hparams["model"]
    torch.manual_seed(1)
    audio = torch.randn(2, 8000)
    batch = Batch(["a", "b"], *(moved(value, on_gpu) for value in (audio, LENGTHS, TOKENS, torch.tensor([4, 3]))), [])
    weights = {"ctc_weight": 0.3, "label_smoothing": 0.1, "consistency_weight": 0.2 if views > 1 else None}
    for training in (True, False):
        output = model.train(training)(batch.audio, batch.lengths, pad(batch.tokens, (1, 0), value=START), views=views)
        loss = joint_loss(output, batch.repeated(views), **weights)
        assert loss.joint.device.type == ("cuda" if on_gpu else "cpu")
    output = model(batch.audio, batch.lengths)
    log_probs = output.ctc_logits.log_softmax(-1)
    hypotheses = hparams["test_search"](model.decoder, output.encoded, log_probs, None)
    losses = [float(part.detach()) for part in loss.parts().values()]
    return losses, [best(hypotheses), greedy_ctc(log_probs, output.encoded.lengths)]


def best(hypotheses: list[list[Hypothesis]]) -> list[list[int]]:
    """The sentences alone: scores differ by rounding."""
    return [of_utterance[0].tokens for of_utterance in hypotheses]


# On pretended tensors too, torch's LSTM asks for a driver.
STATELESS = "!new:recipes.models.StatelessPrediction {vocab_size: !ref <vocab_size>, size: !ref <d_model>}"
RECIPES = [("conformer", {"mixer": mixer}, 1) for mixer in MIXERS]
RECIPES += [("branchformer", {}, 1), ("small_corpus", {}, 2)]
RECIPES += [("quickstart_transducer", {"model.decoder.prediction": STATELESS}, 1)]


@pytest.mark.parametrize(("recipe", "keys", "views"), RECIPES, ids=lambda value: str(value))
def test_training_and_search_stay_on_their_device(recipe, keys, views):
    expected = outcome(built(recipe, **keys), False, views)
    hparams = built(recipe, **keys)
    to_gpu(hparams["model"])
    with pretend_gpu():
        losses, hypotheses = outcome(hparams, True, views)
    assert losses == pytest.approx(expected[0], rel=1e-4, abs=1e-5)
    assert hypotheses == expected[1]


def test_streaming_and_search_with_a_language_model_stay_on_their_device():
    model, language_model = built("conformer", mixer="summarymixing")["model"].eval(), lm()
    search = BeamSearch(beam=3, lm_weight=0.3, length_bonus=0.2)
    torch.manual_seed(1)
    audio, results = torch.randn(2, 8000), []
    for on_gpu in (False, True):
        if on_gpu:
            to_gpu(model), to_gpu(language_model)
        with pretend_gpu():
            state = model.init_state(2, Context(4, 2))
            output, state = model.step(moved(audio, on_gpu), state, last=True)
            log_probs: Tensor = output.ctc_logits.log_softmax(-1)
            results.append(best(search(model.decoder, output.encoded, log_probs, language_model)))
    assert results[0] == results[1]


def lm() -> TransformerLM:
    torch.manual_seed(2)
    return TransformerLM(12, 16, layers=1, heads=2, d_ffn=16, dropout=0.0).eval()


def test_a_tensor_of_the_other_device_is_found():
    """What all of this rests on."""
    with pretend_gpu():
        ours = torch.zeros(3, device="cuda")
        assert ours.device.type == "cuda" and (ours + 1).cpu().tolist() == [1, 1, 1]
        assert torch.ones(3).to(ours.device)[torch.tensor([0])].tolist() == [1]
        for mixed in (
            lambda: ours + torch.zeros(3),
            lambda: torch.zeros(3)[ours.long()],
            lambda: torch.cat([ours, torch.ones(1)]),
        ):
            with pytest.raises(RuntimeError, match="on the CPU beside one on the GPU"):
                mixed()
