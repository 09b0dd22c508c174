"""Masks of attention modules as mixers understand them."""

from itertools import product

import pytest
import torch
from speechbrain.lobes.models.transformer.Transformer import get_lookahead_mask
from speechbrain.lobes.models.transformer.TransformerASR import make_transformer_src_mask
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig

from mixers import Context
from mixers.attention import visible_frames
from recipes.errors import RecipeError
from recipes.stock.masks import hidden_frames, mask_and_context


def padded(*lengths: int) -> torch.Tensor:
    return torch.arange(max(lengths))[None] >= torch.tensor(lengths)[:, None]


@pytest.mark.parametrize(("chunk", "left"), product((1, 3, 4, 20), (None, 0, 1, 2)))
@pytest.mark.parametrize("lengths", [(12,), (1,), (13, 5), (4, 11, 2)], ids=str)
def test_speechbrain_chunks_are_a_context(chunk, left, lengths):
    """Which lets each real frame see the real frames that the mask lets it see."""
    padding = padded(*lengths)
    batch, frames = padding.shape
    hidden = make_transformer_src_mask(torch.zeros(batch, frames, 1), False, DynChunkTrainConfig(chunk, left))
    mask, context = mask_and_context(padding, hidden_frames(hidden), batch, frames)
    assert torch.equal(mask, ~padding)
    everything = torch.ones(frames, frames, dtype=torch.bool)
    seen = everything if context is None else visible_frames(frames, None, context, padding.device)
    for row, length in enumerate(lengths):
        assert torch.equal(seen[:length, :length], ~hidden[:length, :length]), (row, context)


def test_a_causal_mask_is_chunks_of_one_frame():
    hidden = hidden_frames(get_lookahead_mask(torch.zeros(2, 9, 1)))  # of floats
    assert mask_and_context(None, hidden, 2, 9)[1] == Context(1, None)
    for_heads = hidden.expand(2 * 4, 9, 9)  # torch: batch and heads in one dimension
    assert mask_and_context(None, for_heads, 2, 9)[1] == Context(1, None)


def test_what_no_frame_sees_is_padding():
    """transformers has one mask for both: [B, 1, T, T]."""
    padding = padded(7, 4)
    hidden = padding[:, None, None].expand(2, 1, 7, 7)
    mask, context = mask_and_context(None, hidden, 2, 7)
    assert torch.equal(mask, ~padding) and context is None
    causal = hidden | torch.ones(7, 7, dtype=torch.bool).triu(1)
    mask, context = mask_and_context(None, causal, 2, 7)
    assert torch.equal(mask, ~padding) and context == Context(1, None)


def test_nothing_hidden_is_no_context():
    assert mask_and_context(None, None, 2, 5) == (None, None)
    mask, context = mask_and_context(None, torch.zeros(5, 5, dtype=torch.bool), 2, 5)
    assert mask.all() and context is None


def test_values_of_masks():
    assert hidden_frames(None) is None
    half = torch.tensor([0.0, -65504.0, float("-inf")], dtype=torch.float16)
    assert hidden_frames(half).tolist() == [False, True, True]
    assert hidden_frames(torch.tensor([0, 2, 1], dtype=torch.uint8)).tolist() == [False, True, True]
    with pytest.raises(RecipeError, match="this mask is a dict, and not a tensor: build the model with"):
        hidden_frames({})  # as transformers' flex attention has objects of its own
    with pytest.raises(RecipeError, match="adds weights to attention scores"):
        hidden_frames(torch.tensor([0.0, -0.5]))


FRAMES = torch.arange(9)
DISTANCE = FRAMES[None] - FRAMES[:, None]
NO_CONTEXT = {
    "the future alone": DISTANCE < 0,
    "a sliding window": DISTANCE.abs() > 2,
    "a look ahead of two frames": DISTANCE > 2,
    "heads that differ": torch.stack([DISTANCE > 0, DISTANCE > 3]).repeat(2, 1, 1),
    "a frame that sees nothing": (FRAMES[:, None] == 0).expand(9, 9),
    "past that is no whole chunk": (DISTANCE > 0) | (DISTANCE < -2) & (FRAMES[:, None] == 8),
}


@pytest.mark.parametrize("hidden", NO_CONTEXT.values(), ids=NO_CONTEXT)
def test_other_masks_are_refused(hidden):
    with pytest.raises(RecipeError, match="neither padding, nor causal, nor one of chunks"):
        mask_and_context(None, hidden, 2, 9)


def test_masks_of_other_sizes_are_refused():
    with pytest.raises(RecipeError, match=r"a mask of \[8, 8\] does not fit 2 utterances of 9 frames"):
        mask_and_context(None, DISTANCE[:8, :8] > 0, 2, 9)
