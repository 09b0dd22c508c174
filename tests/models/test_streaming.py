"""The whole model as a stream: frame by frame what it gives for the utterance under the same context."""

import random

import pytest
import torch
from torch import Tensor

from data_prep.tokenizer import START
from mixers.base import Context
from mixers.testing.streaming import numbers_kept
from recipes.config import load
from recipes.decoding.ctc import greedy_ctc
from recipes.models import Recogniser
from recipes.models.streaming import join, select, state_shape
from tests.models.test_recogniser import ENCODERS, MIXERS, SMALL, every_encoder, padded_batch, recogniser, recordings

BLOCKS = (
    load(ENCODERS["conformer"][0], {**SMALL, "layers": len(MIXERS), "mixer": MIXERS}).hparams["model"].encoder.blocks
)
STREAMING = [mixer for mixer, block in zip(MIXERS, BLOCKS, strict=True) if not block.mixer.cannot_stream]
CONTEXTS = [Context(3), Context(2, 2), Context(4, 0)]
SAMPLES_OF_FRAME = 640
every_streaming_mixer = pytest.mark.parametrize("mixer", STREAMING)


def cut(audio: Tensor, draw: random.Random, most: int) -> list[Tensor]:
    """``[B, samples]`` in pieces of 0 to ``most`` samples."""
    pieces, start = [], 0
    while start < audio.shape[1]:
        size = draw.choice([0, 1, 2, draw.randint(1, most)])
        pieces.append(audio[:, start : start + size])
        start += size
    return pieces


def in_stream(model: Recogniser, pieces: list[Tensor], context: Context) -> Tensor:
    """CTC logits of streams ``[B, …]`` that all end with the last piece."""
    state, logits = model.init_state(len(pieces[0]), context), []
    for number, piece in enumerate(pieces):
        output, state = model.step(piece, state, last=number == len(pieces) - 1)
        logits.append(output.ctc_logits)
    return torch.cat(logits, 1)


def at_once(model: Recogniser, audio: Tensor, context: Context) -> Tensor:
    lengths = torch.full((len(audio),), audio.shape[1])
    with torch.no_grad():
        return model(audio, lengths, None, context).ctc_logits


def assert_same(actual: Tensor, expected: Tensor) -> None:
    torch.testing.assert_close(actual, expected, atol=1e-4, rtol=0)
    lengths = torch.full((len(expected),), expected.shape[1])
    assert greedy_ctc(actual, lengths) == greedy_ctc(expected, lengths)


@every_streaming_mixer
@every_encoder
def test_a_stream_is_the_utterance_under_its_context(encoder, mixer):
    model, draw = recogniser(encoder, mixer).eval(), random.Random(f"{encoder}{mixer}")
    audio, longest = recordings()[0], recordings()[0][-1]
    for samples, context in [*zip((longest, longest, longest[:6000]), CONTEXTS, strict=True), (audio[0], CONTEXTS[0])]:
        pieces = cut(samples[None], draw, 3000)
        assert_same(in_stream(model, pieces, context), at_once(model, samples[None], context))


@every_encoder
def test_a_context_matters(encoder):
    """Else the other tests could not fail: a context changes the output, and so do chunk and left chunks."""
    model, audio = recogniser(encoder, "summarymixing").eval(), recordings()[0][-1][None]
    outputs = [at_once(model, audio, context) for context in (*CONTEXTS, Context(3, 1))]
    outputs.append(model(audio, torch.tensor([audio.shape[1]])).ctc_logits.detach())
    for number, output in enumerate(outputs):
        assert all((output - other).abs().max() > 1e-3 for other in outputs[:number])


def test_one_sample_at_a_time():
    model, audio = recogniser("conformer", "summarymixing").eval(), recordings()[0][12][None]
    assert_same(in_stream(model, list(audio.split(1, 1)), Context(2, 1)), at_once(model, audio, Context(2, 1)))


def test_a_hybrid_streams():
    recipe, overrides = ENCODERS["conformer"]
    model = load(recipe, {**overrides, "mixer": "[xnor, attention]"}).hparams["model"].eval()
    audio = recordings()[0][-1][None]
    pieces = cut(audio, random.Random(5), 2000)
    assert_same(in_stream(model, pieces, Context(2, 3)), at_once(model, audio, Context(2, 3)))


