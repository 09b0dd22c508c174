"""Mixers without reference vectors against their equations, written out with loops and T x T matrices.

And decayed sums, on times long enough to use every level of them. Scans are in ``test_scans``.
"""

import math
from functools import partial

import pytest
import torch
from torch.nn.functional import elu, gelu, silu, softmax, softplus

from mixers import (
    XNOR,
    Attention,
    Context,
    CosFormer,
    DirectionalAttention,
    FastFormer,
    GatedDelta,
    HyperMixing,
    LinearAttention,
    PolynomialMixing,
    RelposAttention,
    Retention,
    RotaryLinearAttention,
    SummaryMixing,
    TaylorAttention,
    directions,
)
from mixers.chunks import decayed_sum
from mixers.gated_delta import BLOCK
from mixers.placed_summaries import sliding_sum
from mixers.positions import sinusoids
from mixers.testing.inputs import D_MODEL, assert_near, noise, random_mixer

FRAMES = 23
HEADS = 4


def split(x):
    """``[T, d]`` → ``[heads, T, d / heads]``."""
    return x.unflatten(-1, (HEADS, -1)).transpose(0, 1)


def join(x):
    """``[heads, T, d / heads]`` → ``[T, d]``."""
    return x.transpose(0, 1).flatten(1)


def visible(frames, context):
    """Ones ``[T, T]`` where frame t (row) sees frame u (column)."""
    if context is None:
        return torch.ones(frames, frames, dtype=torch.float64)
    chunk = torch.arange(frames) // context.chunk
    distance = chunk[:, None] - chunk
    left_chunks = frames if context.left_chunks is None else context.left_chunks
    return ((distance >= 0) & (distance <= left_chunks)).double()


def seen_by_heads(mixer, frames, context):
    """``visible`` of each head ``[heads, T, T]``: the first look at the past, the last at the future."""
    seen, (past, whole, future) = visible(frames, context), mixer.shares
    to_come = seen.triu() if context is None else seen.triu() * visible(frames, Context(context.chunk, 0))
    return torch.stack([seen.tril()] * past + [seen] * whole + [to_come] * future)


def directional_attention(mixer, x, context):
    q, k, v = (split(part) for part in mixer.qkv(x).chunk(3, -1))
    scores = (elu(q) + 1) @ (elu(k) + 1).mT * seen_by_heads(mixer, len(x), context)
    return mixer.out(join(scores / scores.sum(-1, keepdim=True) @ v))


def linear_attention(mixer, x, context):
    q, k, v = (split(part) for part in mixer.qkv(x).chunk(3, -1))
    scores = (elu(q) + 1) @ (elu(k) + 1).mT * visible(len(x), context)
    return mixer.out(join(scores / scores.sum(-1, keepdim=True) @ v))


def cosformer(mixer, x, context):
    q, k, v = (split(part) for part in mixer.qkv(x).chunk(3, -1))
    frame = torch.arange(len(x), dtype=torch.float64)
    scores = q.relu() @ k.relu().mT * torch.cos(math.pi / 2 * (frame[:, None] - frame) / len(x))
    # A query without a positive feature scores zero everywhere, and gets nothing.
    return mixer.out(join((scores / scores.sum(-1, keepdim=True)).nan_to_num(0.0) @ v))


def xnor(mixer, x, context):
    q, k, v = (split(part) for part in mixer.qkv(x).chunk(3, -1))
    q, k = q.softmax(-1), k.softmax(-1)
    seen = seen_by_heads(mixer, len(x), context)
    a, b = q @ k.mT * seen, (1 - q) @ (1 - k).mT * seen
    return mixer.out(join((a / a.sum(-1, keepdim=True) + b / b.sum(-1, keepdim=True)) @ v))


