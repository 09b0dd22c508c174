"""The Transformer language model: its steps equal its forward, causality, positions, sizes."""

import pytest
import torch

from recipes.models.language_model import TransformerLM
from tests.support.models import randomised

VOCABULARY = 13


def language_model(layers: int = 2, heads: int = 2, norm_first: bool = True) -> TransformerLM:
    model = TransformerLM(VOCABULARY, 12, layers=layers, heads=heads, d_ffn=20, dropout=0.3, norm_first=norm_first)
    return randomised(model).double()


def some_tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, shape, generator=torch.Generator().manual_seed(2))


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-8)


@pytest.mark.parametrize("norm_first", [True, False], ids=["norm-first", "norm-last"])
@pytest.mark.parametrize("layers, heads", [(1, 1), (3, 4)], ids=["one-layer", "three-layers"])
@torch.no_grad()
def test_steps_equal_forward(layers, heads, norm_first):
    model, tokens = language_model(layers, heads, norm_first), some_tokens(3, 9)
    cache, steps = model.init_cache(3), []
    for column in tokens.T:
        logits, cache = model.step(column, cache)
        steps.append(logits)
    assert_same(torch.stack(steps, 1), model(tokens))


@torch.no_grad()
def test_cache_select_follows_the_hypotheses():
    """After a search has reordered and doubled hypotheses, each goes on as if it had been decoded by itself."""
    model, tokens, selected = language_model(), some_tokens(4, 5), torch.tensor([2, 0, 2, 3, 3])
    cache = model.init_cache(4)
    for column in tokens[:, :3].T:
        _, cache = model.step(column, cache)
    cache, tokens = cache.select(selected), tokens[selected]
    tokens[:, 3:] = some_tokens(5, 2)
    for position in (3, 4):
        logits, cache = model.step(tokens[:, position], cache)
    assert_same(logits, model(tokens)[:, -1])


@torch.no_grad()
def test_later_tokens_have_no_effect():
    model, tokens = language_model(), some_tokens(3, 6)
    changed = tokens.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % VOCABULARY
    before, after = model(tokens), model(changed)
    assert_same(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amax(-1).min() > 1e-3


@torch.no_grad()
def test_positions_do_not_end():
    """SpeechBrain's table ends at 2,500; here positions beyond it differ."""
    model = language_model(layers=1)
    logits = model(torch.full((1, 2600), 5))[0]
    assert (logits[2550] - logits[2599]).abs().max() > 1e-7
    assert model.vocab_size == VOCABULARY


@pytest.mark.parametrize(
    ("d_model", "heads", "message"),
    [
        (12, 5, "TransformerLM: heads 5 must divide d_model 12"),
        (9, 3, "TransformerLM: d_model must be an even whole number from 2 up, not 9"),
    ],
    ids=["heads", "odd-width"],
)
def test_sizes_that_do_not_fit(d_model, heads, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TransformerLM(VOCABULARY, d_model, layers=1, heads=heads, d_ffn=4)