@pytest.mark.parametrize("mixer", ["summarymixing", "hypermixing", "attention"])
@every_encoder
def test_streams_of_unlike_length_in_one_batch(encoder, mixer):
    """A stream that ends leaves the batch with its state, and the others go on."""
    model, context, draw = recogniser(encoder, mixer).eval(), Context(3, 2), random.Random(9)
    audio, lengths = padded_batch(recordings()[0][-6:], padding=1.0)
    rows, start, logits = list(range(len(audio))), 0, [[] for _ in audio]
    state = model.init_state(len(rows), context)
    while rows:
        end = start + draw.randint(1, 2500)
        for row in [row for row in rows if lengths[row] <= end]:
            output, _ = model.step(audio[[row], start : lengths[row]], select(state, [rows.index(row)]), last=True)
            logits[row].append(output.ctc_logits[0])
            state = select(state, [place for place, other in enumerate(rows) if other != row])
            rows.remove(row)
        if not rows:
            break
        output, state = model.step(audio[rows, start:end], state)
        for place, row in enumerate(rows):
            logits[row].append(output.ctc_logits[place])
        start = end
    with torch.no_grad():  # and the padded batch at once gives every utterance what it gets alone
        whole = model(audio, lengths, None, context)
    for row, length in enumerate(lengths.tolist()):
        expected = at_once(model, audio[row, None, :length], context)
        assert_same(torch.cat(logits[row])[None], expected)
        assert_same(whole.ctc_logits[row, None, : whole.encoded.lengths[row]], expected)


def test_streams_join_at_any_time():
    """As on a server: streams that began at unlike times are stepped together."""
    model, context = recogniser("conformer", "hypermixing").eval(), Context(2, 2)
    audio = torch.stack([recordings()[0][-1][:7000], recordings()[0][-2][:7000]])
    first, state = model.step(audio[:1, :1400], model.init_state(1, context))
    late = model.init_state(1, context)
    _, late = model.step(audio[1:, :1400], late)
    _, late = model.step(audio[1:, 1400:2680], late)
    assert state_shape(state) == state_shape(late)
    together, state = model.step(torch.stack([audio[0, 1400:2680], audio[1, 2680:3960]]), join([state, late]))
    rest, _ = model.step(audio[:1, 2680:], select(state, [0]), last=True)
    pieces = [output.ctc_logits[:1] for output in (first, together, rest)]
    assert_same(torch.cat(pieces, 1), at_once(model, audio[:1], context))


@every_encoder
def test_latency_is_what_the_model_says(encoder):
    """A chunk comes with the last sample of its latency, not one sooner; nothing later changes it."""
    model, audio, context = recogniser(encoder, "summarymixing").eval(), recordings()[0][-1][None], Context(3)
    assert model.algorithmic_latency_ms(context) == 122.5
    samples = round(model.algorithmic_latency_ms(context) * 16)
    output, state = model.step(audio[:, : samples - 1], model.init_state(1, context))
    assert output.ctc_logits.shape[1] == 0
    output, state = model.step(audio[:, samples - 1 : samples], state)
    assert_same(output.ctc_logits, at_once(model, audio, context)[:, :3])
    for chunk in range(1, 3):
        start = samples + (chunk - 1) * 3 * SAMPLES_OF_FRAME
        output, state = model.step(audio[:, start : start + 3 * SAMPLES_OF_FRAME], state)
        assert output.ctc_logits.shape[1] == 3


@pytest.mark.parametrize("context", CONTEXTS[:2], ids=str)
@pytest.mark.parametrize("mixer", ["summarymixing", "linear_attention", "attention"])
@every_encoder
def test_state_size_counts_the_state(encoder, mixer, context):
    model = recogniser(encoder, mixer).eval()
    samples = round(model.algorithmic_latency_ms(context) * 16)
    state, sizes = model.init_state(1, context), []
    for chunk in range(1, 6):
        _, state = model.step(torch.zeros(1, samples), state)
        samples = context.chunk * SAMPLES_OF_FRAME
        sizes.append(model.state_size(chunk * context.chunk, context))
        assert numbers_kept(state) == sizes[-1]
    grows = mixer == "attention" and context.left_chunks is None
    assert (sizes[-1] > sizes[2]) == grows


@every_encoder
def test_training_under_a_context_reaches_every_weight(encoder):
    model = recogniser(encoder, "summarymixing").train()
    audio, lengths = padded_batch(recordings()[0][-3:], padding=1.0)
    model.zero_grad(set_to_none=True)
    output = model(audio, lengths, torch.full((3, 2), START), Context(4, 1))
    (output.ctc_logits.log_softmax(-1)[..., 3].mean() + output.decoder_logits.square().mean()).backward()
    assert all(weight.grad is not None and weight.grad.isfinite().all() for weight in model.parameters())
    model.eval()


def test_what_cannot_stream_says_so():
    context = Context(4)
    with pytest.raises(ValueError, match=r"^FastFormer cannot stream or take a context: every new chunk"):
        recogniser("conformer", "fastformer").init_state(1, context)
    for key, value, message in [
        ("model.features.range_db", 80, "LogMel cannot stream .*: its range_db needs the loudest frame"),
        ("model.frontend.ends", "reflect", "ConvFrontend cannot stream .*: with ends: reflect it mirrors the end"),
        ("model.encoder.ends", "reflect", "ConvGatingUnit cannot stream .*: with ends: reflect it mirrors the end"),
    ]:
        recipe, overrides = ENCODERS["branchformer"]
        model = load(recipe, {**overrides, "mixer": "conv_only", key: value}).hparams["model"]
        for call in (model.check_streaming, lambda model=model: model.init_state(1, context)):
            with pytest.raises(ValueError, match=message):
                call()
