"""Checks of outputs and gradients: shapes, padding, the batch, the shortest utterances, extreme values."""

import torch

from ..base import lengths_to_mask
from .inputs import D_MODEL, DEVICE, FRAMES, LENGTHS, MASK, Build, assert_near, contexts, gradients, noise, random_mixer


def check_shape(build: Build) -> None:
    """Outputs have the shape and dtype of the frames, and are finite."""
    mixer, x = random_mixer(build), noise(len(LENGTHS), FRAMES, D_MODEL)
    for context in contexts(mixer):
        for mask in (None, MASK):
            y = mixer(x, mask, context)
            assert y.shape == x.shape and y.dtype == x.dtype
            assert y[MASK].isfinite().all()


def check_gradients(build: Build) -> None:
    """Every parameter has a gradient.

    Without exceptions: a bias whose gradient is zero by algebra (of keys or scores under a softmax over time,
    which is invariant to what all frames share) should not be a parameter.
    """
    mixer, x = random_mixer(build), noise(len(LENGTHS), FRAMES, D_MODEL)
    for name, gradient in gradients(mixer, x, MASK).items():
        assert gradient.abs().max() > 1e-9, f"the gradient of {name} is zero"


def check_padding(build: Build) -> None:
    """Outputs and gradients of real frames depend neither on the content of padding nor on its amount."""
    x = noise(len(LENGTHS), FRAMES, D_MODEL)
    for dtype in (torch.float64, torch.float32):
        mixer = random_mixer(build, dtype)
        for context in contexts(mixer):
            rows_alone = [
                mixer(row[None, :length].to(dtype), None, context)[0] for row, length in zip(x, LENGTHS, strict=True)
            ]
            plain = gradients(mixer, x.masked_fill(~MASK[..., None], 0.0).to(dtype), MASK, context)
            for frames in (FRAMES, 3 * FRAMES):
                mask = lengths_to_mask(LENGTHS, frames)
                for padding in (noise(len(LENGTHS), frames, D_MODEL, seed=2), 1e4, float("inf")):
                    garbage = 0 * noise(len(LENGTHS), frames, D_MODEL) + padding
                    garbage[mask] = x[MASK]
                    y = mixer(garbage.to(dtype), mask, context)
                    for row, expected in zip(y, rows_alone, strict=True):
                        assert_near(row[: len(expected)], expected, f"{context}, {frames} frames")
                    # The loss's noise is laid out by frames, so gradients compare at the same length only; and in one
                    # dtype, as they take most of the time.
                    if frames == FRAMES and dtype == torch.float64:
                        for name, gradient in gradients(mixer, garbage.to(dtype), mask, context).items():
                            scale = plain[name].abs().max().clamp(min=1)
                            assert_near(gradient / scale, plain[name] / scale, f"gradient of {name}, {context}")


def check_batch(build: Build) -> None:
    """The output of a row depends neither on the other rows nor on its place among them."""
    order = torch.tensor([2, 0, 3, 1], device=DEVICE)
    for dtype in (torch.float64, torch.float32):
        mixer, x = random_mixer(build, dtype), noise(len(LENGTHS), FRAMES, D_MODEL, dtype=dtype)
        for context in contexts(mixer):
            for mask in (None, MASK):
                y = mixer(x, mask, context)
                shuffled = mixer(x[order], None if mask is None else mask[order], context)
                real = MASK[order] if mask is not None else slice(None)
                assert_near(shuffled[real], y[order][real], f"order, {context}")
                first_row = mixer(x[:1], None if mask is None else mask[:1], context)
                assert_near(first_row[0], y[0], f"alone, {context}")


def check_short(build: Build) -> None:
    """Utterances of a single frame and of two frames."""
    mixer = random_mixer(build, torch.float32)
    for frames in (1, 2):
        x = noise(2, frames, D_MODEL, dtype=torch.float32)
        for context in contexts(mixer):
            assert mixer(x, None, context).shape == x.shape
            for name, gradient in gradients(mixer, x, None, context).items():
                assert gradient.isfinite().all(), name


def check_extremes(build: Build) -> None:
    """Silence, a constant and very loud frames: outputs and gradients are finite."""
    mixer = random_mixer(build, torch.float32)
    loud = noise(len(LENGTHS), FRAMES, D_MODEL, dtype=torch.float32)
    for x in (0 * loud, 1e4 + 0 * loud, 1e4 * loud):
        for context in contexts(mixer):
            assert mixer(x, MASK, context)[MASK].isfinite().all()
            for name, gradient in gradients(mixer, x, MASK, context).items():
                assert gradient.isfinite().all(), f"{name}, {context}"
