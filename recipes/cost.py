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
PARTS_OF_A_MODULE = frozenset(vars(nn.Module()))


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

    model: a `recipes.models.Recogniser`; call it under FakeTensorMode to compute nothing. Of layers that are alike,
    one is run.
    """
    frames = FEATURE_FRAMES_PER_SECOND * seconds
    layers: dict[tuple, list[nn.Module]] = {}
    for block in model.encoder.blocks:
        layers.setdefault(structure(block), []).append(block)

    def run() -> None:
        encoded = model.encoder(*model.frontend(torch.empty(1, frames, model.n_mels), torch.full((1,), frames)))
        model.ctc(encoded.frames)

    def of(*blocks: nn.Module) -> int:
        whole, model.encoder.blocks = model.encoder.blocks, nn.ModuleList(blocks)
        try:
            return multiply_adds(run)
        finally:
            model.encoder.blocks = whole

    around = of()
    return around + sum(len(alike) * (of(alike[0]) - around) for alike in layers.values())


def structure(module: nn.Module) -> tuple:
    """Equal for modules that differ in their numbers alone: the classes, settings and shapes of all their parts."""
    parts = []
    for name, part in module.named_modules():
        settings = [(key, setting(value)) for key, value in vars(part).items() if key not in PARTS_OF_A_MODULE]
        tensors = (*part.named_parameters(recurse=False), *part.named_buffers(recurse=False))
        shapes = [(tensor_name, tensor.shape) for tensor_name, tensor in tensors]
        parts.append((name, type(part), *settings, *shapes))
    return tuple(parts)


def setting(value: object) -> str | tuple:
    """A value as its text; an object whose text would be its place in memory, as its class and attributes."""
    if type(value).__repr__ is not object.__repr__ or not hasattr(value, "__dict__"):
        return repr(value)
    return type(value), *((key, setting(below)) for key, below in vars(value).items())


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


def available_memory(root: Path = Path("/")) -> int | None:
    """Bytes of main memory that this process can still take; None where the system does not say (macOS).

    The least that the machine and the process's control groups allow: containers and batch systems set limits that
    ``/proc/meminfo`` does not know. Linux counts memory that holds copies of files as used, and gives it up when a
    process needs it: after a corpus has been read hardly any memory is free, and most of it is available.
    """
    machine = numbers_in(root / "proc/meminfo").get("MemAvailable:")
    return None if machine is None else max(0, min([1024 * machine, *left_in_groups(root)]))


def left_in_groups(root: Path) -> list[int]:
    """Bytes left below the memory limit of each control group that this process is in, and of those around it.

    https://docs.kernel.org/admin-guide/cgroup-v2.html and cgroup-v1/memory.html.
    """
    left = []
    for line in text_of(root / "proc/self/cgroup").splitlines():
        number, controllers, path = line.split(":", 2)
        if number == "0":
            mount, limit, used, caches = "", "memory.max", "memory.current", ("inactive_file", "active_file")
        elif "memory" in controllers.split(","):
            mount, limit, used = "memory", "memory.limit_in_bytes", "memory.usage_in_bytes"
            caches = ("total_inactive_file", "total_active_file")
        else:
            continue
        # Inside a container the path may be that of the host: what exists of it, up to the mount, is what counts.
        top = root / "sys/fs/cgroup" / mount
        group = top / path.strip("/")
        for folder in (group, *group.parents):
            limit_text, used_text = text_of(folder / limit).strip(), text_of(folder / used).strip()
            if limit_text.isdecimal() and used_text.isdecimal():  # "max" is no limit
                copies = numbers_in(folder / "memory.stat")
                left.append(int(limit_text) - int(used_text) + sum(copies.get(name, 0) for name in caches))
            if folder == top:
                break
    return left


def numbers_in(file: Path) -> dict[str, int]:
    """A file with a name and a number on each line."""
    pairs = re.findall(r"^(\S+)\s+(\d+)(?: kB)?$", text_of(file), flags=re.MULTILINE)
    return {name: int(number) for name, number in pairs}


def text_of(file: Path) -> str:
    """Empty where there is no such file."""
    try:
        return file.read_text(encoding="utf-8")
    except OSError:
        return ""


def _tensors(tree) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
