"""Checks in half precision."""

import torch

from ..base import lengths_to_mask
from .inputs import D_MODEL, DEVICE, Build, contexts, gradients, noise, random_mixer


def check_bfloat16(build: Build) -> None:
    """In bfloat16 and under autocast: finite, and near the outputs of the same weights in float32."""
    half = random_mixer(build, torch.bfloat16)
    full = random_mixer(build, torch.bfloat16).float()
    frames = 300  # more than bfloat16 can count
    x = noise(2, frames, D_MODEL).to(torch.bfloat16)
    mask = lengths_to_mask(torch.tensor([frames, 280], device=DEVICE), frames)
    for context in contexts(full):
        expected = full(x.float(), mask, context)[mask]
        with torch.autocast(DEVICE.type, torch.bfloat16):
            mixed = full(x.float(), mask, context)[mask]
            backward = gradients(full, x.float(), mask, context)
        for y in (half(x, mask, context)[mask], mixed):
            error = (y.float() - expected).square().mean().sqrt()
            assert error <= 0.03 * expected.square().mean().sqrt(), f"{context}: {error}"
        assert half(x, mask, context).dtype == torch.bfloat16
        for name, gradient in backward.items():
            assert gradient.isfinite().all(), f"autocast gradient of {name}, {context}"
