"""The attention decoder: a pre-norm Transformer that keeps keys and values from one step to the next."""

from collections.abc import Callable, Iterable
from typing import NamedTuple, cast

from torch import Tensor, nn

from mixers.base import check_heads, lengths_to_mask
from mixers.dropout import Dropout
from recipes.models.attention_cache import AttentionLayer, Cache, embed, empty_cache
from recipes.models.encoder import Encoded, FeedForward
from recipes.models.options import EVEN, SHARE, SIZE, check_options

NORM_EPS = 1e-6


class Cross(NamedTuple):
    """The encoded utterances as cross-attention needs them, computed once.

    keys, values: per layer ``[B, heads, T, head size]``; mask: bool ``[B, 1, 1, T]``, True = real frame.
    """

    keys: list[Tensor]
    values: list[Tensor]
    mask: Tensor

    def select(self, index: Tensor) -> "Cross":
        """The utterances ``index``, in that order."""
        return Cross([key[index] for key in self.keys], [value[index] for value in self.values], self.mask[index])


class DecoderLayer(AttentionLayer):
    """Self-attention, cross-attention and feed-forward, each normalised first and residual."""

    def __init__(self, d_model: int, heads: int, d_ffn: int, dropout: float, activation: Callable[[], nn.Module]):
        super().__init__(heads, dropout)
        self.self_norm, self.cross_norm = nn.LayerNorm(d_model, eps=NORM_EPS), nn.LayerNorm(d_model, eps=NORM_EPS)
        self.self_qkv, self.self_out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.cross_query, self.cross_out = nn.Linear(d_model, d_model), nn.Linear(d_model, d_model)
        self.cross_kv = nn.Linear(d_model, 2 * d_model)
        self.ffn = FeedForward(d_model, d_ffn, dropout, activation, norm_eps=NORM_EPS)
        self.dropout = Dropout(dropout)

    def cross_attention(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """``[B, U, d_model]`` → the same shape, to be added to ``x``; keys, values and mask as in ``Cross``."""
        (query,) = self.split_heads(self.cross_query(self.cross_norm(x)), 1)
        return self.dropout(self.cross_out(self.attend(query, keys, values, mask)))

    def forward(self, x: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """All tokens at once, ``[B, U, d_model]``. Padding comes last, so causality hides it."""
        x = x + self.self_attention(self.self_norm(x))
        x = x + self.cross_attention(x, keys, values, mask)
        return x + self.ffn(x)

    def step(self, x: Tensor, past: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
        """The next token of each hypothesis ``[B * beam, 1, d_model]``; the beam of an utterance stands together.

        Cross-attention takes the hypotheses of an utterance as so many queries, so that nothing of the encoder
        is repeated per hypothesis. past: see ``self_attention_step``.
        """
        x = x + self.self_attention_step(self.self_norm(x), past)
        by_utterance = x.view(keys.shape[0], -1, x.shape[-1])
        x = x + self.cross_attention(by_utterance, keys, values, mask).view_as(x)
        return x + self.ffn(x)


class TransformerDecoder(nn.Module):
    """Attention decoder over ``vocab_size`` tokens, with sinusoidal positions that never end.

    ``forward`` is for training; ``prepare``, ``init_cache`` and ``step`` give the same numbers one token at a time.
    SpeechBrain's decoder has no cache: it runs over all tokens again at every step of a search.
    activation: of the feed-forward layers. embedding_dropout: of embedding and positions together; SpeechBrain has none
    there, and its decoder learns faster for it (docs/parity.md). Raises ValueError for sizes below 1 and for heads that
    do not divide d_model.
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
        embedding_dropout: float = 0.0,
        activation: Callable[[], nn.Module] = nn.GELU,
    ):
        super().__init__()
        check_options(
            "TransformerDecoder",
            d_model=(d_model, EVEN),
            vocab_size=(vocab_size, SIZE),
            layers=(layers, SIZE),
            d_ffn=(d_ffn, SIZE),
            dropout=(dropout, SHARE),
            embedding_dropout=(embedding_dropout, SHARE),
        )
        check_heads("TransformerDecoder", heads, d_model=d_model)
        self.heads = heads
        self.embedding = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.embedding.weight, std=d_model**-0.5)
        self.layers = nn.ModuleList(DecoderLayer(d_model, heads, d_ffn, dropout, activation) for _ in range(layers))
        self.final_norm = nn.LayerNorm(d_model, eps=NORM_EPS)
        self.out = nn.Linear(d_model, vocab_size)
        self.embedding_dropout = Dropout(embedding_dropout)

    def forward(self, encoded: Encoded, tokens: Tensor) -> Tensor:
        """tokens ``[B, U]``, the sentence start first → logits of the next tokens ``[B, U, vocab_size]``."""
        cross = self.prepare(encoded)
        x = self.embedding_dropout(embed(self.embedding, tokens, 0))
        for layer, keys, values in zip(self.layers, cross.keys, cross.values, strict=True):
            x = layer(x, keys, values, cross.mask)
        return self.out(self.final_norm(x))

    def prepare(self, encoded: Encoded) -> Cross:
        """Keys and values of the encoder frames for every layer."""
        layers = cast(Iterable[DecoderLayer], self.layers)
        pairs = [layer.split_heads(layer.cross_kv(encoded.frames), 2) for layer in layers]
        mask = lengths_to_mask(encoded.lengths, encoded.frames.shape[1])[:, None, None]
        return Cross([key for key, _ in pairs], [value for _, value in pairs], mask)

    def init_cache(self, hypotheses: int) -> Cache:
        """The cache before the first token."""
        return empty_cache(len(self.layers), self.heads, hypotheses, self.out.weight)

    def step(self, tokens: Tensor, cross: Cross, cache: Cache) -> tuple[Tensor, Cache]:
        """The last token of each hypothesis ``[B * beam]`` → logits ``[B * beam, vocab_size]`` and the new cache."""
        x, longer = embed(self.embedding, tokens[:, None], len(cache.past)), cache.longer()
        layers = cast(Iterable[DecoderLayer], self.layers)
        for layer, past, keys, values in zip(layers, longer.unbind(2), cross.keys, cross.values, strict=True):
            x = layer.step(x, past, keys, values, cross.mask)
        return self.out(self.final_norm(x))[:, 0], Cache(longer)