def hypermixing(mixer, x, context):
    z = split(x + sinusoids(torch.arange(len(x)), x.shape[1], torch.float64))
    outputs = []
    for head, values in enumerate(split(x)):
        w1, w2 = (
            gelu(z[head] @ net.fc1_weights[head].T + net.fc1_biases[head]) @ net.fc2_weights[head].T
            + net.fc2_biases[head]
            for net in (mixer.w1, mixer.w2)
        )
        seen = visible(len(x), context)
        outputs.append(torch.stack([w2[t] @ gelu((w1 * seen[t, :, None]).T @ values) for t in range(len(x))]))
    return mixer.norm(torch.cat(outputs, -1))


def summarymixing(mixer, x, context, weights=1.0):
    weights = weights * visible(len(x), context)
    return merged(mixer, x, weights @ mixer.summary(x) / weights.sum(1, keepdim=True))


def merged(mixer, x, summary):
    return gelu(mixer.merge(torch.cat([mixer.local_norm(mixer.local(x)), mixer.summary_norm(summary)], -1)))


def windowed(mixer, x, context):
    s, seen, frame = mixer.summary(x), visible(len(x), context), torch.arange(len(x))
    near = seen * ((frame[:, None] - frame).abs() <= mixer.statistic.window)
    return merged(mixer, x, torch.cat([weights @ s / weights.sum(1, keepdim=True) for weights in (seen, near)], -1))


def directional_summary(mixer, x, context):
    parts = mixer.summary(x).chunk(4, -1)  # a quarter of the past, two of the whole, one of the future
    weights = seen_by_heads(mixer.statistic, len(x), context)[:: parts[0].shape[-1]]
    means = [seen @ part / seen.sum(1, keepdim=True) for seen, part in zip(weights, parts, strict=True)]
    return merged(mixer, x, torch.cat(means, -1))


