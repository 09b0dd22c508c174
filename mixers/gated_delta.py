"""Gated DeltaNet: a matrix per head that frames write to and correct, read in both directions of time."""

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import logsigmoid, pad, sigmoid, silu

from .base import Context, Mixer, check_heads, check_option, sum_dtype, zero_padding
from .chunks import checkpointed, from_chunks, to_chunks, with_left_chunks
from .decays import decay_ratios, step_biases
from .directions import share_out
from .norms import rms_norm, unit_length

# Frames that are solved at once. With a decay per channel all pairs of a block hold a number for each channel.
BLOCK = {"head": 64, "channel": 16}


class Writes(NamedTuple):
    """With what each frame reads the matrix and what it writes into it: ``[…, heads, T, size]``, in the dtype of sums.

    queries, keys and values have the size of a head; strengths: ``[…, 1]``; log_decays: ``[…, 1 or head size]``, at
    most 0.
    """

    queries: Tensor
    keys: Tensor
    values: Tensor
    strengths: Tensor
    log_decays: Tensor

    def map(self, function, *arguments) -> "Writes":
        return Writes(*(function(part, *arguments) for part in self))


class DeltaState(NamedTuple):
    """The past of a stream. Of the two tensors one is used and the other is empty.

    ``matrix`` ``[B, heads that look back, head size, head size]``: where all the past is in view.
    ``written`` ``[B, heads that look back, frames, …]``: under ``left_chunks`` the keys, values, strengths and log
    decays of the frames that the next chunk may see.
    """

    matrix: Tensor
    written: Tensor


