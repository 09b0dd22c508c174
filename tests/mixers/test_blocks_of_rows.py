"""Attention whose scores are computed in blocks of rows equals attention over all scores at once."""

import pytest
import torch

from mixers import Attention, Context, RelposAttention, scaled_dot_product
from mixers.base import lengths_to_mask

FRAMES = 23


@pytest.fixture
def in_blocks(monkeypatch):
    """A call that has blocks of at most seven rows from then on, of unlike sizes; without dropout, which is drawn."""

    def divide():
        monkeypatch.setattr(scaled_dot_product, "SCORES_IN_CACHE", 0)
        monkeypatch.setattr(scaled_dot_product, "ROWS_AT_ONCE", 7)

    monkeypatch.setattr(scaled_dot_product, "dropout", lambda weights, p, training: weights)
    monkeypatch.setattr("mixers.relpos_attention.dropout", lambda weights, p, training: weights)
    return divide


@pytest.mark.parametrize("context", [None, Context(4), Context(4, 2)])
@pytest.mark.parametrize("lengths", [None, [FRAMES, 9]])
@pytest.mark.parametrize("kind", [Attention, RelposAttention])
def test_outputs_and_gradients_are_those_of_all_scores_at_once(kind, lengths, context, in_blocks):
    mixer = kind(16, heads=2, dropout=0.5).double().train()
    x = torch.randn(2, FRAMES, 16, dtype=torch.float64, requires_grad=True)
    mask = None if lengths is None else lengths_to_mask(torch.tensor(lengths), FRAMES)

    def outputs():
        mixed = mixer(x, mask, context)
        mixed = mixed if mask is None else mixed[mask]
        with torch.no_grad():
            evaluated = mixer.eval()(x, mask, context)
        mixer.train()
        gradients = torch.autograd.grad(mixed.square().sum(), [x, *mixer.parameters()])
        return [mixed, evaluated if mask is None else evaluated[mask], *gradients]

    whole = outputs()
    in_blocks()
    assert len(scaled_dot_product.blocks_of_rows(x, x)) == 4
    for ours, expected in zip(outputs(), whole, strict=True):
        torch.testing.assert_close(ours, expected, rtol=1e-9, atol=1e-12)


def test_the_last_frame_of_causal_attention_sees_all_others_in_blocks_too(in_blocks):
    queries = torch.randn(1, 2, FRAMES, 4, dtype=torch.float64)
    expected = scaled_dot_product.scaled_dot_product_attention(queries, queries, queries, causal=True)
    in_blocks()
    causal = scaled_dot_product.scaled_dot_product_attention(queries, queries, queries, causal=True, p=0.5)
    torch.testing.assert_close(causal, expected)


def test_few_scores_stay_in_one_block():
    few, many = torch.empty(1, 4, 300, 36), torch.empty(4, 4, 1500, 36)
    assert scaled_dot_product.blocks_of_rows(few, few) == [slice(0, 300)]
    blocks = scaled_dot_product.blocks_of_rows(many, many)
    assert [block.start for block in blocks] == list(range(0, 1500, 250))
    assert blocks[-1].stop == 1500
