"""The whole model, from samples to text: neither padding nor the batch has an effect on an utterance."""

import pickle
from functools import cache
from pathlib import Path

import pytest
import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data_prep.tokenizer import START
from mixers.base import lengths_to_mask
from recipes.config import load
from recipes.decoding.ctc import greedy_ctc
from recipes.models.frontend import ConvFrontend
from recipes.models.recogniser import Recogniser

HPARAMS = Path(__file__).parents[2] / "hparams"
SMALL = {"data_folder": "unused", "d_model": 16, "heads": 2, "layers": 2, "d_ffn": 32, "decoder_layers": 1}
# With few tokens and without randomness, as in the quickstart.
PLAIN = {"vocab_size": 32, "kernel_size": 15, "dropout": 0.0, "model.frontend.channels": [32, 16]} | {
    f"model.augment.{part}": 0 for part in ("time_masks", "freq_masks", "warp")
}
ENCODERS = {
    "conformer": (HPARAMS / "quickstart.yaml", SMALL),
    "branchformer": (HPARAMS / "branchformer.yaml", {**SMALL, **PLAIN, "model.encoder.csgu_units": 32}),
}
MIXERS = list(load(*ENCODERS["conformer"]).hparams["mixers"])
every_encoder = pytest.mark.parametrize("encoder", ENCODERS)
every_mixer = pytest.mark.parametrize("mixer", MIXERS)

# Samples of each utterance. A feature frame is 160 samples: the shortest have 1 to 3 of them, then come all
# remainders of feature frames by 4, and lengths that are no whole number of feature frames.
SAMPLES = [1, 2, 159, 160, 320, 400, 480, 640, 799, 800, 960, 1120, 1440, 4640, 4801, 5120, 10111, 11279]


@cache
def recogniser(encoder: str, mixer: str) -> Recogniser:
    """With weights and statistics off their initial values, whose zeros and ones could hide a fault."""
    recipe, overrides = ENCODERS[encoder]
    model = load(recipe, {**overrides, "mixer": mixer}).hparams["model"].eval()
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
        model.normalize.mean.fill_(-15.0)
        model.normalize.std.fill_(8.0)
        longest = recordings()[0][-1]
        mean = model(longest[None], torch.tensor([len(longest)])).ctc_logits.mean((0, 1))
        model.ctc.bias -= mean  # so that no token dominates: texts are long and all different
    return model


@cache
def recordings() -> tuple[list[Tensor], list[Tensor]]:
    """Audio of all lengths, noise whose loudness and colour change, and decoder inputs of all lengths."""
    torch.manual_seed(2)
    audio = []
    for samples in SAMPLES:
        loudness, colour = torch.rand(2, 9).repeat_interleave(1320, dim=1)[:, :samples]
        noise = torch.randn(samples)
        audio.append(loudness * (noise + colour * noise.cumsum(0)))
    tokens = [torch.cat([torch.tensor([START]), torch.randint(3, 32, (1 + n % 5,))]) for n in range(len(SAMPLES))]
    return audio, tokens


@torch.no_grad()
def outputs(model: Recogniser, audio: Tensor, lengths: Tensor, tokens: Tensor, token_lengths: list[int]) -> list[dict]:
    """The valid part of everything that the model computes, for each utterance."""
    encoded, ctc_logits, decoder_logits = model(audio, lengths, tokens)
    log_probs = ctc_logits.log_softmax(-1)
    texts = greedy_ctc(log_probs, encoded.lengths)
    return [
        {
            "encoder frames": encoded.frames[row, :frames],
            "CTC log probabilities": log_probs[row, :frames],
            "decoder logits": decoder_logits[row, : token_lengths[row]],
            "greedy text": texts[row],
        }
        for row, frames in enumerate(encoded.lengths.tolist())
    ]


@cache
def alone(encoder: str, mixer: str) -> list[dict]:
    model = recogniser(encoder, mixer)
    return [
        outputs(model, audio[None], torch.tensor([len(audio)]), tokens[None], [len(tokens)])[0]
        for audio, tokens in zip(*recordings(), strict=True)
    ]


def padded_batch(audio: list[Tensor], padding: float) -> tuple[Tensor, Tensor]:
    """``[B, 3 * longest]`` with noise of size ``padding`` after each utterance, and the lengths."""
    lengths = torch.tensor([len(samples) for samples in audio])
    batch = padding * torch.randn(len(audio), 3 * max(SAMPLES), generator=torch.Generator().manual_seed(3))
    batch[lengths_to_mask(lengths, batch.shape[1])] = torch.cat(audio)
    return batch, lengths


def batched(encoder: str, mixer: str, order: list[int], padding: float) -> list[dict]:
    """The outputs of the utterances ``order``, from one batch in that order."""
    audio, tokens = ([part[n] for n in order] for part in recordings())
    padded, lengths = padded_batch(audio, padding)
    token_lengths = [len(sentence) for sentence in tokens]
    more_tokens = pad_sequence([*tokens, torch.zeros(9, dtype=torch.long)], batch_first=True, padding_value=7)[:-1]
    return outputs(recogniser(encoder, mixer), padded, lengths, more_tokens, token_lengths)


