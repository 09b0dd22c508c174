"""Several streams as one batch: take rows out of their common state, and put states together."""

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor
from torch.utils._pytree import tree_flatten, tree_leaves, tree_map, tree_unflatten

State = TypeVar("State")


def select(state: State, rows: Sequence[int] | Tensor) -> State:
    """The state of the streams ``rows`` of a batch, in that order. state: of any part of a model."""
    index = rows if isinstance(rows, Tensor) else list(rows)
    return tree_map(lambda tensor: tensor[index], state)


def join(states: Sequence[State]) -> State:
    """One state for all streams, from states of one or more streams each. They must have the same ``state_shape``."""
    leaves, structures = zip(*map(tree_flatten, states), strict=True)
    return tree_unflatten([torch.cat(parts) for parts in zip(*leaves, strict=True)], structures[0])


def state_shape(state: object) -> tuple[torch.Size, ...]:
    """Sizes that must be equal for states to be joined. They are, under one context, between two chunks.

    Within a chunk the streams must have taken equally many samples of it. Attention with all the past must also have
    seen equally many frames.
    """
    return tuple(tensor.shape[1:] for tensor in tree_leaves(state))
