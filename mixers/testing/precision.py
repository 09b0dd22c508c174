"""Checks in half precision: weights and frames in float16 or bfloat16, and autocast, against float64."""

import torch
from torch import Tensor

from ..base import Context, lengths_to_mask
from .inputs import D_MODEL, DEVICE, Build, contexts, gradients, in_steps, noise, random_mixer

HALF = (torch.float16, torch.bfloat16)


def to_both(x: Tensor) -> Tensor:
    """x rounded to numbers that float16 and bfloat16 both hold."""
    return x.to(torch.bfloat16).to(torch.float16).to(x.dtype)


def assert_near_in(dtype: torch.dtype, actual: Tensor, expected: Tensor, what: str) -> None:
    """Raise AssertionError if the root mean square of the error is above three roundings of ``dtype``."""
    error = (actual.to(expected.dtype) - expected).square().mean().sqrt() / expected.square().mean().sqrt().clamp(
        min=1e-9
    )
    limit = 3 * torch.finfo(dtype).eps
    assert error <= limit, f"{what}: the error is {error:.2%} of the output, the limit {limit:.2%}"


def check_half_precision(build: Build) -> None:
    """In float16, in bfloat16 and under autocast: outputs near those in float64, and finite gradients."""
    frames = 300  # more than bfloat16 can count
    mask = lengths_to_mask(torch.tensor([frames, 280], device=DEVICE), frames)
    x = to_both(noise(2, frames, D_MODEL))
    mixer = random_mixer(build)
    mixer.load_state_dict({name: to_both(weight) for name, weight in mixer.state_dict().items()})
    for context in contexts(mixer):
        expected = mixer.double()(x, mask, context)[mask]
        for dtype in HALF:
            y = mixer.to(dtype)(x.to(dtype), mask, context)
            assert y.dtype == dtype
            assert_near_in(dtype, y[mask], expected, f"{dtype}, {context}")
            mixer.float()
            with torch.autocast(DEVICE.type, dtype):
                y = mixer(x.float(), mask, context)
                by_name = gradients(mixer, x.float(), mask, context)
            assert_near_in(dtype, y[mask], expected, f"autocast to {dtype}, {context}")
            for name, gradient in by_name.items():
                assert gradient.isfinite().all(), f"gradient of {name} under autocast to {dtype}, {context}"


def check_long_half_precision(build: Build) -> None:
    """The same for 44 s of speech at a real size, in steps too: plain sums over time leave the range of float16."""
    frames, d_model = 1100, 128
    # Frames with a mean of their own, so that sums over time grow as in speech.
    x = to_both(noise(1, frames, d_model) + 0.5 * noise(1, 1, d_model, seed=2))
    mixer = random_mixer(build, d_model=d_model)
    mixer.load_state_dict({name: to_both(weight) for name, weight in mixer.state_dict().items()})
    context = None if mixer.cannot_stream else Context(frames // 4)
    with torch.no_grad():
        whole = mixer(x)
        in_chunks = whole if context is None else mixer(x, None, context)
        for dtype in HALF:
            with torch.autocast(DEVICE.type, dtype):
                assert_near_in(dtype, mixer.float()(x.float()), whole, f"autocast to {dtype}")
            y = mixer.to(dtype)(x.to(dtype), None, context)
            assert_near_in(dtype, y, in_chunks, f"{dtype}, {context}")
            if context is not None:
                y = in_steps(mixer, x.to(dtype), context)
                assert_near_in(dtype, y, in_chunks, f"stream in {dtype}, {context}")