ORDERS = {
    "rising": list(range(len(SAMPLES))),
    "falling": list(reversed(range(len(SAMPLES)))),
    "mixed": torch.randperm(len(SAMPLES), generator=torch.Generator().manual_seed(4)).tolist(),
    "twins": [4, 4, 15, 4],
}


@pytest.mark.parametrize("padding", [1.0, float("inf")], ids=["noise", "infinity"])
@pytest.mark.parametrize("order", ORDERS.values(), ids=ORDERS)
@every_mixer
@every_encoder
def test_utterance_is_the_same_alone_and_in_any_batch(encoder, mixer, order, padding):
    expected = alone(encoder, mixer)
    for n, actual in zip(order, batched(encoder, mixer, order, padding), strict=True):
        for part, value in expected[n].items():
            label = f"{part} of {SAMPLES[n]} samples"
            if part == "greedy text":
                assert actual[part] == value, label
            else:
                torch.testing.assert_close(
                    actual[part], value, atol=1e-4, rtol=0, msg=lambda text, label=label: f"{label}: {text}"
                )


@every_encoder
def test_the_utterances_differ(encoder):
    """Texts are long and different, and every remainder by 4 is there, among short utterances too."""
    frames = [1 + samples // 160 for samples in SAMPLES]
    assert {n % 4 for n in frames if n < 10} == {n % 4 for n in frames if n > 10} == {0, 1, 2, 3}
    for mixer in MIXERS:
        texts = [outputs["greedy text"] for outputs in alone(encoder, mixer)]
        assert len(set(map(tuple, texts))) > 5 and max(map(len, texts)) > 4, f"{mixer}: {texts}"
        spread = alone(encoder, mixer)[-1]["CTC log probabilities"].std(0).mean()
        assert spread > 0.01, f"{mixer}: the frames of an utterance hardly differ"


@pytest.mark.parametrize("channels", [(8,), (8, 4), (8, 4, 4)], ids=["2x", "4x", "8x"])
def test_front_end_rounds_up(channels):
    front_end = ConvFrontend(6, n_mels=20, channels=channels).eval()
    for frames in range(1, 34):
        x, lengths = front_end(torch.randn(2, frames, 20), torch.tensor([frames, max(1, frames - 3)]))
        assert x.shape == (2, -(-frames // 2 ** len(channels)), 6)
        assert lengths.tolist() == [-(-n // 2 ** len(channels)) for n in (frames, max(1, frames - 3))]
        assert lengths.dtype == torch.int64


@every_mixer
@every_encoder
def test_gradients_reach_every_weight_and_padding_none(encoder, mixer):
    """In training, through ``forward``: no weight is left out, and padding changes nothing."""
    audio, tokens = (part[-4:] for part in recordings())
    model, gradients = recogniser(encoder, mixer), []
    for padding in (0.0, 1.0):
        model.train().zero_grad(set_to_none=True)
        output = model(*padded_batch(audio, padding), torch.stack([sentence[:2] for sentence in tokens]))
        model.eval()
        frames = lengths_to_mask(output.encoded.lengths, output.ctc_logits.shape[1])
        ctc = output.ctc_logits.log_softmax(-1)[frames][:, 5].mean()
        (ctc + output.decoder_logits.log_softmax(-1)[..., 6].mean()).backward()
        gradients.append({name: weight.grad for name, weight in model.named_parameters()})
    unused = {name for name, gradient in gradients[0].items() if gradient is None}
    constant = not list(model.encoder.blocks[0].mixer.parameters())  # conv_only ignores its input
    norms = {f"encoder.blocks.{n}.mixer_norm.{part}" for n in (0, 1) for part in ("weight", "bias")}
    assert unused <= (norms if constant else set())
    for name in gradients[0].keys() - unused:
        gradient = gradients[0][name]
        torch.testing.assert_close(
            gradients[1][name], gradient, atol=1e-4, rtol=1e-3, msg=lambda text, name=name: f"{name}: {text}"
        )


@every_mixer
@every_encoder
def test_a_pickled_model_is_the_same_model(encoder, mixer):
    """As it is sent to another process."""
    model, audio = recogniser(encoder, mixer).eval(), recordings()[0][-1]
    with torch.no_grad():
        expected, actual = (
            copy(audio[None], torch.tensor([len(audio)])).ctc_logits
            for copy in (model, pickle.loads(pickle.dumps(model)))
        )
    assert torch.equal(actual, expected)


@pytest.mark.parametrize(
    ("mixer", "linear"), [("summarymixing", True), ("attention", False), ("summarymixing+attention", False)]
)
def test_linear_are_those_whose_mixers_all_are(mixer, linear):
    assert recogniser("conformer", mixer).is_linear is linear
