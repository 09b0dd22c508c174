"""The attention decoder: a pre-norm Transformer that keeps keys and values from one step to the next."""

import functools
import math
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import scaled_dot_product_attention

from mixers.base import check_heads, lengths_to_mask
from mixers.positions import sinusoids
from recipes.conformer import Encoded, FeedForward


class Cross(NamedTuple):
    """What the decoder needs of the encoded utterances, computed once.

    keys, values: per layer ``[B, heads, T, head size]``; mask: bool ``[B, 1, 1, T]``, True = real frame.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor

    def select(self, index: Tensor) -> "Cross":
        """What is needed of utterances ``index``, in that order."""
        return Cross([k[index] for k in self.keys], [v[index] for v in self.values], self.mask[index])


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


class DecoderLayer(AttentionLayer):
    """Self-attention, cross-attention and feed-forward, each pre-normalised and residual."""

    def __init__(self, d_model: int, heads: int, d_ffn: int, dropout: float, activation: type[nn.Module]):
        super().__init__(heads, dropout)
        self.self_norm, self.cross_norm = nn.LayerNorm(d_model, eps=1e-6), nn.LayerNorm(d_model, eps=1e-6)
        self.self_in, self.self_out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.cross_query, self.cross_out = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.cross_key_value = nn.Linear(d_model, 2 * d_model)
        self.feed_forward = FeedForward(d_model, d_ffn, dropout, activation)
        self.feed_forward[0].eps = 1e-6
        self.dropout = nn.Dropout(dropout)

    def cross(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        (query,) = self.split(self.cross_query(self.cross_norm(x)), 1)
        return self.dropout(self.cross_out(self.attend(query, keys, values, mask)))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """All tokens at once, ``[B, U, d_model]``. Padding comes last, so causality hides it."""
        x = x + self.look_back(self.self_norm(x))
        x = x + self.cross(x, keys, values, mask)
        return x + self.feed_forward(x)

    def step(self, x: Tensor, past: Tensor, order: Tensor, keys, values, mask) -> tuple[Tensor, Tensor]:
        """One token of each hypothesis, ``[B * beam, 1, d_model]``; the beams of one utterance stand together.

        Cross-attention looks at an utterance's hypotheses as so many queries, so that nothing of the
        encoder is repeated per beam.
        """
        mixed, past = self.look_back_once(self.self_norm(x), past, order)
        x = x + mixed
        by_utterance = x.view(keys.shape[0], -1, x.shape[-1])
        x = x + self.cross(by_utterance, keys, values, mask).view_as(x)
        return x + self.feed_forward(x), past


class TransformerDecoder(nn.Module):
    """Attention decoder over ``vocab_size`` tokens, with sinusoidal positions that never end.

    ``forward`` is for training; ``prepare`` and ``step`` give the same numbers one token at a time.
    SpeechBrain's decoder has no cache: it runs over all tokens again at every step of a search.
    Raises ValueError for heads that do not divide d_model.
    """

    def __init__(
        self,
        d_model: int,
        vocab_size: int,
        *,
        layers: int,
        heads: int,
        d_ffn: int,
        dropout: float = 0.1,
        activation: type[nn.Module] = nn.GELU,
    ):
        super().__init__()
        check_heads("TransformerDecoder", heads, d_model=d_model)
        self.embedding = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.embedding.weight, std=d_model**-0.5)
        self.layers = nn.ModuleList(DecoderLayer(d_model, heads, d_ffn, dropout, activation) for _ in range(layers))
        self.norm = nn.LayerNorm(d_model, eps=1e-6)
        self.out = nn.Linear(d_model, vocab_size)
        self.dropout = nn.Dropout(dropout)

    def forward(self, encoded: Encoded, tokens: Tensor) -> Tensor:
        """tokens ``[B, U]``, from the sentence start on → logits of the next tokens ``[B, U, vocab_size]``."""
        cross = self.prepare(encoded)
        x = self.dropout(embed(self.embedding, tokens, 0))
        for layer, keys, values in zip(self.layers, cross.keys, cross.values):
            x = layer(x, keys, values, cross.mask)
        return self.out(self.norm(x))

    def prepare(self, encoded: Encoded) -> Cross:
        """Keys and values of the encoder frames for every layer."""
        pairs = [layer.split(layer.cross_key_value(encoded.frames), 2) for layer in self.layers]
        mask = lengths_to_mask(encoded.lengths, encoded.frames.shape[1])[:, None, None]
        return Cross([key for key, _ in pairs], [value for _, value in pairs], mask)

    def start(self, hypotheses: int) -> Cache:
        """The cache before the first token."""
        return empty_cache(self.layers, self.out.weight, hypotheses)

    def step(self, tokens: Tensor, cross: Cross, cache: Cache) -> tuple[Tensor, Cache]:
        """The last token of each hypothesis ``[B * beam]`` → logits ``[B * beam, vocab_size]`` and the new cache."""
        x, longer = embed(self.embedding, tokens[:, None], len(cache.past[0])), []
        for layer, past, keys, values in zip(self.layers, cache.past, cross.keys, cross.values):
            x, past = layer.step(x, past, cache.order, keys, values, cross.mask)
            longer.append(past)
        return self.out(self.norm(x))[:, 0], Cache(longer, torch.arange(len(x), device=x.device))
