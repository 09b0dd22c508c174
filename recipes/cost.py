"""What a model costs: parameters, multiply-adds counted without computing anything, and the memory of tensors."""

import re
import weakref
from collections.abc import Callable
from pathlib import Path

import torch
from torch import nn
from torch.nn.attention import SDPBackend, sdpa_kernel
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves

FEATURE_FRAMES_PER_SECOND = 100
N_MELS = 80


def parameter_count(*modules: nn.Module) -> int:
    """Numbers that are trained, of all the modules together."""
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


def multiply_adds(run: Callable[[], object]) -> int:
    """Multiply-adds in the matrix products and convolutions of one call of `run`."""
    from torch.utils.flop_counter import FlopCounterMode  # imports triton, 50 MB that a training need not have

    # Of attention's kernels, the counter sees through the plain one alone.
    with FlopCounterMode(display=False) as counter, sdpa_kernel(SDPBackend.MATH):
        run()
    return counter.get_total_flops() // 2


def encoder_multiply_adds(model: nn.Module, seconds: int) -> int:
    """The multiply-adds from the features of one utterance of so many seconds to its CTC logits.

    model: a `recipes.models.Recogniser`; call it under FakeTensorMode to compute nothing.
    """
    frames = FEATURE_FRAMES_PER_SECOND * seconds

    def run() -> None:
        encoded = model.encoder(*model.frontend(torch.empty(1, frames, N_MELS), torch.full((1,), frames)))
        model.ctc(encoded.frames)

    return multiply_adds(run)


class TensorWatch(TorchDispatchMode):
    """Counts the storages of tensors made while it is on, as long as they exist; views count once.

    ``current``: bytes now; ``peak``: the highest that ``current`` has been. Works on tensors without contents
    (FakeTensorMode) too.
    """

    def __enter__(self):
        self.alive, self.current, self.peak = {}, 0, 0
        return super().__enter__()

    def __torch_dispatch__(self, function, types, arguments=(), options=None):
        inputs = {tensor.untyped_storage()._cdata for tensor in _tensors((arguments, options))}
        result = function(*arguments, **(options or {}))
        for storage in (tensor.untyped_storage() for tensor in _tensors(result)):
            key = storage._cdata
            if key not in inputs and key not in self.alive:
                size = storage.nbytes()
                self.alive[key] = weakref.ref(storage, lambda _, key=key, size=size: self._remove(key, size))
                self.current += size
                self.peak = max(self.peak, self.current)
        return result

    def _remove(self, key: int, size: int) -> None:
        del self.alive[key]
        self.current -= size


def available_memory(meminfo: Path = Path("/proc/meminfo")) -> int | None:
    """Bytes of main memory that processes can still take; None where the system does not say (macOS).

    Linux counts memory that holds copies of files as used, and gives it up when a process needs it: after a corpus has
    been read hardly any memory is free, and most of it is available.
    """
    try:
        kilobytes = re.search(r"^MemAvailable:\s+(\d+) kB$", meminfo.read_text(encoding="utf-8"), flags=re.MULTILINE)
    except OSError:
        return None
    return 1024 * int(kilobytes[1]) if kilobytes else None


def _tensors(tree) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
