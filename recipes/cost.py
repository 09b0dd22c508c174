"""What a model costs: parameters, and multiply-adds counted without computing anything."""

from collections.abc import Callable

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils.flop_counter import FlopCounterMode

FEATURE_FRAMES_PER_SECOND = 100
N_MELS = 80


def parameter_count(*modules: nn.Module) -> int:
    """Numbers that are trained, of all the modules together."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def multiply_adds(run: Callable[[], object]) -> int:
    """Multiply-adds in the matrix products and convolutions of one call of `run`."""
    # Of attention's kernels, the counter sees through the plain one alone.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops() // 2


def encoder_multiply_adds(model: nn.Module, seconds: int) -> int:
    """From the features of one utterance of so many seconds to its CTC logits.

    model: a `recipes.models.Recogniser`; call it under FakeTensorMode to compute nothing.
    """
    frames = FEATURE_FRAMES_PER_SECOND * seconds

    def run() -> None:
        encoded = model.encoder(*model.frontend(torch.empty(1, frames, N_MELS), torch.full((1,), frames)))
        model.ctc(encoded.frames)

    return multiply_adds(run)
