"""HyperMixing: an MLP over time whose weights small networks write, frame by frame."""

import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu

from mixers.base import Mixer, check_even, check_heads, sum_dtype
from mixers.chunks import Past, append, from_chunks, heard, in_chunks, no_past, recomputed, sum_before, totals_kept
from mixers.positions import sinusoids


class HyperNetwork(nn.Module):
    """``heads`` two-layer MLPs: ``[heads, …, size]`` → ``[heads, …, out_size]``."""

    def __init__(self, heads: int, size: int, out_size: int):
        super().__init__()
        self.fc1_weights = nn.Parameter(torch.empty(heads, size, size))
        self.fc1_biases = nn.Parameter(torch.empty(heads, size))
        self.fc2_weights = nn.Parameter(torch.empty(heads, out_size, size))
        self.fc2_biases = nn.Parameter(torch.empty(heads, out_size))
        bound = 1 / math.sqrt(size)  # nn.Linear's own initialisation, per head
        for parameter in self.parameters():
            nn.init.uniform_(parameter, -bound, bound)

    def forward(self, z: Tensor) -> Tensor:
        hidden = torch.baddbmm(self.fc1_biases[:, None], z.flatten(1, -2), self.fc1_weights.transpose(1, 2))
        written = torch.baddbmm(self.fc2_biases[:, None], gelu(hidden), self.fc2_weights.transpose(1, 2))
        return written.view(*z.shape[:-1], -1)


class HyperState(NamedTuple):
    """``chunks`` and ``running``: the totals W1^T X, as in ``mixers.chunks.Past``.

    ``frames`` ``[B]``, int64: how many frames are past.
    """

    chunks: Tensor
    running: Tensor
    frames: Tensor


class HyperMixing(Mixer):
    """Multi-head HyperMixing (https://arxiv.org/abs/2305.18281, of https://arxiv.org/abs/2203.03691).

        z = x + sinusoidal positions;  for each head:  W1 = G1(z), W2 = G2(z)  [T, k]
        Y = W2 GELU(W1^T X)            y = LayerNorm([Y_1 ; … ; Y_heads])

    Linear in time: W1^T X ``[k, d_model / heads]`` is a sum over frames. Under a context it is the sum over
    the frames that the chunk may see, so a stream keeps one such matrix a head.

    hypernet_size: k of all heads together, default 4 * d_model; the published Conformer recipes take d_ffn.
    tied: one network writes both weights, W2 = W1.
    Raises ValueError for heads that do not divide d_model and hypernet_size, or an odd d_model.
    """

    def __init__(self, d_model: int, *, heads: int = 8, hypernet_size: int | None = None, tied: bool = False):
        super().__init__()
        hypernet_size = hypernet_size or 4 * d_model
        check_heads("HyperMixing", heads, d_model=d_model, hypernet_size=hypernet_size)
        check_even("HyperMixing", "d_model", d_model)
        self.heads = heads
        self.total_shape = (heads, hypernet_size // heads, d_model // heads)
        self.w1 = HyperNetwork(heads, d_model // heads, hypernet_size // heads)
        self.w2 = self.w1 if tied else HyperNetwork(heads, d_model // heads, hypernet_size // heads)
        self.norm = nn.LayerNorm(d_model)

    def by_head(self, x: Tensor) -> Tensor:
        """``[…, d_model]`` → ``[heads, …, d_model / heads]``: heads first, so that no product moves memory."""
        return x.unflatten(-1, (self.heads, -1)).movedim(-2, 0).contiguous()

    def time_weights(self, x: Tensor, frames: Tensor) -> tuple[Tensor, Tensor]:
        """W1 and W2 ``[heads, …, T, k]`` of x ``[…, T, d_model]``; frames: the numbers of its frames."""
        z = self.by_head(x + sinusoids(frames, x.shape[-1], x.dtype))
        w1 = self.w1(z)
        return w1, w1 if self.w2 is self.w1 else self.w2(z)

    def joined(self, y: Tensor) -> Tensor:
        """``[heads, …, d_model / heads]`` → ``[…, d_model]``, normalised."""
        return self.norm(y.movedim(0, -2).flatten(-2))

    def forward(self, x, mask=None, context=None):
        chunks, real = in_chunks(x, mask, context)
        frames = torch.arange(real[0].numel(), device=x.device).view(real.shape[1:])
        w1, w2 = self.time_weights(chunks, frames)
        # A padded frame of x is zero, and so writes nothing, whatever its weight.
        x_heads = self.by_head(chunks)
        if context is None:
            y = write(w2, read(w1, x_heads))
        else:
            # A matrix for every chunk, so one head at a time.
            heads = zip(w1, w2, x_heads, strict=True)
            y = torch.stack([recomputed(mix_chunks, *head, context.left_chunks) for head in heads])
        return from_chunks(self.joined(y), x.shape[1])

    def init_state(self, batch, context):
        past = no_past(self.norm.weight, batch, context, *self.total_shape)
        return HyperState(*past, self.norm.weight.new_zeros(batch, dtype=torch.int64))

    def step(self, x, state):
        past = Past(state.chunks, state.running)
        w1, w2 = self.time_weights(x, state.frames[:, None] + torch.arange(x.shape[1], device=x.device))
        total = read(w1, self.by_head(x))
        y = write(w2, heard(past).transpose(0, 1) + total)
        return self.joined(y), HyperState(*append(past, total.transpose(0, 1)), state.frames + x.shape[1])

    def state_size(self, frames, context=None):
        return totals_kept(context) * math.prod(self.total_shape)


def read(w1: Tensor, x: Tensor) -> Tensor:
    """W1^T X in the dtype of sums: ``[…, T, k]``, ``[…, T, d]`` → ``[…, k, d]``."""
    return (w1.transpose(-1, -2) @ x).to(sum_dtype(x))


def write(w2: Tensor, total: Tensor) -> Tensor:
    """W2 GELU(W1^T X): ``[…, T, k]``, ``[…, k, d]`` → ``[…, T, d]``."""
    return w2 @ gelu(total).to(w2.dtype)


def mix_chunks(w1: Tensor, w2: Tensor, x: Tensor, left_chunks: int | None) -> Tensor:
    """Each chunk writes what it and the chunks in its sight read: ``[B, C, chunk, …]``."""
    totals = read(w1, x)
    return write(w2, totals + sum_before(totals, left_chunks))