class GatedDelta(Mixer):
    """Gated DeltaNet (https://arxiv.org/abs/2412.06464, equation 10), half of the heads in each direction of time.

        S_t = (I - b_t k_t k_t^T) diag(a_t) S_(t-1) + b_t k_t v_t^T,   r_t = S_t^T q_t
        q, k = SiLU(W x) / length,  v = SiLU(W x),  b = sigmoid(W x),  log a = -exp(A) softplus(W x + c)
        y = out(RMSNorm(r) * SiLU(gate(x)))

    Each head has a matrix S ``[head size, head size]``. A frame replaces what S holds under its key. The frames of a
    block are solved in parallel (section 3.3 there), and S is carried from block to block. The convolutions of the
    published layer are left out, because encoders have their own. Under a context the future ends with the chunk.
    RMSNorm adds 1e-3 to the mean square (`mixers.norms`), so that what the first frames read comes out smaller.

    decay: a single a_t for each ``head``, or one for each ``channel`` of the keys, through a projection of low rank
    (Kimi Delta Attention, https://arxiv.org/abs/2510.26692, equation 1).
    directions: ``past`` or ``future``, assigned to the heads in turn.
    Raises ValueError for heads that do not divide d_model, or an unknown decay or direction.
    """

    paper = "2412.06464"
    year = 2024
    decays = ("head", "channel")

    def __init__(
        self,
        d_model: int,
        *,
        heads: int = 4,
        decay: str = "head",
        directions: Sequence[str] = ("past", "future"),
    ):
        super().__init__()
        check_heads("GatedDelta", heads, d_model=d_model)
        check_option("GatedDelta", "decay", decay, self.decays)
        for direction in directions:
            check_option("GatedDelta", "direction", direction, ("past", "future"))
        self.shares = share_out("GatedDelta", directions, heads)
        self.heads, self.head_size, self.decay = heads, d_model // heads, decay
        self.qkv = nn.Linear(d_model, 3 * d_model, bias=False)
        self.strength = nn.Linear(d_model, heads)
        if decay == "head":
            self.step_size = nn.Linear(d_model, heads)
        else:
            self.step_rank = nn.Linear(d_model, self.head_size, bias=False)
            self.step_size = nn.Linear(self.head_size, d_model)
        self.rate = nn.Parameter(torch.zeros(heads))  # A
        self.gate = nn.Linear(d_model, d_model)
        self.norm_weight = nn.Parameter(torch.ones(self.head_size))
        self.out = nn.Linear(d_model, d_model)
        with torch.no_grad():
            self.step_size.bias.copy_(step_biases(self.step_size.bias.numel()))

    def project(self, x: Tensor, mask: Tensor | None = None) -> Writes:
        """``Writes`` of frames x ``[B, T, d_model]``. Padded frames write nothing, and let nothing decay."""
        steps = self.step_size(x if self.decay == "head" else self.step_rank(x))
        parts = [*self.qkv(x).chunk(3, -1), self.strength(x), steps]
        q, k, v, strengths, steps = (part.to(sum_dtype(part)).unflatten(-1, (self.heads, -1)) for part in parts)
        rate = self.rate.to(steps.dtype).exp()[:, None]
        strengths = zero_padding(sigmoid(strengths), mask)
        log_decays = zero_padding(rate * logsigmoid(-steps), mask)  # -softplus(x) = logsigmoid(-x)
        writes = Writes(unit_length(silu(q)), unit_length(silu(k)), silu(v), strengths, log_decays)
        return writes.map(torch.transpose, 1, 2)

    def finish(self, x: Tensor, read: list[Tensor]) -> Tensor:
        """y of x and what its frames read, ``[B, heads, T, head size]`` from each direction."""
        normalized = rms_norm(torch.cat(read, 1), self.norm_weight).transpose(1, 2).flatten(2)
        return self.out(normalized.to(x.dtype) * silu(self.gate(x)))

    def forward(self, x, mask=None, context=None):
        x = zero_padding(x, mask)
        writes = self.project(x, mask)
        back, ahead = (
            writes.map(lambda part: part[:, : self.shares.past]),
            writes.map(lambda part: part[:, self.shares.past :]),
        )
        read = []
        with torch.autocast(x.device.type, enabled=False):
            if self.shares.past:
                bounded = context is not None and context.left_chunks is not None
                read.append(checkpointed(self.look_back, context, *back) if bounded else self.run(back)[0])
            if self.shares.future:
                read.append(self.look_ahead(ahead, context))
        return self.finish(x, read)

    def look_back(self, context: Context, *writes: Tensor) -> Tensor:
        """What frames read of the past under ``left_chunks``: each chunk starts there, with an empty matrix."""
        frames = writes[0].shape[2]
        by_time = Writes(*writes).map(torch.transpose, 1, 2)
        windows = by_time.map(with_left_chunks, context).map(torch.flatten, 0, 1).map(torch.transpose, 1, 2)
        read = self.run(windows)[0][:, :, -context.chunk :].transpose(1, 2)
        return from_chunks(read.unflatten(0, (writes[0].shape[0], -1)), frames).transpose(1, 2)

    def look_ahead(self, writes: Writes, context: Context | None) -> Tensor:
        """What frames read of the future: the recurrence backward from the last frame, of all or of each chunk."""
        batch, _, frames = writes.queries.shape[:3]
        chunk = frames if context is None else context.chunk
        chunks = writes.map(torch.transpose, 1, 2).map(to_chunks, chunk).map(torch.flatten, 0, 1)
        read = self.run(chunks.map(torch.transpose, 1, 2).map(torch.flip, (2,)))[0].flip(2).transpose(1, 2)
        return from_chunks(read.unflatten(0, (batch, -1)), frames).transpose(1, 2)

    def run(self, writes: Writes, state: Tensor | None = None) -> tuple[Tensor, Tensor]:
        """The recurrence over frames ``[B, heads, T, …]``, from ``state`` on: what they read, and the last state."""
        batch, heads, frames = writes.queries.shape[:3]
        size = min(BLOCK[self.decay], frames)
        blocks = writes.map(torch.flatten, 0, 1).map(to_chunks, size)
        asked, inside, kept, added = checkpointed(solve_blocks, *blocks)
        matrix = torch.zeros_like(added[:, 0]) if state is None else state.flatten(0, 1)
        before = []
        for kept_block, added_block in zip(kept.unbind(1), added.unbind(1), strict=True):
            before.append(matrix)
            matrix = kept_block @ matrix + added_block
        read = from_chunks(inside + asked @ torch.stack(before, 1), frames)
        return read.unflatten(0, (batch, heads)), matrix.unflatten(0, (batch, heads))

    def init_state(self, batch, context):
        like = self.out.weight
        zeros = like.new_zeros(batch, self.shares.past, self.head_size, self.head_size, dtype=sum_dtype(like))
        frames = 0 if context.left_chunks is None else context.left_chunks * context.chunk
        written = like.new_zeros(batch, self.shares.past, frames, self.numbers_written(), dtype=sum_dtype(like))
        return DeltaState(zeros if context.left_chunks is None else zeros[:, :0], written)

    def numbers_written(self) -> int:
        """How many numbers a frame writes for each head: key, value, strength, log decays."""
        return 2 * self.head_size + 1 + (1 if self.decay == "head" else self.head_size)

    def step(self, x, state):
        writes = self.project(x)
        back, ahead = (
            writes.map(lambda part: part[:, : self.shares.past]),
            writes.map(lambda part: part[:, self.shares.past :]),
        )
        frames, read = x.shape[1], []
        with torch.autocast(x.device.type, enabled=False):
            if self.shares.past and state.matrix.shape[1]:
                values, matrix = self.run(back, state.matrix)
                read.append(values)
                state = state._replace(matrix=matrix)
            elif self.shares.past:
                kept = state.written.shape[2]
                written = torch.cat([state.written, torch.cat(back[1:], -1)], 2)
                sizes = [part.shape[-1] for part in back[1:]]
                queries = pad(back.queries, (0, 0, kept, 0))
                read.append(self.run(Writes(queries, *written.split(sizes, -1)))[0][:, :, -frames:])
                state = state._replace(written=written[:, :, written.shape[2] - kept :])
            if self.shares.future:
                read.append(self.look_ahead(ahead, None))
        return self.finish(x, read), state

    def state_size(self, frames, context=None):
        if context is None or context.left_chunks is None:
            return self.shares.past * self.head_size**2
        return self.shares.past * context.left_chunks * context.chunk * self.numbers_written()


