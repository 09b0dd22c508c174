"""SummaryMixing: every frame sees the same summary of the utterance."""

import math
from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor, nn
from torch.nn.functional import gelu, linear

from .base import Mixer, check_heads, check_option, zero_padding
from .chunks import from_chunks, masked_chunks
from .directions import Shares, share_out
from .placed_summaries import DirectionalMean, RotaryMean, WindowedMean
from .summaries import DecayedMean, Mean, Statistic


class ParallelMLP(nn.Module):
    """``heads`` MLPs side by side, each over its own slice of the features; exact GELU after every layer.

    sizes: of the input and of each layer's output; all must be divisible by ``heads``.
    ``[…, sizes[0]]`` → ``[…, sizes[-1]]``.
    """

    def __init__(self, sizes: list[int], heads: int):
        super().__init__()
        self.heads = heads
        shapes = [(heads, size // heads, next_size // heads) for size, next_size in pairwise(sizes)]
        self.weights = nn.ParameterList(torch.empty(shape) for shape in shapes)
        self.biases = nn.ParameterList(torch.empty(shape[0], shape[2]) for shape in shapes)
        for weight, bias in zip(self.weights, self.biases, strict=True):
            bound = 1 / math.sqrt(weight.shape[1])  # nn.Linear's own initialisation, per head
            nn.init.uniform_(weight, -bound, bound)
            nn.init.uniform_(bias, -bound, bound)

    def forward(self, x: Tensor) -> Tensor:
        layers = zip(self.weights, self.biases, strict=True)
        if self.heads == 1:
            for weight, bias in layers:
                x = gelu(linear(x, weight[0].T, bias[0]))
            return x
        by_head = x.flatten(0, -2).unflatten(-1, (self.heads, -1)).transpose(0, 1)  # products read it as it stands
        for weight, bias in layers:
            by_head = gelu(torch.baddbmm(bias[:, None], by_head, weight))
        return by_head.transpose(0, 1).reshape(*x.shape[:-1], -1)


class SummaryMixing(Mixer):
    """SummaryMixing (https://arxiv.org/abs/2307.07421, equations 1–3), exact and linear in time.

        f_t = MLP_local(x_t),  s_t = MLP_summary(x_t),  m = mean of s_t over the real frames
        y_t = GELU(W [f_t ; m] + b)

    variant: ``full`` as above; ``lite``: y_t = m, nothing but the summary; ``fast``: a single layer computes both,
    [f_t ; s_t] = MLP_joint(x_t); ``expdecay``: frame t sees the mean in which frame u counts decay^|t-u|;
    ``windowed`` (https://arxiv.org/abs/2602.09043): W [f_t ; m ; w_t], w_t = mean of s over t - window … t + window.
    heads: parallel slices of the local and summary MLPs, or of the joint MLP.
    hidden_sizes: sizes of both MLPs' layers before the last; default a single layer of ``d_model``.
    local_size, summary_size: sizes of f and m; default ``d_model`` (``lite``: always ``d_model``).
    decay: of ``expdecay``, above 0 and at most 1. window: of ``windowed``, frames to either side.
    norm: LayerNorm on f and on m, as in SpeechBrain's later recipes.
    Two options make the order of frames matter, which a plain mean ignores. They do not go with ``expdecay`` or
    ``windowed``, nor with each other:
    directions: m is divided into equal parts, one for each direction: the mean of the frames so far (``past``), of
    those from t on (``future``, under a context up to the end of the chunk) or of all (``whole``).
    rotary: the share of m, 0 to 1, in which s_u is rotated by its distance u - t, with periods from 5 to 2,000 frames.
    Under a context the mean is over the frames that the chunk may see (https://arxiv.org/abs/2409.07165).
    Raises ValueError for an unknown variant or direction, heads that do not divide every size, hidden layers for
    ``fast``, a number out of range, or options that exclude each other.
    """

    paper = "2307.07421"
    year = 2023
    variants = ("full", "lite", "fast", "expdecay", "windowed")

    def __init__(
        self,
        d_model: int,
        *,
        heads: int = 1,
        hidden_sizes: list[int] | None = None,
        local_size: int | None = None,
        summary_size: int | None = None,
        variant: str = "full",
        decay: float = 0.995,
        window: int = 50,
        norm: bool = False,
        directions: Sequence[str] = ("whole",),
        rotary: float = 0.0,
    ):
        super().__init__()
        name = type(self).__name__
        check_option(name, "variant", variant, self.variants)
        if variant == "fast" and hidden_sizes:
            raise ValueError(f"{name}: variant 'fast' has no hidden layers; leave hidden_sizes out")
        if not 0 < decay <= 1:
            raise ValueError(f"{name}: decay {decay} must be above 0 and at most 1")
        hidden = [d_model] if hidden_sizes is None else list(hidden_sizes)
        local_size, summary_size = local_size or d_model, summary_size or d_model
        check_heads(name, heads, d_model=d_model, local_size=local_size, summary_size=summary_size)
        for size in hidden:
            check_heads(name, heads, hidden_size=size)
        self.variant = variant
        self.local_size = local_size
        self.summary_size = d_model if variant == "lite" else summary_size
        self.statistic = self.build_statistic(decay, window, directions, rotary)
        mean_size = self.summary_size * (2 if variant == "windowed" else 1)
        if variant == "fast":
            self.joint = ParallelMLP([d_model, local_size + summary_size], heads)
        else:
            self.summary = ParallelMLP([d_model, *hidden, self.summary_size], heads)
        if variant in ("full", "expdecay", "windowed"):
            self.local = ParallelMLP([d_model, *hidden, local_size], heads)
        if variant != "lite":
            self.merge = nn.Linear(local_size + mean_size, d_model)
        self.local_norm = nn.LayerNorm(local_size) if norm and variant != "lite" else nn.Identity()
        self.summary_norm = nn.LayerNorm(mean_size) if norm else nn.Identity()

    def build_statistic(self, decay: float, window: int, directions: Sequence[str], rotary: float) -> Statistic:
        """The statistic of these options. Raises ValueError for numbers out of range, and options that do not mix."""
        name, size = type(self).__name__, self.summary_size
        shares = share_out(name, directions, len(directions))
        directional = bool(shares.past or shares.future)
        if window < 1:
            raise ValueError(f"{name}: window {window} must be at least 1")
        if not 0 <= rotary <= 1:
            raise ValueError(f"{name}: rotary {rotary} must be from 0 to 1")
        if (directional or rotary) and self.variant in ("expdecay", "windowed"):
            raise ValueError(f"{name}: directions and rotary need a plain mean, not variant '{self.variant}'")
        if directional and rotary:
            raise ValueError(f"{name}: directions and rotary exclude each other: both let order count")
        if self.variant == "expdecay":
            return DecayedMean(decay)
        if self.variant == "windowed":
            return WindowedMean(window)
        if rotary:
            return RotaryMean(2 * min(round(rotary * size / 2), size // 2))
        if not directional:
            return Mean()
        if size % len(directions):
            raise ValueError(f"{name}: its {len(directions)} directions must divide summary_size {size}")
        return DirectionalMean(Shares(*(size // len(directions) * share for share in shares)))

    def project(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """f ``[…, T, local_size]`` and s ``[…, T, summary_size]`` of x ``[…, T, d_model]``.

        ``lite`` has no f and returns x, of which only the shape is used.
        """
        if self.variant == "fast":
            f, s = self.joint(x).split([self.local_size, self.summary_size], -1)
            return f, s
        return x if self.variant == "lite" else self.local(x), self.summary(x)

    def merge_summary(self, f: Tensor, m: Tensor) -> Tensor:
        """y of f ``[…, T, local_size]`` and m ``[…, T, size]``, or ``[…, 1, size]`` for all T.

        The weight is split so that the product with an m that all frames share is computed once, not T times.
        """
        m = self.summary_norm(m)
        if self.variant == "lite":
            return m.expand(*f.shape[:-1], -1)
        local_weight, summary_weight = self.merge.weight.split([self.local_size, m.shape[-1]], dim=1)
        return gelu(linear(self.local_norm(f), local_weight) + linear(m, summary_weight, self.merge.bias))

    def forward(self, x, mask=None, context=None):
        chunks, chunk_mask = masked_chunks(x, mask, context)
        f, s = self.project(chunks)
        m = self.statistic.over(zero_padding(s, chunk_mask), chunk_mask, context)
        return from_chunks(self.merge_summary(f, m), x.shape[1])

    def init_state(self, batch, context):
        return self.statistic.init_state(next(self.parameters()), batch, context, self.summary_size)

    def step(self, x, state):
        f, s = self.project(x)
        m, state = self.statistic.step(s, state)
        return self.merge_summary(f, m), state

    def state_size(self, frames, context=None):
        return self.statistic.state_size(context, self.summary_size)
