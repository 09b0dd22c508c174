"""The bytes of all tensors that exist at once, counted while code runs."""

import weakref

import torch
from torch.utils._python_dispatch import TorchDispatchMode
from torch.utils._pytree import tree_leaves


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


def _tensors(tree) -> list[torch.Tensor]:
    return [leaf for leaf in tree_leaves(tree) if isinstance(leaf, torch.Tensor)]
