"""Self-attention over tokens: all tokens at once, or one token at a time with a cache of keys and values."""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixers.positions import sinusoids
from mixers.scaled_dot_product import scaled_dot_product_attention


class Cache(NamedTuple):
    """Keys and values of the tokens so far, for N hypotheses.

    past: ``[tokens, N, layers, 2, heads, head size]``. order: int64 ``[N]``, the hypothesis of ``past`` that each
    hypothesis continues; None: its own. ``select`` changes ``order`` alone; the keys and values are reordered when
    the next token is appended, which copies them anyway.
    """

    past: Tensor
    order: Tensor | None = None

    def select(self, index: Tensor) -> "Cache":
        """The cache of the hypotheses ``index``, in that order."""
        return Cache(self.past, index if self.order is None else self.order[index])

    def longer(self) -> Tensor:
        """The past of each hypothesis, in order, with room for the next token."""
        tokens, hypotheses, *shape = self.past.shape
        if self.order is None:
            return torch.cat([self.past, self.past.new_empty(1, hypotheses, *shape)])
        longer = self.past.new_empty(tokens + 1, len(self.order), *shape)
        torch.index_select(self.past, 1, self.order, out=longer[:-1])
        return longer


def empty_cache(layers: int, heads: int, hypotheses: int, like: Tensor) -> Cache:
    """The cache before the first token. like: a weight ``[vocab_size, d_model]`` of the model."""
    device = like.device.type
    # Under autocast the layers return another type than that of the weights.
    dtype = torch.get_autocast_dtype(device) if torch.is_autocast_enabled(device) else like.dtype
    return Cache(like.new_empty(0, hypotheses, layers, 2, heads, like.shape[1] // heads, dtype=dtype))


def embed(embedding: nn.Embedding, tokens: Tensor, start: int) -> Tensor:
    """Tokens ``[B, U]``, the first at position ``start`` → ``[B, U, d_model]``, with sinusoidal positions."""
    d_model = embedding.embedding_dim
    if tokens.shape[1] == 1:
        encoding = position_encoding(start, d_model, tokens.device)
    else:
        encoding = sinusoids(torch.arange(start, start + tokens.shape[1], device=tokens.device), d_model)
    embedded = embedding(tokens) * math.sqrt(d_model)
    return embedded + encoding.to(embedded.dtype)


@functools.lru_cache(maxsize=10_000)  # a search asks for the same positions again and again
@torch.inference_mode(False)
def position_encoding(position: int, d_model: int, device: torch.device) -> Tensor:
    """The sinusoids ``[1, d_model]`` of one position."""
    return sinusoids(torch.tensor([position], device=device), d_model)


class AttentionLayer(nn.Module):
    """Causal self-attention, for the layers of decoder and language model: all tokens at once, or step by step.

    A subclass sets ``self_qkv``, which makes queries, keys and values together, ``self_out`` and ``dropout``;
    in its own order, which is that of the random draws.
    """

    self_qkv: nn.Linear
    self_out: nn.Linear
    dropout: nn.Dropout

    def __init__(self, heads: int, dropout: float):
        super().__init__()
        self.heads, self.attention_dropout = heads, dropout

    def split_heads(self, x: Tensor, parts: int) -> tuple[Tensor, ...]:
        """``[B, T, parts * d_model]`` → ``parts`` tensors ``[B, heads, T, head size]``."""
        return x.unflatten(-1, (parts, self.heads, -1)).permute(2, 0, 3, 1, 4).unbind(0)

    def attend(
        self, query: Tensor, key: Tensor, value: Tensor, mask: Tensor | None = None, causal: bool = False
    ) -> Tensor:
        """``[B, heads, U, head size]`` → ``[B, U, d_model]``. mask: bool, True where a query may see a key."""
        p = self.attention_dropout if self.training else 0.0
        mixed = scaled_dot_product_attention(query, key, value, visible=mask, causal=causal, p=p)
        return mixed.transpose(1, 2).flatten(2)

    def self_attention(self, x: Tensor) -> Tensor:
        """Each token of ``[B, U, d_model]`` attends to itself and to those before it."""
        query, key, value = self.split_heads(self.self_qkv(x), 3)
        return self.dropout(self.self_out(self.attend(query, key, value, causal=True)))

    def self_attention_step(self, x: Tensor, past: Tensor) -> Tensor:
        """``self_attention`` of the next token ``[N, 1, d_model]``, whose key and value it writes into the past.

        past: ``[tokens, N, 2, heads, head size]``, with room for the next token as its last; see ``Cache``.
        """
        query, key_value = self.self_qkv(x).view(len(x), 3, self.heads, -1).split([1, 2], dim=1)
        past[-1] = key_value
        keys, values = past.permute(2, 1, 3, 0, 4).unbind(0)
        return self.self_out(self.attend(query.transpose(1, 2), keys, values))
