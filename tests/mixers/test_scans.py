"""Mamba and Mamba-2 against their recurrences, written out frame by frame in float64."""

from functools import partial

import pytest
import torch
from torch.nn.functional import silu, softplus

from mixers import Context, Mamba, Mamba2, mamba, mamba2
from mixers.testing.inputs import D_MODEL, assert_near, in_steps, noise, random_mixer

FRAMES = 23


def test_a_gated_sum_beyond_float16_is_brought_down_before_it_is_rounded():
    torch.manual_seed(0)
    mixer, x = Mamba2(64), 30 * torch.randn(1, 100, 64)
    with torch.autocast("cpu", torch.float16):
        y = mixer(x)
    assert y.isfinite().all() and (y - mixer(x)).abs().max() < 0.05 * y.abs().max()


def by_frame(mixer, x, context=None):
    """Chunk by chunk: the forward scan from the first frame in view, the backward scan from the chunk's last."""
    direction, project = EQUATIONS[type(mixer)]
    chunk = len(x) if context is None else context.chunk
    left = len(x) if context is None or context.left_chunks is None else context.left_chunks
    outputs = []
    for start in range(0, len(x), chunk):
        here, seen = x[start : start + chunk], x[max(0, start - left * chunk) : start + chunk]
        z = mixer.in_proj(here).split(mixer.sizes, -1)[1]
        s = direction(mixer.forward_scan, mixer.in_proj(seen).split(mixer.sizes, -1)[0])[-len(here) :]
        if mixer.causal:
            outputs.append(project(mixer.out_proj, s * silu(z)))
            continue
        backward_in = mixer.backward_in_proj if mixer.separate else mixer.in_proj
        u, backward_z = backward_in(here).split(mixer.sizes, -1)
        backward = direction(mixer.backward_scan, u.flip(0)).flip(0)
        if mixer.separate:
            outputs.append(project(mixer.out_proj, s * silu(z)))
            outputs[-1] = outputs[-1] + project(mixer.backward_out_proj, backward * silu(backward_z))
        else:
            outputs.append(project(mixer.out_proj, (s + backward) * silu(z)))
    return torch.cat(outputs)


def convolved(conv, u):
    """SiLU of the causal convolution of u ``[T, channels]``."""
    kernel = conv.weight[:, 0]
    padded = torch.cat([u.new_zeros(kernel.shape[1] - 1, u.shape[1]), u])
    return silu(torch.stack([(padded[t : t + kernel.shape[1]] * kernel.T).sum(0) for t in range(len(u))]) + conv.bias)


def mamba_direction(scan, u):
    u = convolved(scan.conv, u)
    channels, size = scan.A_log.shape
    dt, B, C = scan.x_proj(u).split([scan.dt_proj.in_features, size, size], -1)
    dt = softplus(scan.dt_proj(dt))
    state, outputs = u.new_zeros(channels, size), []
    for t in range(len(u)):
        state = (-dt[t, :, None] * scan.A_log.exp()).exp() * state + (dt[t] * u[t])[:, None] * B[t]
        outputs.append(state @ C[t] + scan.D * u[t])
    return torch.stack(outputs)


def mamba2_direction(scan, inputs):
    heads = len(scan.A_log)
    dt = softplus(inputs[:, -heads:] + scan.dt_bias)
    size = scan.state_shape[0]
    u, B, C = convolved(scan.conv, inputs[:, :-heads]).tensor_split([-2 * size, -size], -1)
    u = u.unflatten(-1, (heads, -1))
    states, outputs = u.new_zeros(heads, size, u.shape[-1]), []
    for t in range(len(u)):
        decays = (-dt[t] * scan.A_log.exp()).exp()
        states = torch.stack([decays[h] * states[h] + dt[t, h] * torch.outer(B[t], u[t, h]) for h in range(heads)])
        outputs.append(torch.cat([C[t] @ states[h] + scan.D[h] * u[t, h] for h in range(heads)]))
    return torch.stack(outputs)


def normed(out_proj, x):
    return x / (x.square().mean(-1, keepdim=True) + 1e-5).sqrt() * out_proj.norm_weight @ out_proj.linear.weight.T


