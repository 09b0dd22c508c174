"""What every mixer must show, as checks on a ``build(d_model)`` that makes one.

``tests/test_mixers.py`` runs all of ``CHECKS`` on every mixer of the collection;
``tests/test_your_own_mixer.py`` runs them on the mixer of the documentation. Two environment variables:
``CONTRACT_DEVICE=cuda`` runs all of it on a GPU, and ``CONTRACT_BACKEND=inductor`` has torch.compile generate
kernels, where the suite stops before that step.
"""

import inspect
import io
import os
import random
import re
from collections.abc import Callable

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from mixers import Context, Mixer
from mixers.base import lengths_to_mask

Build = Callable[[int], Mixer]

D_MODEL = 16
DEVICE = torch.device(os.environ.get("CONTRACT_DEVICE", "cpu"))
BACKEND = os.environ.get("CONTRACT_BACKEND", "aot_eager")
LENGTHS = torch.tensor([11, 7, 2, 1], device=DEVICE)
FRAMES = int(LENGTHS.max())
MASK = lengths_to_mask(LENGTHS, FRAMES)


def fresh(build: Build, dtype: torch.dtype = torch.float64, seed: int = 0) -> Mixer:
    """A mixer with weights off their initial values, so that no zero or one there hides a fault."""
    torch.manual_seed(seed)
    mixer = build(D_MODEL)
    with torch.no_grad():
        for parameter in mixer.parameters():
            parameter += 0.1 * torch.randn_like(parameter)
    return mixer.to(DEVICE, dtype).eval()


def noise(*shape: int, dtype: torch.dtype = torch.float64, seed: int = 1) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(*shape, dtype=torch.float64, generator=generator).to(DEVICE, dtype)


def assert_near(actual: Tensor, expected: Tensor, what: str = "") -> None:
    atol, rtol = (1e-12, 1e-12) if expected.dtype == torch.float64 else (1e-5, 1e-4)
    torch.testing.assert_close(actual, expected, atol=atol, rtol=rtol, msg=lambda text: f"{what}: {text}")


def contexts(mixer: Mixer) -> list[Context | None]:
    """The ways to run a mixer: on whole utterances and, if it can, under a few contexts."""
    return [None] if mixer.cannot_stream else [None, Context(3), Context(4, 0), Context(2, 1)]


def gradients(mixer: Mixer, x: Tensor, mask: Tensor | None, context: Context | None = None) -> dict[str, Tensor]:
    """Gradients of a random loss on the real frames, in a residual branch as an encoder uses a mixer."""
    x = x.clone().requires_grad_()
    mixer.zero_grad(set_to_none=True)
    y = x + mixer(x, mask, context)
    loss = y * noise(*y.shape, dtype=y.dtype, seed=7)
    (loss if mask is None else loss[mask]).sum().backward()
    found = {name: parameter.grad for name, parameter in mixer.named_parameters()}
    return found | {"x": x.grad if mask is None else x.grad[mask]}


def check_shape(build: Build) -> None:
    mixer, x = fresh(build), noise(len(LENGTHS), FRAMES, D_MODEL)
    for context in contexts(mixer):
        for mask in (None, MASK):
            y = mixer(x, mask, context)
            assert y.shape == x.shape and y.dtype == x.dtype
            assert y[MASK].isfinite().all()


def check_gradients(build: Build) -> None:
    """Every parameter has one.

    No exceptions: a bias whose gradient is zero by algebra (of keys or scores under a softmax over time, which
    does not hear what all frames share) is no parameter of any mixer.
    """
    mixer, x = fresh(build), noise(len(LENGTHS), FRAMES, D_MODEL)
    for name, gradient in gradients(mixer, x, MASK).items():
        assert gradient is not None, f"{name} has no gradient"
        assert gradient.abs().max() > 1e-9, f"the gradient of {name} is zero"


