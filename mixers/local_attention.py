"""Local attention: a window of frames around each, and a few global tokens that have read all frames."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import pad

from .base import Context, Mixer, check_heads, sum_dtype
from .chunks import (
    PastSums,
    append,
    checkpointed,
    empty_past,
    from_chunks,
    left_sums,
    masked_chunks,
    sums_kept,
    visible_sum,
)
from .products import product_dtype, sum_products

CAP = 10.0  # limit of the tokens' scores, which keeps their exponentials in range without knowing the largest score


class LocalState(NamedTuple):
    """The past of a stream.

    ``chunks`` and ``running``: what the tokens have read, as in ``mixers.chunks.PastSums``. ``window``
    ``[B, heads, frames, 2 * head size]``: keys and values of the frames before the next chunk. ``frames`` ``[B]``,
    int64: the number of past frames.
    """

    chunks: Tensor
    running: Tensor
    window: Tensor
    frames: Tensor


class LocalAttention(Mixer):
    """Attention to a window of frames and to global tokens (https://arxiv.org/abs/2004.05150, section 3.1), linear.

        tokens:  z_g = sum_u w_gu v_u / sum_u w_gu,   w_gu = exp(10 tanh(g . k_u / (10 root))),   root = sqrt(head size)
        frames:  y_t = out(sum_u softmax(s)_u v_u + sum_g softmax(s)_g W' z_g),   u from t - window to t + window, all g
                 s_tu = q_t . k_u / root + bias[u - t],   s_tg = q_t . W z_g / root

    The form of Fast Conformers for long audio (https://arxiv.org/abs/2305.05084), where the tokens are frames of the
    sequence; here they are learned queries g of each head. The tanh bounds their scores, so that sums of exponentials
    can be taken chunk by chunk. Under a context both see no more than the chunk may: a stream keeps the tokens' sums
    and a window of keys and values, however long it is.

    window: frames to either side. tokens: of each head.
    Raises ValueError for heads that do not divide d_model, or a window or tokens below one.
    """

    paper = "2004.05150"
    year = 2020

    def __init__(self, d_model: int, *, heads: int = 4, window: int = 32, tokens: int = 4):
        super().__init__()
        check_heads("LocalAttention", heads, d_model=d_model)
        for name, value in (("window", window), ("tokens", tokens)):
            if value < 1:
                raise ValueError(f"LocalAttention: {name} {value} must be at least 1")
        self.heads, self.head_size, self.window, self.tokens = heads, d_model // heads, window, tokens
        self.scale = 1 / math.sqrt(self.head_size)
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.bias = nn.Parameter(torch.zeros(heads, 2 * window + 1))
        self.token_queries = nn.Parameter(torch.randn(heads, tokens, self.head_size))
        self.token_keys = nn.Parameter(torch.randn(heads, self.head_size, self.head_size) * self.scale)
        self.token_values = nn.Parameter(torch.randn(heads, self.head_size, self.head_size) * self.scale)
        self.out = nn.Linear(d_model, d_model)

    def project(self, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """q, k and v ``[…, heads, T, head size]`` of x ``[…, T, d_model]``."""
        q, k, v = (part.unflatten(-1, (self.heads, -1)).transpose(-2, -3) for part in self.qkv(x).chunk(3, -1))
        return q * self.scale, k, v

    def token_sums(self, k: Tensor, v: Tensor, real: Tensor) -> Tensor:
        """Sums over time of w v and, as the last column, of w: ``[…, heads, tokens, head size + 1]``."""
        scores = (k @ self.token_queries.transpose(-1, -2)).to(sum_dtype(k)) * self.scale
        weights = (CAP * torch.tanh(scores / CAP)).exp().masked_fill(~real[..., None, :, None], 0.0)
        return torch.cat([sum_products(weights, v), weights.sum(-2)[..., None]], -1)

    def attend(self, q: Tensor, k: Tensor, v: Tensor, real: Tensor, sums: Tensor) -> Tensor:
        """The mixed values of chunks q ``[N, heads, T, head size]``: the same shape.

        k, v ``[N, heads, before + T, head size]``: also of at most ``window`` frames before the chunks; real: bool
        ``[N, before + T]``; sums: those of the tokens.
        """
        frames, size = q.shape[-2], min(self.window, q.shape[-2])
        blocks, span = -(-frames // size), size + 2 * self.window
        missing = blocks * size - frames
        ends = (self.window - (k.shape[-2] - frames), missing + self.window)
        q = pad(q, (0, 0, 0, missing)).unflatten(-2, (blocks, size))
        k, v = (windows(pad(part, (0, 0, *ends)), -2, span, size) for part in (k, v))  # [N, heads, blocks, …, span]
        seen = windows(pad(real, ends), -1, span, size)[:, None, :, None]
        distance = torch.arange(span, device=q.device) - torch.arange(size, device=q.device)[:, None]
        bias = self.bias[:, distance.clamp(0, 2 * self.window)][:, None]
        hidden = ~seen | (distance < 0) | (distance > 2 * self.window)
        z = (sums[..., :-1] / sums[..., -1:].clamp(min=torch.finfo(sums.dtype).tiny)).to(q.dtype)
        token_keys, token_values = (z @ self.token_keys)[:, :, None], (z @ self.token_values)[:, :, None]
        by_frames = ((q @ k).to(sum_dtype(q)) + bias).masked_fill(hidden, -torch.inf)
        by_tokens = (q @ token_keys.transpose(-1, -2)).to(sum_dtype(q))
        weights = torch.cat([by_frames, by_tokens], -1).softmax(-1).to(product_dtype(q))
        of_frames, of_tokens = weights.split([span, self.tokens], -1)
        mixed = of_frames @ v.transpose(-1, -2).to(of_frames.dtype) + of_tokens @ token_values.to(of_frames.dtype)
        return mixed.flatten(2, 3)[:, :, :frames]

    def frames_kept(self, context: Context | None) -> int:
        """How many frames before a chunk its windows reach."""
        if context is None:
            return 0
        return self.window if context.left_chunks is None else min(self.window, context.left_chunks * context.chunk)

    def forward(self, x, mask=None, context=None):
        chunks, real = masked_chunks(x, mask, context)
        q, k, v = self.project(chunks)
        sums = self.token_sums(k, v, real)
        if context is not None:
            sums = sums + left_sums(sums, context.left_chunks)
        kept, chunk = self.frames_kept(context), chunks.shape[2]

        def with_frames_before(part: Tensor) -> Tensor:
            """``[B, C, heads, chunk, d]`` → ``[B * C, heads, kept + chunk, d]``."""
            frames = pad(part.transpose(2, 3).flatten(1, 2), (0, 0, 0, 0, kept, 0))
            return frames.unfold(1, kept + chunk, chunk).flatten(0, 1).transpose(-1, -2)

        seen = pad(real.flatten(1), (kept, 0)).unfold(1, kept + chunk, chunk).flatten(0, 1)
        keys_and_values = (part.flatten(0, 1) if not kept else with_frames_before(part) for part in (k, v))
        mixed = checkpointed(self.attend, q.flatten(0, 1), *keys_and_values, seen, sums.flatten(0, 1))
        mixed = mixed.unflatten(0, chunks.shape[:2])
        return from_chunks(self.out(mixed.transpose(2, 3).flatten(3)), x.shape[1])

    def init_state(self, batch, context):
        like = self.out.weight
        past = empty_past(like, batch, context, self.heads, self.tokens, self.head_size + 1)
        window = like.new_zeros(batch, self.heads, self.frames_kept(context), 2 * self.head_size)
        return LocalState(*past, window, like.new_zeros(batch, dtype=torch.int64))

    def step(self, x, state):
        q, k, v = self.project(x)
        kept, frames = state.window.shape[2], x.shape[1]
        real = torch.ones(x.shape[:2], dtype=torch.bool, device=x.device)
        past, own = PastSums(state.chunks, state.running), self.token_sums(k, v, real)
        window = torch.cat([state.window, torch.cat([k, v], -1)], 2)
        keys, values = window.chunk(2, -1)
        seen = torch.arange(kept + frames, device=x.device) >= kept - state.frames[:, None]
        mixed = self.attend(q, keys, values, seen, visible_sum(past) + own)
        state = LocalState(*append(past, own), window[:, :, frames:], state.frames + frames)
        return self.out(mixed.transpose(1, 2).flatten(2)), state

    def state_size(self, frames, context=None):
        window = self.window if context is None else self.frames_kept(context)
        sums = sums_kept(context) * self.heads * self.tokens * (self.head_size + 1)
        return sums + 2 * window * self.out.in_features


def windows(x: Tensor, dim: int, span: int, step: int) -> Tensor:
    """``x.unfold(dim, span, step)``; a single window without it, which an exported graph takes for a fixed size."""
    return x.unfold(dim, span, step) if x.shape[dim] > span else x.movedim(dim, -1).unsqueeze(dim - 1)
