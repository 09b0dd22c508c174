"""Checks with torch's tools: torch.compile, and saved weights."""

import io
import os
from typing import cast

import torch
from torch import nn

from .inputs import D_MODEL, FRAMES, LENGTHS, MASK, Build, assert_near, contexts, gradients, noise, random_mixer

BACKEND = os.environ.get("CONTRACT_BACKEND", "aot_eager")


def check_compile(build: Build) -> None:
    """torch.compile makes a single graph with the same outputs and gradients."""
    mixer, x = random_mixer(build), noise(len(LENGTHS), FRAMES, D_MODEL)
    expected = gradients(mixer, x, MASK)
    torch._dynamo.reset()
    compiled = cast(nn.Module, torch.compile(mixer, backend=BACKEND, fullgraph=True))
    for name, actual in gradients(compiled, x, MASK).items():
        assert_near(actual, expected[name.removeprefix("_orig_mod.")], f"gradient of {name}")
    captured = torch.compile(mixer, backend="eager", fullgraph=True)  # another graph, of which tracing would cost most
    with torch.no_grad():
        for context in contexts(mixer)[-1:]:
            assert_near(captured(x, MASK, context)[MASK], mixer(x, MASK, context)[MASK], str(context))


def check_checkpoint(build: Build) -> None:
    """Saved weights load into another mixer, which then gives the same outputs."""
    mixer, reloaded, x = random_mixer(build), random_mixer(build, seed=5), noise(2, FRAMES, D_MODEL)
    file = io.BytesIO()
    torch.save(mixer.state_dict(), file)
    file.seek(0)
    reloaded.load_state_dict(torch.load(file, weights_only=True))
    assert torch.equal(reloaded(x), mixer(x))
