"""The masks of attention modules in other libraries, as a mixer understands them: real frames, and a Context."""

import torch
from torch import Tensor

from mixers.attention import visible_frames
from mixers.base import Context
from recipes.errors import RecipeError

HIDES = -1e4  # float masks are added to scores: what is below hides a frame, in half precision too


def hidden_frames(mask: Tensor | None) -> Tensor | None:
    """bool, True where a mask hides something. Masks of bytes hide where they are not zero, floats where very negative.

    Raises RecipeError for a float mask with other values than zero and very negative ones, and for what is no tensor.
    """
    if mask is not None and not isinstance(mask, Tensor):
        kind = type(mask).__name__
        raise RecipeError(f"this mask is a {kind}, and not a tensor: build the model with attn_implementation 'sdpa'")
    if mask is None or mask.dtype is torch.bool:
        return mask
    if not mask.is_floating_point():
        return mask != 0
    hidden = mask <= HIDES
    if not (hidden | (mask == 0)).all():
        raise RecipeError("this mask adds weights to attention scores: a mixer can see a frame or not, no more or less")
    return hidden


def mask_and_context(
    padding: Tensor | None, hidden: Tensor | None, batch: int, frames: int
) -> tuple[Tensor | None, Context | None]:
    """The two arguments of a mixer for ``x [batch, frames, d_model]``.

    padding: bool ``[B, T]``, True in padded frames. hidden: bool ``[T, T]``, ``[B or 1, T, T]``,
    ``[B * heads, T, T]`` or ``[B or 1, heads or 1, T, T]``, True where a query (row) may not see a key (column).
    Keys that no query sees are padded too. Raises RecipeError for what is no Context: queries that see something
    else than their own chunk and whole chunks before it, or heads that differ.
    """
    if hidden is None:
        return (None if padding is None else ~padding), None
    hidden = by_head(hidden, batch, frames)
    never_seen = hidden.all(2)[:, 0].expand(batch, -1)
    real = ~never_seen if padding is None else ~(padding | never_seen)
    pairs = (real[:, :, None] & real[:, None])[:, None]  # of real frames: what others see does not count
    hidden = hidden & pairs
    if not hidden.any():
        return real, None
    context = narrowest(hidden, real)
    if context is not None:
        visible = visible_frames(frames, None, context, hidden.device)
        if visible is not None and bool((hidden == ~visible & pairs).all()):
            return real, context
    raise RecipeError(
        "this mask is neither padding, nor causal, nor one of chunks that see whole chunks of the past: no Context of "
        "a mixer says the same"
    )


def by_head(hidden: Tensor, batch: int, frames: int) -> Tensor:
    """``[B or 1, heads or 1, T, T]``. Raises RecipeError for another shape."""
    shape = list(hidden.shape)
    if hidden.dim() == 2:
        hidden = hidden[None, None]
    elif hidden.dim() == 3:
        hidden = hidden.unflatten(0, (batch, -1)) if len(hidden) % batch == 0 else hidden[:, None]
    if hidden.dim() != 4 or hidden.shape[-2:] != (frames, frames) or len(hidden) not in (1, batch):
        raise RecipeError(f"a mask of {shape} does not fit {batch} utterances of {frames} frames")
    return hidden


def narrowest(hidden: Tensor, real: Tensor) -> Context | None:
    """The only Context that can be behind a mask, read off the longest utterance: what its ends see; None for none.

    hidden: ``[B, heads, T, T]``; real: ``[B, T]``.
    """
    row = int(real.sum(1).argmax())
    length = int(real[row].sum())
    seen = ~hidden[row, 0, :length, :length]
    chunk = int(seen[0].sum())
    if not chunk:
        return None
    first_seen = int(seen[-1].byte().argmax())
    return Context(chunk, (length - 1) // chunk - first_seen // chunk if first_seen else None)
