"""The quadratic baselines: their common part, and softmax attention with rotary positions."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .base import Context, Mixer, check_even, check_heads, check_option, zero_padding
from .positions import rotate
from .scaled_dot_product import scaled_dot_product_attention


class AttentionState(NamedTuple):
    """Keys and values ``[B, heads, frames, head size]`` of the past frames that the next chunk may see.

    Under ``left_chunks`` there is room for all of them from the start, and those that have come, ``frames`` ``[B, 1]``,
    int64, stand at the end. With all the past in view ``frames`` is empty.
    """

    keys: Tensor
    values: Tensor
    frames: Tensor


class SoftmaxAttention(Mixer):
    """The common part of both baselines: projections, masks and the cache of keys and values. Quadratic in time.

    heads must divide d_model. scale: scores are divided by the root of the ``head`` size or, as stock
    SpeechBrain does, of the ``model`` size. dropout: on the attention weights, in training.
    Raises ValueError for heads that do not divide d_model or an unknown scale.
    """

    linear = False
    scales = ("head", "model")

    def __init__(self, d_model: int, *, heads: int = 4, scale: str = "head", dropout: float = 0.0):
        super().__init__()
        check_heads(type(self).__name__, heads, d_model=d_model)
        check_option(type(self).__name__, "scale", scale, self.scales)
        self.heads, self.dropout = heads, dropout
        self.scale = 1 / math.sqrt(d_model // heads if scale == "head" else d_model)
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.out = nn.Linear(d_model, d_model)
        nn.init.xavier_uniform_(self.qkv.weight)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """Queries, keys and values, each ``[B, heads, T, head size]``."""
        return self.qkv(x).unflatten(-1, (3, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def attend(self, queries: Tensor, keys: Tensor, values: Tensor, position: int, visible: Tensor | None) -> Tensor:
        """Attention of queries to keys and values, each ``[B, heads, frames, head size]``; the shape of the queries.

        The first query stands at frame ``position`` of the keys. visible: bool, broadcastable to
        ``[B, heads, queries, keys]``, True where a query may see a key; None = all keys.
        """
        raise NotImplementedError

    def forward(self, x, mask=None, context=None):
        queries, keys, values = self.project(zero_padding(x, mask))
        mixed = self.attend(queries, keys, values, 0, visible_frames(x.shape[1], mask, context, x.device))
        return self.out(mixed.transpose(1, 2).flatten(2))

    def init_state(self, batch, context):
        weight, bounded = self.out.weight, context.left_chunks is not None
        room = context.left_chunks * context.chunk if bounded else 0
        empty = weight.new_zeros(batch, self.heads, room, weight.shape[0] // self.heads)
        return AttentionState(empty, empty, weight.new_zeros(batch, int(bounded), dtype=torch.int64))

    def step(self, x, state):
        queries, keys, values = self.project(x)
        past, new = state.keys.shape[2], x.shape[1]
        keys, values = torch.cat([state.keys, keys], 2), torch.cat([state.values, values], 2)
        if not state.frames.shape[1]:
            mixed, state = self.attend(queries, keys, values, past, None), AttentionState(keys, values, state.frames)
        else:
            visible = torch.arange(past + new, device=x.device) >= past - state.frames
            mixed = self.attend(queries, keys, values, past, visible[:, None, None])
            frames = (state.frames + new).clamp(max=past)
            state = AttentionState(keys[:, :, new:], values[:, :, new:], frames)
        return self.out(mixed.transpose(1, 2).flatten(2)), state

    def state_size(self, frames, context=None):
        if context is not None and context.left_chunks is not None:
            frames = context.chunk * context.left_chunks
        return 2 * frames * self.out.weight.shape[0]


class Attention(SoftmaxAttention):
    """Attention with rotary positions (RoPE, https://arxiv.org/abs/2104.09864), through torch's fused kernel.

    Only distances count, so a stream may number its cached frames afresh in every chunk. Options and errors
    are those of SoftmaxAttention; the head size must be even.
    """

    paper = "2104.09864"
    year = 2021

    def __init__(self, d_model: int, *, heads: int = 4, scale: str = "head", dropout: float = 0.0):
        super().__init__(d_model, heads=heads, scale=scale, dropout=dropout)
        check_even("Attention", "head size", d_model // heads)

    def attend(self, queries, keys, values, position, visible):
        p = self.dropout if self.training else 0.0
        queries, keys = rotate(queries, start=position), rotate(keys)
        return scaled_dot_product_attention(queries, keys, values, visible=visible, p=p, scale=self.scale)


def visible_frames(frames: int, mask: Tensor | None, context: Context | None, device: torch.device) -> Tensor | None:
    """bool, broadcastable to ``[B, heads, T, T]``: True where a query (row) may see a key (column).

    Every query sees at least one key, so that no softmax is empty: a padded query sees itself.
    """
    if context is None:
        if mask is None:
            return None
        without_real_frame = ~mask.any(1, keepdim=True)
        return (mask | without_real_frame)[:, None, None]
    chunk = torch.arange(frames, device=device) // context.chunk
    visible = chunk[None] <= chunk[:, None]
    if context.left_chunks is not None:
        visible &= chunk[None] >= chunk[:, None] - context.left_chunks
    if mask is None:
        return visible
    diagonal = torch.eye(frames, dtype=torch.bool, device=device)
    return ((visible & mask[:, None]) | diagonal)[:, None]