def check_padding(build: Build) -> None:
    """Outputs and gradients of real frames do not know what stands in the padding, or how much of it."""
    x = noise(len(LENGTHS), FRAMES, D_MODEL)
    for dtype in (torch.float64, torch.float32):
        mixer = fresh(build, dtype)
        for context in contexts(mixer):
            alone = [
                mixer(row[None, :length].to(dtype), None, context)[0] for row, length in zip(x, LENGTHS, strict=True)
            ]
            plain = gradients(mixer, x.masked_fill(~MASK[..., None], 0.0).to(dtype), MASK, context)
            for frames in (FRAMES, 3 * FRAMES):
                mask = lengths_to_mask(LENGTHS, frames)
                for padding in (noise(len(LENGTHS), frames, D_MODEL, seed=2), 1e4, float("inf")):
                    garbage = 0 * noise(len(LENGTHS), frames, D_MODEL) + padding
                    garbage[mask] = x[MASK]
                    y = mixer(garbage.to(dtype), mask, context)
                    for row, expected in zip(y, alone, strict=True):
                        assert_near(row[: len(expected)], expected, f"{context}, {frames} frames")
                    # The loss's noise is laid out by frames, so gradients compare at one length only.
                    if frames == FRAMES:
                        for name, gradient in gradients(mixer, garbage.to(dtype), mask, context).items():
                            scale = plain[name].abs().max().clamp(min=1)
                            assert_near(gradient / scale, plain[name] / scale, f"gradient of {name}, {context}")


def check_batch(build: Build) -> None:
    """A row neither knows its neighbours nor its place."""
    order = torch.tensor([2, 0, 3, 1], device=DEVICE)
    for dtype in (torch.float64, torch.float32):
        mixer, x = fresh(build, dtype), noise(len(LENGTHS), FRAMES, D_MODEL, dtype=dtype)
        for context in contexts(mixer):
            for mask in (None, MASK):
                y = mixer(x, mask, context)
                shuffled = mixer(x[order], None if mask is None else mask[order], context)
                real = MASK[order] if mask is not None else slice(None)
                assert_near(shuffled[real], y[order][real], f"order, {context}")
                one = mixer(x[:1], None if mask is None else mask[:1], context)
                assert_near(one[0], y[0], f"alone, {context}")


def check_short(build: Build) -> None:
    mixer = fresh(build, torch.float32)
    for frames in (1, 2):
        x = noise(2, frames, D_MODEL, dtype=torch.float32)
        for context in contexts(mixer):
            assert mixer(x, None, context).shape == x.shape
            for name, gradient in gradients(mixer, x, None, context).items():
                assert gradient.isfinite().all(), name


def check_bfloat16(build: Build) -> None:
    """In bfloat16 and under autocast: finite, and near what the same weights give in float32."""
    half = fresh(build, torch.bfloat16)
    full = fresh(build, torch.bfloat16).float()
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


def check_compile(build: Build) -> None:
    """One graph, same numbers."""
    mixer, x = fresh(build), noise(len(LENGTHS), FRAMES, D_MODEL)
    expected = gradients(mixer, x, MASK)
    torch._dynamo.reset()
    compiled = torch.compile(mixer, backend=BACKEND, fullgraph=True)
    for name, actual in gradients(compiled, x, MASK).items():
        assert_near(actual, expected[name.removeprefix("_orig_mod.")], f"gradient of {name}")
    with torch.no_grad():
        for context in contexts(mixer)[-1:]:
            assert_near(compiled(x, MASK, context)[MASK], mixer(x, MASK, context)[MASK], str(context))


def check_checkpoint(build: Build) -> None:
    mixer, other, x = fresh(build), fresh(build, seed=5), noise(2, FRAMES, D_MODEL)
    file = io.BytesIO()
    torch.save(mixer.state_dict(), file)
    file.seek(0)
    other.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(other(x), mixer(x))


