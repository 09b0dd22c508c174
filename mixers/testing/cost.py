"""The check of linear memory, by watching every tensor that torch makes."""

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

from ..base import Context, Mixer
from .inputs import D_MODEL, DEVICE, Build, gradients, noise, random_mixer


class Allocations(TorchDispatchMode):
    """The elements of the ``largest`` tensor made while it is on, and those of all tensors in ``total``."""

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


def count_allocations(mixer: Mixer, frames: int, context: Context | None) -> Allocations:
    """The allocations of a forward and backward pass over a single utterance."""
    x, mask = noise(1, frames, D_MODEL, dtype=torch.float32), torch.ones(1, frames, dtype=torch.bool, device=DEVICE)
    mask[:, -frames // 8 :] = False
    with Allocations() as allocations:
        gradients(mixer, x, mask, context)
    return allocations


def check_linear(build: Build) -> None:
    """No tensor of T x T elements, and twice the frames take twice the memory, unless ``linear`` is False."""
    mixer, frames = random_mixer(build, torch.float32), 2048
    if not mixer.linear:
        return
    for context in [None] if mixer.cannot_stream else [None, Context(16), Context(16, 2)]:
        half, full = count_allocations(mixer, frames // 2, context), count_allocations(mixer, frames, context)
        assert full.largest < frames * frames, context
        assert full.total <= 2.1 * half.total, context