def solve_blocks(q: Tensor, k: Tensor, v: Tensor, strengths: Tensor, log_decays: Tensor) -> tuple[Tensor, ...]:
    """Blocks of frames ``[…, T, size]``, each as a linear function of the matrix S before it.

    What frames read is inside + asked S, and the matrix after the block is kept S + added. Inside a block
    S_t = D_t S + sum over u <= t of (D_t / D_u) k_u w_u^T with D the product of decays so far, where
    w_t = b_t (v_t - (D_t S)^T k_t - sum over u < t of (k_t . (D_t / D_u) k_u) w_u): a triangular system.
    """
    so_far = log_decays.cumsum(-2)
    decays, last = so_far.exp(), so_far[..., -1:, :]
    system = strengths * decayed_scores(k, k, so_far).tril(-1)
    targets = strengths * torch.cat([v, decays * k], -1)
    solved = torch.linalg.solve_triangular(system, targets, upper=False, unitriangular=True)
    written, overwritten = solved.split([v.shape[-1], k.shape[-1]], -1)
    scores = decayed_scores(q, k, so_far)
    keys_at_end = (k * (last - so_far).exp()).transpose(-1, -2)
    kept = torch.diag_embed(last.exp().squeeze(-2).expand(*k.shape[:-2], k.shape[-1])) - keys_at_end @ overwritten
    return decays * q - scores @ overwritten, scores @ written, kept, keys_at_end @ written


def decayed_scores(q: Tensor, k: Tensor, so_far: Tensor) -> Tensor:
    """q_t . (D_t / D_u) k_u for u <= t, else 0: ``[…, T, T]``. so_far: log D, for all channels alike or for each."""
    ratios = decay_ratios(so_far)
    if so_far.shape[-1] == 1:
        return (q @ k.transpose(-1, -2)) * ratios.squeeze(-1)
    return ((q[..., :, None, :] * k[..., None, :, :]) * ratios).sum(-1)
