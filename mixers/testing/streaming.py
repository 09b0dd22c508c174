"""Checks of streaming: forward under a context, step by step, and what a frame may see."""

import random
import re

import torch
from torch.utils._pytree import tree_leaves

from ..base import Context, Mixer
from .inputs import D_MODEL, DEVICE, Build, assert_near, contexts, noise, random_mixer


def check_streaming(build: Build) -> None:
    """``forward`` under a context equals ``step`` chunk by chunk, and ``state_size`` counts the state.

    A mixer that cannot stream raises ValueError with its reason instead.
    """
    mixer, batch = random_mixer(build), 2
    if mixer.cannot_stream:
        return assert_refuses_streaming(mixer)
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
                past = min(start + chunk, frames)
                assert numbers_kept(state) == mixer.state_size(past, context), f"{context}, {past} frames"
            assert_near(torch.cat(chunks, 1), mixer(x, None, context), str(context))
        whole = Context(frames, left_chunks)
        assert_near(mixer(x, None, whole), mixer(x), "a single chunk with the whole utterance")


def check_context(build: Build) -> None:
    """A frame sees nothing outside its own chunk and its left chunks."""
    mixer, frames, changed = random_mixer(build), 14, 6
    x = noise(1, frames, D_MODEL)
    changed_x = x.clone()
    changed_x[:, changed] += 1
    for context in contexts(mixer)[1:]:
        assert context is not None
        distance = torch.arange(frames, device=DEVICE) // context.chunk - changed // context.chunk
        left_chunks = frames if context.left_chunks is None else context.left_chunks
        blind = (distance < 0) | (distance > left_chunks)
        assert_near(mixer(changed_x, None, context)[:, blind], mixer(x, None, context)[:, blind], str(context))


def numbers_kept(state) -> int:
    """The floating-point numbers in the state of a single stream; integer counters do not count."""
    return sum(tensor[0].numel() for tensor in tree_leaves(state) if tensor.is_floating_point())


def assert_refuses_streaming(mixer: Mixer) -> None:
    """Raise AssertionError unless every method for streaming raises ValueError with the mixer's reason."""
    context = Context(4)
    message = rf"{type(mixer).__name__} cannot stream or take a context: \S.*"
    x = noise(1, 9, D_MODEL)
    calls = {
        "forward": lambda: mixer(x, None, context),
        "init_state": lambda: mixer.init_state(1, context),
        "step": lambda: mixer.step(x, ()),
        "state_size": lambda: mixer.state_size(9, context),
    }
    for name, call in calls.items():
        try:
            call()
        except ValueError as error:
            assert re.fullmatch(message, str(error)), f"{name} raises '{error}'"
        else:
            raise AssertionError(f"{name} takes a context, although the mixer has a reason in cannot_stream")
