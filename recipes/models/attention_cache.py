"""Self-attention over tokens, all at once or one token at a time with a cache of keys and values."""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mixers.positions import sinusoids


class Cache(NamedTuple):
    """Keys and values of the tokens so far, per layer ``[tokens, hypotheses, 2, heads, head size]``.

    order: ``[N]``, the hypothesis that each one goes on from. It is followed when the next token is appended,
    which copies everything anyway.
    """

    past: list[Tensor]
    order: Tensor

    def select(self, index: Tensor) -> "Cache":
        """The cache of hypotheses ``index``, in that order."""
        return Cache(self.past, self.order[index])


def empty_cache(layers: nn.ModuleList, like: Tensor, hypotheses: int) -> Cache:
    """Before the first token; like: a weight ``[vocab_size, d_model]``."""
    heads = layers[0].heads
    empty = like.new_zeros(0, hypotheses, 2, heads, like.shape[1] // heads)
    return Cache([empty] * len(layers), torch.arange(hypotheses, device=like.device))


def embed(embedding: nn.Embedding, tokens: Tensor, start: int) -> Tensor:
    """Tokens ``[B, U]`` from position ``start`` on → ``[B, U, d_model]``, with sinusoidal positions."""
    d_model = embedding.embedding_dim
    if tokens.shape[1] == 1:
        positions = position(start, d_model, tokens.device)
    else:
        positions = sinusoids(torch.arange(start, start + tokens.shape[1], device=tokens.device), d_model)
    embedded = embedding(tokens) * math.sqrt(d_model)
    return embedded + positions.to(embedded.dtype)


@functools.lru_cache(maxsize=10_000)  # a search asks for the same ones again and again
@torch.inference_mode(False)
def position(at: int, size: int, device: torch.device) -> Tensor:
    return sinusoids(torch.tensor([at], device=device), size)


class AttentionLayer(nn.Module):
    """What the layers of decoder and language model share: attention to the tokens so far, at once or in steps.

    A layer has ``self_in``, which makes queries, keys and values together, ``self_out``, and ``dropout``.
    """

    def __init__(self, heads: int, dropout: float):
        super().__init__()
        self.heads, self.attention_dropout = heads, dropout

    def split(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """``[B, T, parts * d_model]`` → ``parts`` tensors ``[B, heads, T, head size]``."""
        return x.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def attend(self, query, key, value, mask=None, causal=False) -> Tensor:
        p = self.attention_dropout if self.training else 0.0
        mixed = scaled_dot_product_attention(query, key, value, attn_mask=mask, dropout_p=p, is_causal=causal)
        return mixed.transpose(1, 2).flatten(2)

    def look_back(self, x: Tensor) -> Tensor:
        """Each token of ``[B, U, d_model]`` attends to itself and those before it."""
        query, key, value = self.split(self.self_in(x), 3)
        return self.dropout(self.self_out(self.attend(query, key, value, causal=True)))

    def look_back_once(self, x: Tensor, past: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """``look_back`` for one more token ``[N, 1, d_model]``; also the past with the token's keys and values.

        past: ``[tokens, before, 2, heads, head size]``; order: ``[N]``, see ``Cache``.
        """
        query, *new = self.self_in(x).view(len(x), 3, self.heads, -1).split([1, 2], dim=1)
        longer = x.new_empty(len(past) + 1, len(x), *past.shape[2:], dtype=query.dtype)
        # Under autocast the weights, of which the empty past is made, have another type than what comes of them.
        torch.index_select(past.to(query.dtype), 1, order, out=longer[:-1])
        longer[-1] = new[0]
        keys, values = longer.permute(2, 1, 3, 0, 4).unbind(0)
        return self.self_out(self.attend(query.transpose(1, 2), keys, values)), longer
