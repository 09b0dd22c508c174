"""An hour of speech in half precision, 90,000 frames at the head size of real models, against float64."""

from functools import partial

import pytest
import torch

from mixers import XNOR, Context, CosFormer, FastFormer, HyperMixing, LinearAttention, SummaryMixing
from mixers.products import BLOCK, apply_sums, sum_products
from mixers.testing.inputs import noise, random_mixer
from mixers.testing.precision import assert_near_in, to_both

FRAMES, CHUNK, HEAD_SIZE = 90_000, 3000, 64
# Every mixer that sums over time without a bound. Of Mamba's states nothing grows, and attention is quadratic.
SUMMING = {
    "summarymixing": SummaryMixing,
    "summarymixing-expdecay": partial(SummaryMixing, variant="expdecay", decay=0.9999),
    "hypermixing": partial(HyperMixing, heads=1, hypernet_size=HEAD_SIZE),
    "xnor": partial(XNOR, heads=1),
    "xnor-cos": partial(XNOR, heads=1, variant="cos"),
    "xnor-term_gated-sigmoid": partial(XNOR, heads=1, variant="term_gated", feature_map="sigmoid"),
    "linear_attention": partial(LinearAttention, heads=1),
    "cosformer": partial(CosFormer, heads=1),
    "fastformer": partial(FastFormer, heads=1),
}


@pytest.fixture(scope="module")
def hour():
    """Frames with a mean of their own, as speech has, so that sums over time grow."""
    return to_both(noise(1, FRAMES, HEAD_SIZE) + 0.5 * noise(1, 1, HEAD_SIZE, seed=2))


@torch.no_grad()
@pytest.mark.parametrize("key", SUMMING)
def test_hour(key, hour):
    """Whole under autocast to float16, and in a stream in bfloat16, whose last chunk sees the whole hour.

    (Shorter streams in float16 are in the contract: on a CPU its products are slow.)
    """
    mixer = random_mixer(SUMMING[key], d_model=HEAD_SIZE)
    mixer.load_state_dict({name: to_both(weight) for name, weight in mixer.state_dict().items()})
    expected = mixer(hour)
    mixer.float()
    with torch.autocast("cpu", torch.float16):
        assert_near_in(torch.float16, mixer(hour.float()), expected, "whole")
    mixer.to(torch.bfloat16)
    if mixer.cannot_stream:
        assert_near_in(torch.bfloat16, mixer(hour.bfloat16()), expected, "whole")
    else:
        state = mixer.init_state(1, Context(CHUNK))
        for chunk in hour.bfloat16().split(CHUNK, 1):
            y, state = mixer.step(chunk, state)
        assert_near_in(torch.bfloat16, y, expected[:, -CHUNK:], "stream")


@pytest.mark.parametrize("frames", [1, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 7])
def test_products_in_float16(frames):
    """Sums of products whose plain sum float16 cannot hold, their use, and both gradients."""
    a, b = to_both(1e3 * noise(2, frames, 5).abs()), to_both(100 + noise(2, frames, 3, seed=2))
    q = to_both(noise(2, frames, 5, seed=3).abs())

    def sums_and_means(dtype):
        parts = [part.detach().to(dtype).requires_grad_() for part in (a, b, q)]
        sums = sum_products(parts[0], parts[1])
        means = apply_sums(parts[2], sums) / (1e3 * frames)
        return sums, means, *torch.autograd.grad(means.sum(), parts)

    expected = sums_and_means(torch.float64)
    for actual, reference in zip(sums_and_means(torch.float16), expected, strict=True):
        assert_near_in(torch.float16, actual, reference, f"{frames} frames")
    assert expected[0].max() > torch.finfo(torch.float16).max
    sums, means, *_ = sums_and_means(torch.float16)
    assert sums.dtype == means.dtype == torch.float32


def test_products_in_float32_are_plain():
    a, b, q = (noise(2, 300, 4, dtype=torch.float32, seed=seed) for seed in range(3))
    assert torch.equal(sum_products(a, b), a.mT @ b)
    assert torch.equal(apply_sums(q, a.mT @ b), q @ (a.mT @ b))
