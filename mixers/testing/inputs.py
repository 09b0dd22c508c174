"""What the checks run on: mixers with random weights, random frames, and the comparison of results."""

import os
from collections.abc import Callable

import torch
from torch import Tensor, nn

from ..base import Context, Mixer, lengths_to_mask

Build = Callable[[int], Mixer]

D_MODEL = 16
DEVICE = torch.device(os.environ.get("CONTRACT_DEVICE", "cpu"))
LENGTHS = torch.tensor([11, 7, 2, 1], device=DEVICE)
FRAMES = int(LENGTHS.max())
MASK = lengths_to_mask(LENGTHS, FRAMES)


def random_mixer(build: Build, dtype: torch.dtype = torch.float64, seed: int = 0, d_model: int = D_MODEL) -> Mixer:
    """A mixer whose weights differ from their initial values, so that no initial zero or one hides a fault."""
    torch.manual_seed(seed)
    mixer = build(d_model)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter.add_(0.4 / d_model**0.5 * torch.randn_like(parameter))
    return mixer.to(DEVICE, dtype).eval()


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    """Normal noise that is the same on every device, and in every dtype up to rounding."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(DEVICE, dtype)


def assert_near(actual: Tensor, expected: Tensor, what: str = "") -> None:
    """Raise AssertionError unless both are equal up to rounding in the dtype of ``expected``."""
    atol, rtol = (1e-12, 1e-12) if expected.dtype == torch.float64 else (1e-5, 1e-4)
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol, msg=lambda text: f"{what}: {text}")


def contexts(mixer: Mixer) -> list[Context | None]:
    """The ways to run a mixer: on whole utterances and, if it can, under a few contexts."""
    return [None] if mixer.cannot_stream else [None, Context(3), Context(4, 0), Context(2, 1)]


def gradients(mixer: nn.Module, x: Tensor, mask: Tensor | None, context: Context | None = None) -> dict[str, Tensor]:
    """Gradients of a random loss on the real frames, in a residual branch as an encoder uses a mixer.

    By the name of the parameter; those of the frames as ``x``. AssertionError for a parameter without a gradient.
    """
    x = x.clone().requires_grad_()
    mixer.zero_grad(set_to_none=True)
    y = x + mixer(x, mask, context)
    loss = y * noise(*y.shape, dtype=y.dtype, seed=7)
    (loss if mask is None else loss[mask]).sum().backward()
    by_name = {}
    for name, tensor in (*mixer.named_parameters(), ("x", x)):
        assert tensor.grad is not None, f"{name} has no gradient"
        by_name[name] = tensor.grad[mask] if tensor is x and mask is not None else tensor.grad
    return by_name


def in_steps(mixer: Mixer, x: Tensor, context: Context) -> Tensor:
    """The output for x ``[B, T, d_model]`` of a stream, chunk by chunk."""
    state, chunks = mixer.init_state(len(x), context), []
    for chunk in x.split(context.chunk, 1):
        y, state = mixer.step(chunk, state)
        chunks.append(y)
    return torch.cat(chunks, 1)
