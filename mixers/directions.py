"""Sums over the frames before, or after, every frame: in linear time, and with no state per frame in memory."""

from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor

from .base import check_option, sum_dtype
from .chunks import decay_powers, from_chunks, left_sums, to_chunks
from .products import apply_sums, sum_products

BLOCK = 64  # frames whose scores are taken as a matrix; between blocks the sums of products are carried


class Shares(NamedTuple):
    """How many heads, or features, see the past, the whole utterance, and the future.

    Heads are stored in this order, so that those which look back, for which a stream keeps sums, come first.
    """

    past: int
    whole: int
    future: int


DIRECTIONS = Shares._fields


def share_out(owner: str, directions: Sequence[str], count: int) -> Shares:
    """Assign ``directions`` to ``count`` heads in turn, starting again after the last direction.

    Raises ValueError for an unknown direction, or none.
    """
    if isinstance(directions, str) or not directions:
        raise ValueError(f"{owner}: directions must be a list of {', '.join(DIRECTIONS)}, not '{directions}'")
    for direction in directions:
        check_option(owner, "direction", direction, DIRECTIONS)
    given = [directions[place % len(directions)] for place in range(count)]
    return Shares(*(given.count(direction) for direction in DIRECTIONS))


class Kernel(NamedTuple):
    """A score of two vectors in two equal forms: ``of_product(a . b) = features(a) . features(b)``."""

    of_product: Callable[[Tensor], Tensor]
    features: Callable[[Tensor], Tensor]


PRODUCT = Kernel(lambda products: products, lambda x: x)


def past_products(
    q: Tensor, k: Tensor, v: Tensor, decay: float = 1.0, include_own: bool = True, kernel: Kernel = PRODUCT
) -> Tensor:
    """y_t = sum over u <= t of decay^(t - u) kernel(q_t . k_u) v_u, without u = t where ``include_own`` is False.

    q, k: ``[…, T, f]``; v: ``[…, T, d]``; returns ``[…, T, d]`` in the dtype of sums. Within a block of BLOCK frames
    every pair gets its score. Earlier blocks enter through the sum of features(k_u) v_u^T.
    """
    frames, leading = q.shape[-2], q.shape[:-2]
    size = min(frames, BLOCK)
    q, k, v = (to_chunks(part.reshape(-1, *part.shape[-2:]), size) for part in (q, k, v))
    powers = decay_powers(size, decay, k.new_empty(0, dtype=sum_dtype(k)))
    scores = kernel.of_product(apply_sums(q, k.transpose(-1, -2).to(sum_dtype(k))))
    if decay != 1.0:
        place = torch.arange(size, device=q.device)
        scores = scores * powers[(place[:, None] - place).clamp(min=0)]
    inside = sum_products(scores.tril(0 if include_own else -1).transpose(-1, -2), v)
    if frames > size:
        carried = left_sums(sum_products(kernel.features(k) * powers.flip(0)[:, None], v), None, decay**size)
        inside = inside + apply_sums(kernel.features(q), carried) * (powers * decay)[:, None]
    return from_chunks(inside, frames).unflatten(0, leading)


def future_products(
    q: Tensor, k: Tensor, v: Tensor, decay: float = 1.0, include_own: bool = True, kernel: Kernel = PRODUCT
) -> Tensor:
    """``past_products`` with the time reversed: the sum over u >= t, or u > t."""
    q, k, v = (part.flip(-2) for part in (q, k, v))
    return past_products(q, k, v, decay, include_own, kernel).flip(-2)
