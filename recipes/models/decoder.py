"""The attention decoder: a pre-norm Transformer that keeps keys and values from one step to the next."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from mixers.base import check_heads, lengths_to_mask
from recipes.models.attention_cache import AttentionLayer, Cache, embed, empty_cache
from recipes.models.encoder import Encoded, FeedForward


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
        for layer, keys, values in zip(self.layers, cross.keys, cross.values, strict=True):
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
        for layer, past, keys, values in zip(self.layers, cache.past, cross.keys, cross.values, strict=True):
            x, past = layer.step(x, past, cache.order, keys, values, cross.mask)
            longer.append(past)
        return self.out(self.norm(x))[:, 0], Cache(longer, torch.arange(len(x), device=x.device))
