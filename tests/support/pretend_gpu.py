"""Tensors that say they lie on a GPU, for machines without one: they compute on the CPU, and refuse what a GPU refuses.

An operation of a GPU's tensor and a tensor on the CPU is an error, but for single numbers, copies, and indices from the
CPU. New tensors are where `device=` says. torch's own fake tensors have no values, so that no search could go on; these
have. What lets those name CUDA without a driver is used here too.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import torch
from torch import Tensor, nn
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves, tree_map

GPU, CPU = torch.device("cuda", 0), torch.device("cpu")
COPIES = ("aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense")
INDEXING = ("aten::index", "aten::index_put", "aten::index_put_")
NOT_HERE = ("aten::_use_cudnn_ctc_loss", "aten::_use_miopen_ctc_loss")  # other kernels of the CTC loss


class Pretender(Tensor):
    """A tensor that holds one of the CPU and says that it is on the GPU."""

    value: Tensor

    @staticmethod
    def __new__(cls, value: Tensor) -> "Pretender":
        layout = {"strides": value.stride(), "storage_offset": value.storage_offset(), "dtype": value.dtype}
        return torch.Tensor._make_wrapper_subclass(cls, value.size(), **layout, device=GPU)

    def __init__(self, value: Tensor):
        self.value = value

    def __repr__(self) -> str:
        return f"Pretender({self.value})"

    def tolist(self) -> Any:
        return self.value.tolist()

    @classmethod
    def __torch_dispatch__(cls, operation, types, args=(), kwargs=None):
        return run(operation, args, kwargs or {})


class _Mode(TorchDispatchMode):
    def __init__(self) -> None:
        super().__init__()
        torch._C._ensureCUDADeviceGuardSet()
        self._mode_key = torch._C._TorchDispatchModeKey.FAKE

    def __torch_dispatch__(self, operation, types, args=(), kwargs=None):
        return run(operation, args, kwargs or {})


@contextmanager
def pretend_gpu() -> Iterator[None]:
    """Within it, tensors can be made on `cuda`, or moved there."""
    before = torch._C._only_lift_cpu_tensors()
    torch._C._set_only_lift_cpu_tensors(True)  # or torch.tensor(…, device="cuda") asks for the driver
    try:
        with torch.no_grad(), _Mode():
            yield
    finally:
        torch._C._set_only_lift_cpu_tensors(before)


def to_gpu(module: nn.Module) -> nn.Module:
    """The module, its parameters and buffers made anew."""
    for part in module.modules():
        for name, parameter in part._parameters.items():
            if parameter is not None:
                part._parameters[name] = nn.Parameter(Pretender(parameter.data), requires_grad=False)
        for name, buffer in part._buffers.items():
            if buffer is not None:
                part._buffers[name] = Pretender(buffer)
    return module


def run(operation, args: tuple, kwargs: dict) -> Any:
    """One operation of torch, by the CPU. Raises RuntimeError where it mixes the two devices."""
    name = operation.name().split(".")[0]
    if name in NOT_HERE:
        return False
    tensors = [value for value in tree_leaves((args, kwargs)) if isinstance(value, Tensor)]
    pretenders = [tensor for tensor in tensors if isinstance(tensor, Pretender)]
    device = kwargs.get("device")
    if pretenders and name not in COPIES:
        indices = [] if name not in INDEXING or not isinstance(args[0], Pretender) else args[1]
        for tensor in tensors:
            free = isinstance(tensor, Pretender) or not tensor.dim() or any(tensor is index for index in indices)
            if not free:
                raise RuntimeError(f"{operation}: a tensor {tuple(tensor.shape)} on the CPU beside one on the GPU")
    on_gpu = bool(pretenders) if device is None else torch.device(device).type == "cuda"
    if name == "aten::copy_":
        on_gpu = isinstance(args[0], Pretender)
    if device is not None:
        kwargs = {**kwargs, "device": CPU}
    with torch.inference_mode(False), torch.no_grad():
        values = tree_map(lambda value: value.value if isinstance(value, Pretender) else value, (args, kwargs))
        result = operation(*values[0], **values[1])
        if not on_gpu:
            return result
        changed = {id(tensor.value): tensor for tensor in pretenders}  # in place: the same tensor comes back
        return tree_map(
            lambda value: as_pretender(value, changed),
            result,
        )


def as_pretender(value: Any, known: dict[int, Pretender]) -> Any:
    if not isinstance(value, Tensor):
        return value
    return known[id(value)] if id(value) in known else Pretender(value)
