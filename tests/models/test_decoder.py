"""The attention decoder: one token at a time with its cache gives what all tokens at once give."""

from itertools import pairwise

import pytest
import torch

from recipes.models.decoder import TransformerDecoder
from recipes.models.encoder import Encoded
from tests.support.models import randomised

VOCABULARY = 11


def decoder(layers: int = 2, heads: int = 2, d_model: int = 12) -> TransformerDecoder:
    torch.manual_seed(0)
    model = TransformerDecoder(d_model, VOCABULARY, layers=layers, heads=heads, d_ffn=20, dropout=0.3)
    return randomised(model).double()


def encoded(lengths=(7, 3, 1), d_model: int = 12, padding: float = 10.0) -> Encoded:
    frames = torch.randn(len(lengths), max(lengths), d_model, generator=torch.Generator().manual_seed(1)).double()
    for row, length in enumerate(lengths):
        frames[row, length:] = padding
    return Encoded(frames, torch.tensor(lengths))


def some_tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, shape, generator=torch.Generator().manual_seed(2))


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-8)


@torch.no_grad()
def step_by_step(model, source, tokens):
    """Logits ``[hypotheses, U, vocabulary]``, computed one token at a time."""
    cross, cache, steps = model.prepare(source), model.init_cache(len(tokens)), []
    for column in tokens.T:
        logits, cache = model.step(column, cross, cache)
        steps.append(logits)
    return torch.stack(steps, 1)


@pytest.mark.parametrize("layers, heads", [(1, 1), (2, 3), (3, 4)], ids=["one-layer", "two-layers", "three-layers"])
def test_steps_equal_forward(layers, heads):
    model, source, tokens = decoder(layers, heads), encoded(), some_tokens(3, 9)
    with torch.no_grad():
        assert_same(step_by_step(model, source, tokens), model(source, tokens))


@pytest.mark.parametrize("beam", [1, 4])
def test_beams_equal_repeated_utterances(beam):
    """Hypotheses of an utterance share its encoder frames, and decode as if each had its own copy."""
    model, source, tokens = decoder(), encoded(), some_tokens(3 * beam, 6)
    repeated = Encoded(source.frames.repeat_interleave(beam, 0), source.lengths.repeat_interleave(beam))
    with torch.no_grad():
        assert_same(step_by_step(model, source, tokens), model(repeated, tokens))


def test_padded_encoder_frames_have_no_effect():
    model, tokens = decoder(), some_tokens(3, 5)
    with torch.no_grad():
        logits, other_padding = model(encoded(padding=10.0), tokens), model(encoded(padding=-3.0), tokens)
        alone = model(Encoded(encoded().frames[1:2, :3], torch.tensor([3])), tokens[1:2])
    assert_same(logits, other_padding)
    assert_same(logits[1:2], alone)


def test_later_tokens_have_no_effect():
    model, source, tokens = decoder(), encoded(), some_tokens(3, 6)
    changed = tokens.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % VOCABULARY
    with torch.no_grad():
        before, after = model(source, tokens), model(source, changed)
    assert_same(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amax(-1).min() > 1e-3


def test_every_earlier_token_and_its_position_count():
    """No table of positions: they differ far beyond the length of any sentence."""
    model, source = decoder(layers=1), encoded((4,))
    same_token = torch.full((1, 3000), 5)
    with torch.no_grad():
        logits = model(source, same_token)[0]
    assert all(not torch.allclose(a, b, atol=1e-7) for a, b in pairwise(logits[::100]))


def test_cache_select_follows_the_hypotheses():
    """After the search has reordered and doubled hypotheses, each goes on as if it had been decoded by itself."""
    model, source, tokens = decoder(), encoded((6, 4)), some_tokens(6, 5)
    selected = torch.tensor([2, 0, 2, 5, 3, 3])
    cross, cache = model.prepare(source), model.init_cache(6)
    with torch.no_grad():
        for column in tokens[:, :3].T:
            _, cache = model.step(column, cross, cache)
        cache = cache.select(selected)
        tokens = tokens[selected]
        for position in (3, 4):
            logits, cache = model.step(tokens[:, position], cross, cache)
        repeated = Encoded(source.frames.repeat_interleave(3, 0), source.lengths.repeat_interleave(3))
        assert_same(logits, model(repeated, tokens)[:, -1])


def test_heads_must_divide_the_width():
    with pytest.raises(ValueError, match=r"^TransformerDecoder: heads 5 must divide d_model 12$"):
        decoder(heads=5)