EQUATIONS = {Mamba: (mamba_direction, lambda out_proj, x: x @ out_proj.weight.T), Mamba2: (mamba2_direction, normed)}
VARIANTS = {
    "mamba": Mamba,
    "mamba-small": partial(Mamba, state_size=4, expansion=1, conv_size=2, step_rank=3),
    "mamba-separate": partial(Mamba, state_size=4, separate=True),
    "mamba-causal": partial(Mamba, state_size=4, causal=True),
    "mamba2": Mamba2,
    "mamba2-small": partial(Mamba2, heads=2, state_size=3, expansion=1, conv_size=1),
    "mamba2-separate": partial(Mamba2, state_size=4, separate=True),
    "mamba2-causal": partial(Mamba2, state_size=4, causal=True),
}
CONTEXTS = {"whole": None, "all-past": Context(4), "no-past": Context(5, 0), "two-chunks-back": Context(3, 2)}


@pytest.mark.parametrize("context", CONTEXTS.values(), ids=CONTEXTS)
@pytest.mark.parametrize("key", VARIANTS)
def test_equation(key, context):
    mixer, x = random_mixer(VARIANTS[key]), noise(2, FRAMES, D_MODEL)
    for row, y in zip(x, mixer(x, None, context), strict=True):
        assert_near(y, by_frame(mixer, row, context))


def test_mamba_over_many_blocks():
    mixer, x = random_mixer(Mamba), noise(1, 3 * mamba.BLOCK + 5, D_MODEL)
    assert_near(mixer(x)[0], by_frame(mixer, x[0]))


@pytest.fixture
def short_blocks(monkeypatch):
    """Blocks of 4 frames, two in memory at once: many of both in a few frames."""
    monkeypatch.setattr(mamba2, "BLOCK", 4)
    monkeypatch.setattr(mamba2, "SPAN", 2)


@pytest.mark.parametrize("scale", [1.0, 300.0])
def test_mamba2_over_many_blocks(scale, short_blocks):
    """In float32 too, in a stream, and with decays so strong that they vanish within a block."""
    mixer, x = random_mixer(partial(Mamba2, state_size=4)), noise(1, FRAMES, D_MODEL)
    with torch.no_grad():
        for scan in (mixer.forward_scan, mixer.backward_scan):
            scan.A_log.add_(torch.tensor(scale).log())
        expected = by_frame(mixer, x[0])
        assert_near(mixer(x)[0], expected)
        assert_near(in_steps(mixer, x, Context(9))[0], by_frame(mixer, x[0], Context(9)))
        in_float32 = mixer.float()(x.float())[0]
    assert (in_float32 - expected).abs().max() < 1e-5 * expected.abs().max()


def test_gradients_of_mamba2(short_blocks):
    """Those of blocks, whose matrices are computed again, are those of the frames one by one."""
    mixer, x = random_mixer(partial(Mamba2, state_size=4)), noise(1, FRAMES, D_MODEL).requires_grad_()
    targets, weights = [x, *mixer.parameters()], noise(1, FRAMES, D_MODEL, seed=3)
    actual = torch.autograd.grad((mixer(x) * weights).sum(), targets)
    expected = torch.autograd.grad((by_frame(mixer, x[0]) * weights[0]).sum(), targets)
    for ours, by_frames in zip(actual, expected, strict=True):
        assert_near(ours / by_frames.abs().max(), by_frames / by_frames.abs().max())


def test_fused_kernel_gets_the_documented_arguments(monkeypatch):
    """A stand-in with the interface of mamba_ssm's kernel: u, delta [B, D, L]; A [D, N]; B, C [B, N, L]."""

    def kernel(u, delta, A, B, C):
        assert A.dtype == torch.float32 and all(part.is_contiguous() for part in (u, delta, B, C))
        state, outputs = u.new_zeros(*u.shape[:2], A.shape[1]), []
        for t in range(u.shape[-1]):
            state = (delta[:, :, t, None] * A).exp() * state
            state = state + (delta * u)[:, :, t, None] * B[:, None, :, t]
            outputs.append((state * C[:, None, :, t]).sum(-1))
        return torch.stack(outputs, -1)

    monkeypatch.setattr(mamba, "fused_kernel", kernel)
    u, dt = noise(2, 9, 6, dtype=torch.float32), noise(2, 9, 6, dtype=torch.float32, seed=2).exp()
    B, C = noise(2, 9, 3, dtype=torch.float32, seed=3), noise(2, 9, 3, dtype=torch.float32, seed=4)
    A = -noise(6, 3, dtype=torch.float32, seed=5).exp()
    assert_near(mamba.fused_scan(u, dt, A, B, C), mamba.blocked_scan(u, dt, A, B, C)[0])