def rotary_summary(mixer, x, context):
    s, seen = mixer.summary(x), visible(len(x), context)
    frame, size = torch.arange(len(x), dtype=torch.float64), mixer.statistic.features
    periods = 5 * 400 ** torch.linspace(0, 1, size // 2, dtype=torch.float64)
    pairs = torch.view_as_complex(s[:, :size].unflatten(-1, (-1, 2)).contiguous())
    angles = 2 * math.pi * (frame - frame[:, None])[..., None] / periods
    turned = torch.view_as_real((torch.polar(seen[..., None], angles) * pairs).sum(1)).flatten(1)
    return merged(mixer, x, torch.cat([turned, seen @ s[:, size:]], 1) / seen.sum(1, keepdim=True))


def polynomial_mixing(mixer, x, context):
    factors = gelu(mixer.factors(x)).chunk(3, -1)
    powers = torch.cat([factors[0], factors[0] * factors[1], factors[0] * factors[1] * factors[2]], -1)
    seen = visible(len(x), context)
    return mixer.out(mixer.gate(x).sigmoid() * (seen @ powers / seen.sum(1, keepdim=True)))


def expdecay(mixer, x, context):
    frame = torch.arange(len(x), dtype=torch.float64)
    return summarymixing(mixer, x, context, 0.9 ** (frame[:, None] - frame).abs())


def gated_delta(mixer, x, context):
    """Frame by frame: a frame sees the chunks that it may, each head from an empty matrix on."""
    q, k, v = (split(part) for part in silu(mixer.qkv(x)).chunk(3, -1))
    q, k = (part / (part.square().sum(-1, keepdim=True) + 1e-6).sqrt() for part in (q, k))
    steps = softplus(mixer.step_size(x if mixer.decay == "head" else mixer.step_rank(x)))
    decays = (-split(steps) * mixer.rate.exp()[:, None, None]).exp()
    strengths = split(mixer.strength(x).sigmoid())
    seen, read = seen_by_heads(mixer, len(x), context), torch.zeros_like(v)
    for head in range(HEADS):
        for t in range(len(x)):
            frames = seen[head, t].nonzero()[:, 0].tolist()
            matrix = v.new_zeros(v.shape[-1], v.shape[-1])
            for u in frames if head < mixer.shares.past else reversed(frames):
                matrix = decays[head, u, :, None] * matrix
                change = strengths[head, u] * (v[head, u] - k[head, u] @ matrix)
                matrix = matrix + torch.outer(k[head, u], change)
            read[head, t] = q[head, t] @ matrix
    normalized = read / (read.square().mean(-1, keepdim=True) + 1e-3).sqrt() * mixer.norm_weight
    return mixer.out(join(normalized) * silu(mixer.gate(x)))


def fastformer(mixer, x, context):
    q, k, v = mixer.query(x), mixer.key(x), mixer.value(x)
    size = x.shape[1] // HEADS
    alpha = (mixer.query_score(q) / math.sqrt(size)).softmax(0)
    p = (alpha.T[..., None] * split(q)).sum(1).flatten() * k
    beta = (mixer.key_score(p) / math.sqrt(size)).softmax(0)
    return mixer.out((beta.T[..., None] * split(p)).sum(1).flatten() * v) + q


def rotated(x):
    """Rotary positions of ``[heads, T, d / heads]``, as complex numbers."""
    pairs = torch.arange(0, x.shape[-1], 2, dtype=torch.float64)
    turns = torch.arange(x.shape[1])[:, None] * 10000.0 ** (-pairs / x.shape[-1])
    return torch.view_as_complex(x.unflatten(-1, (-1, 2)).contiguous()) * torch.polar(torch.ones_like(turns), turns)


def retention(mixer, x, context):
    q, k, v = (split(part) for part in mixer.qkv(x).chunk(3, -1))
    scores = (rotated(q) @ rotated(k).conj().mT).real / math.sqrt(q.shape[-1])
    frame = torch.arange(len(x), dtype=torch.float64)
    decays = torch.stack([(1 - 2.0 ** (-5 - head)) ** (frame[:, None] - frame).abs() for head in range(HEADS)])
    retained = (scores * decays * seen_by_heads(mixer, len(x), context)) @ v
    normalized = retained / (retained.square().mean(-1, keepdim=True) + 1e-3).sqrt() * mixer.norm_weight
    return mixer.out(join(normalized) * silu(mixer.gate(x)))


def rotary_linear_attention(mixer, x, context):
    q, k, v = (split(part) for part in mixer.qkv(x).chunk(3, -1))
    q, k, seen = q.softmax(-1), k.softmax(-1), seen_by_heads(mixer, len(x), context)
    scores = (rotated(q) @ rotated(k).conj().mT).real * seen
    return mixer.out(join(scores / (q @ k.mT * seen).sum(-1, keepdim=True) @ v))


def taylor_attention(mixer, x, context):
    q, k, v = (split(part) for part in mixer.qkv(x).chunk(3, -1))
    s = (rotated(q) @ rotated(k).conj().mT).real / math.sqrt(q.shape[-1])
    scores = (1 + s + s.square() / 2) * seen_by_heads(mixer, len(x), context)
    return mixer.out(join(scores / scores.sum(-1, keepdim=True) @ v))


def attention(mixer, x, context):
    q, k, v = mixer.qkv(x).chunk(3, -1)
    q, k = (rotated(split(part)) for part in (q, k))
    scores = (q @ k.conj().mT).real / math.sqrt(x.shape[1] / HEADS)
    return mixer.out(join(scores.masked_fill(visible(len(x), context) == 0, -math.inf).softmax(-1) @ split(v)))


def relpos_attention(mixer, x, context):
    q, k, v = (split(part) for part in mixer.qkv(x).chunk(3, -1))
    distances = (torch.arange(len(x))[:, None] - torch.arange(len(x))).abs()
    positions = mixer.position_projection(sinusoids(distances, x.shape[1], torch.float64)).unflatten(-1, (HEADS, -1))
    scores = (q + mixer.content_bias[:, None]) @ k.mT
    scores += torch.einsum("htd,tuhd->htu", q + mixer.position_bias[:, None], positions)
    scores = (scores / math.sqrt(x.shape[1] / HEADS)).masked_fill(visible(len(x), context) == 0, -math.inf)
    return mixer.out(join(softmax(scores, -1) @ v))


EQUATIONS = {
    "linear_attention": (LinearAttention, linear_attention),
    "directional_attention": (DirectionalAttention, directional_attention),
    "rotary_linear_attention": (RotaryLinearAttention, rotary_linear_attention),
    "taylor_attention": (partial(TaylorAttention, head_size=D_MODEL // HEADS), taylor_attention),
    "cosformer": (CosFormer, cosformer),
    "xnor": (XNOR, xnor),
    "xnor-directions": (partial(XNOR, directions=["future", "past", "whole"]), xnor),
    "hypermixing": (partial(HyperMixing, heads=HEADS), hypermixing),
    "summarymixing": (SummaryMixing, summarymixing),
    "summarymixing-expdecay": (partial(SummaryMixing, variant="expdecay", decay=0.9), expdecay),
    "retention": (Retention, retention),
    "retention-directions": (partial(Retention, directions=["future", "past", "whole"]), retention),
    "gated_delta": (GatedDelta, gated_delta),
    "gated_delta-channel": (partial(GatedDelta, decay="channel"), gated_delta),
    "summarymixing-norm": (partial(SummaryMixing, norm=True), summarymixing),
    "summarymixing-windowed": (partial(SummaryMixing, variant="windowed", window=3), windowed),
    "summarymixing-directions": (
        partial(SummaryMixing, directions=["future", "whole", "past", "whole"]),
        directional_summary,
    ),
    "summarymixing-rotary": (partial(SummaryMixing, rotary=0.5), rotary_summary),
    "polynomial_mixing": (partial(PolynomialMixing, degree=3), polynomial_mixing),
    "fastformer": (FastFormer, fastformer),
    "attention": (Attention, attention),
    "relpos_attention": (RelposAttention, relpos_attention),
}
CONTEXTS = {"whole": None, "all-past": Context(4), "no-past": Context(5, 0), "two-chunks-back": Context(3, 2)}


CASES = [
    pytest.param(*EQUATIONS[key], context, id=f"{key}-{name}")
    for key in EQUATIONS
    for name, context in CONTEXTS.items()
    if name == "whole" or key not in ("cosformer", "fastformer")
]


@pytest.mark.parametrize("build, equation, context", CASES)
def test_equation(build, equation, context):
    """In training, and where no gradient is wanted, for which a mixer may have another path."""
    mixer, x = random_mixer(build), noise(2, FRAMES, D_MODEL)
    expected = torch.stack([equation(mixer, row, context) for row in x])
    assert_near(mixer(x, None, context), expected)
    with torch.no_grad():
        assert_near(mixer.eval()(x, None, context), expected)


@pytest.mark.parametrize("name", ["directional_attention", "rotary_linear_attention", "taylor_attention"])
def test_directions_over_many_blocks(name):
    build, equation = EQUATIONS[name]
    mixer, x = random_mixer(build), noise(1, 3 * directions.BLOCK + 5, D_MODEL)
    for context in (None, Context(directions.BLOCK + 3), Context(7, 1)):
        assert_near(mixer(x, None, context)[0], equation(mixer, x[0], context), str(context))


@pytest.mark.parametrize("include_own", [True, False])
def test_decayed_products_over_many_blocks(include_own):
    frames = 2 * directions.BLOCK + 5
    q, k, v = noise(3, frames, 4), noise(3, frames, 4, seed=2), noise(3, frames, 2, seed=3)
    frame = torch.arange(frames, dtype=torch.float64)
    decays = (0.9 ** (frame[:, None] - frame).abs()).tril(0 if include_own else -1)
    past = directions.past_products(q, k, v, 0.9, include_own)
    assert_near(past, (q @ k.mT * decays) @ v)
    assert_near(directions.future_products(q, k, v, 0.9, include_own), (q @ k.mT * decays.T) @ v)


@pytest.mark.parametrize("decay", ["head", "channel"])
def test_delta_rule_over_many_blocks(decay, monkeypatch):
    """Also in float32, and with decays so strong that their products vanish within a block."""
    monkeypatch.setitem(BLOCK, decay, 8)
    mixer, x = random_mixer(partial(GatedDelta, decay=decay)), noise(1, FRAMES, D_MODEL)
    for scale in (1.0, 100.0):
        with torch.no_grad():
            mixer.step_size.weight.mul_(scale)
            expected = gated_delta(mixer, x[0], None)
            assert_near(mixer.double()(x)[0], expected)
            in_float32 = mixer.float()(x.float())[0]
        assert (in_float32 - expected).abs().max() < 1e-5 * expected.abs().max()
        mixer.double()


@pytest.mark.parametrize("decay", ["head", "channel"])
def test_gradients_of_the_delta_rule(decay, monkeypatch):
    """Those of blocks, whose inner tensors are computed again, are those of the frames one by one."""
    monkeypatch.setitem(BLOCK, decay, 8)
    mixer, x = random_mixer(partial(GatedDelta, decay=decay)), noise(1, FRAMES, D_MODEL)
    targets = [x.requires_grad_(), *mixer.parameters()]
    weights = noise(1, x.shape[1], D_MODEL, seed=3)
    actual = torch.autograd.grad((mixer(x) * weights).sum(), targets)
    expected = torch.autograd.grad((gated_delta(mixer, x[0], None) * weights[0]).sum(), targets)
    for ours, by_frame in zip(actual, expected, strict=True):
        assert_near(ours / by_frame.abs().max(), by_frame / by_frame.abs().max())


@pytest.mark.parametrize("frames, window", [(1, 1), (5, 7), (700, 3), (400, 90)])
def test_sliding_sums(frames, window):
    x, frame = noise(2, frames, 3), torch.arange(frames)
    near = ((frame[:, None] - frame).abs() <= window).double()
    assert_near(sliding_sum(x, window), near @ x)


def test_decayed_mean_over_many_blocks_and_chunks():
    mixer, x = random_mixer(partial(SummaryMixing, variant="expdecay", decay=0.9)), noise(1, 700, D_MODEL)
    for context in (None, Context(150), Context(90, 1), Context(1), Context(1, 200)):
        assert_near(mixer(x, None, context)[0], expdecay(mixer, x[0], context), str(context))


def test_decayed_sum_over_an_hour():
    """Ones give a geometric series; in float32, at 40 ms a frame."""
    frames, decay = 90_000, 0.995
    sums = decayed_sum(torch.ones(1, frames, 1), decay)[0, :, 0].double()
    expected = (1 - decay ** torch.arange(1, frames + 1, dtype=torch.float64)) / (1 - decay)
    assert ((sums - expected).abs() / expected).max() < 1e-5


def test_running_sum_stays_exact_over_an_hour():
    """A stream's summary after an hour is the mean of the hour, in float32."""
    mixer, x = random_mixer(partial(SummaryMixing, variant="lite"), torch.float32), noise(1, 90_000, D_MODEL)
    context = Context(1000)
    state = mixer.init_state(1, context)
    with torch.no_grad():
        for chunk in x.float().split(1000, 1):
            y, state = mixer.step(chunk, state)
        expected = mixer.double()(x)
    assert_near(y[:, -1], expected[:, -1].float())


def test_xnor_can_begin_with_a_smaller_output():
    x = torch.randn(2, 9, 16, generator=torch.Generator().manual_seed(0))
    outputs = []
    for scale in (1.0, 0.25):
        torch.manual_seed(0)
        mixer = XNOR(16, heads=2, output_scale=scale)
        outputs.append(mixer(x) - mixer.out.bias)
    torch.testing.assert_close(outputs[1], 0.25 * outputs[0])