def check_streaming(build: Build) -> None:
    """``forward`` under a context is ``step`` chunk by chunk, and ``state_size`` counts what is kept."""
    mixer, batch = fresh(build), 2
    if mixer.cannot_stream:
        return refuses_streaming(mixer)
    chunkings = random.Random(3)
    for left_chunks in (None, 0, 1, 3):
        for _ in range(3):
            chunk = chunkings.randint(2, 6)
            frames = chunkings.randint(1, 6) * chunk + chunkings.randint(1, chunk - 1)
            context = Context(chunk, left_chunks)
            x = noise(batch, frames, D_MODEL, seed=frames)
            state, chunks = mixer.init_state(batch, context), []
            for start in range(0, frames, chunk):
                assert all(tensor.shape[0] == batch for tensor in tree_leaves(state)), "batch first"
                y, state = mixer.step(x[:, start : start + chunk], state)
                chunks.append(y)
                seen = min(start + chunk, frames)
                assert numbers_kept(state) == mixer.state_size(seen, context), f"{context}, {seen} frames"
            assert_near(torch.cat(chunks, 1), mixer(x, None, context), str(context))
        whole = Context(frames, left_chunks)
        assert_near(mixer(x, None, whole), mixer(x), "one chunk of the whole utterance")


def numbers_kept(state) -> int:
    """Floating-point numbers that one stream keeps; counters do not count."""
    return sum(tensor[0].numel() for tensor in tree_leaves(state) if tensor.is_floating_point())


def refuses_streaming(mixer: Mixer) -> None:
    context = Context(4)
    message = f"^{type(mixer).__name__} cannot stream or take a context: \\S.*$"
    x = noise(1, 9, D_MODEL)
    for call in (
        lambda: mixer(x, None, context),
        lambda: mixer.init_state(1, context),
        lambda: mixer.step(x, ()),
        lambda: mixer.state_size(9, context),
    ):
        try:
            call()
        except ValueError as error:
            assert re.search(message, str(error)), error
        else:
            raise AssertionError("a mixer that cannot stream must say so by a ValueError")


def check_context(build: Build) -> None:
    """A frame hears nothing from outside its own chunk and the left chunks it was given."""
    mixer, frames, changed = fresh(build), 14, 6
    x = noise(1, frames, D_MODEL)
    other = x.clone()
    other[:, changed] += 1
    for context in contexts(mixer)[1:]:
        chunks = torch.arange(frames, device=DEVICE) // context.chunk - changed // context.chunk
        hears = (chunks >= 0) & (chunks <= (frames if context.left_chunks is None else context.left_chunks))
        same = mixer(x, None, context)[:, ~hears]
        assert_near(mixer(other, None, context)[:, ~hears], same, str(context))


class Allocations(TorchDispatchMode):
    """Watches every tensor that torch makes: elements of the ``largest`` one, and of all in ``total``."""

    def __init__(self):
        super().__init__()
        self.largest = self.total = 0

    def __torch_dispatch__(self, func, types, args=(), kwargs=None):
        result = func(*args, **(kwargs or {}))
        for leaf in tree_leaves(result):
            if isinstance(leaf, Tensor):
                self.largest = max(self.largest, leaf.numel())
                self.total += leaf.numel()
        return result


def allocations(mixer: Mixer, frames: int, context: Context | None) -> Allocations:
    """Those of one forward and backward pass over one utterance."""
    x, mask = noise(1, frames, D_MODEL, dtype=torch.float32), torch.ones(1, frames, dtype=torch.bool, device=DEVICE)
    mask[:, -frames // 8 :] = False
    with Allocations() as seen:
        gradients(mixer, x, mask, context)
    return seen


def check_linear(build: Build) -> None:
    mixer, frames = fresh(build, torch.float32), 4096
    if not mixer.linear:
        return
    for context in [None] if mixer.cannot_stream else [None, Context(16), Context(16, 2)]:
        half, full = allocations(mixer, frames // 2, context), allocations(mixer, frames, context)
        assert full.largest < frames * frames, context
        assert full.total <= 2.1 * half.total, context


def check_extremes(build: Build) -> None:
    """Silence and shouting: finite outputs and gradients."""
    mixer = fresh(build, torch.float32)
    loud = noise(len(LENGTHS), FRAMES, D_MODEL, dtype=torch.float32)
    for x in (0 * loud, 1e4 + 0 * loud, 1e4 * loud):
        for context in contexts(mixer):
            assert mixer(x, MASK, context)[MASK].isfinite().all()
            for name, gradient in gradients(mixer, x, MASK, context).items():
                assert gradient.isfinite().all(), f"{name}, {context}"


CHECKS = [check for name, check in list(globals().items()) if name.startswith("check_") and inspect.isfunction(check)]
