"""The quadratic baselines: their common part, and softmax attention with rotary positions."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from .base import Context, Mixer, check_even, check_heads, check_option, zero_padding
from .dropout import attention
from .positions import rotate


class AttentionState(NamedTuple):
    """Keys and values ``[B, heads, frames, head size]`` of the past frames that the next chunk may see.

    ``max_frames`` ``[B]``, on the CPU: how many frames to keep at most, -1 for all.
    """

    keys: Tensor
    values: Tensor
    max_frames: Tensor


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
        weight = self.out.weight
        empty = weight.new_zeros(batch, self.heads, 0, weight.shape[0] // self.heads)
        max_frames = -1 if context.left_chunks is None else context.left_chunks * context.chunk
        return AttentionState(empty, empty, torch.full((batch,), max_frames))

    def step(self, x, state):
        queries, keys, values = self.project(x)
        past = state.keys.shape[2]
        keys, values = torch.cat([state.keys, keys], 2), torch.cat([state.values, values], 2)
        mixed = self.attend(queries, keys, values, past, None)
        max_frames = int(state.max_frames[0])
        if max_frames >= 0:
            start = max(keys.shape[2] - max_frames, 0)
            keys, values = keys[:, :, start:], values[:, :, start:]
        return self.out(mixed.transpose(1, 2).flatten(2)), state._replace(keys=keys, values=values)

    def state_size(self, frames, context=None):
        if context is not None and context.left_chunks is not None:
            frames = min(frames, context.chunk * context.left_chunks)
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
        return attention(queries, keys, values, visible=visible, p=p, scale=self.scale)


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
