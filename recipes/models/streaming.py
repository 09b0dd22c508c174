"""Streams in one batch: their states are batches too, which are taken apart and put together by rows."""

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
    """One state of all streams, of the states of some each; they must be alike in ``state_shape``."""
    leaves, structures = zip(*map(tree_flatten, states), strict=True)
    return tree_unflatten([torch.cat(parts) for parts in zip(*leaves, strict=True)], structures[0])


def state_shape(state: object) -> tuple[torch.Size, ...]:
    """Equal for states, under one context, that can be joined: after as many samples of an unfinished chunk.

    Attention with all the past has to have seen as much of it, too; other mixers are always alike.
    """
    return tuple(tensor.shape[1:] for tensor in tree_leaves(state))
