"""The Transformer language model: tokens to logits of the next token, at once or one token at a time."""

import torch
from torch import Tensor, nn

from mixers.base import check_heads
from recipes.models.attention_cache import AttentionLayer, Cache, embed, empty_cache


class LanguageModelLayer(AttentionLayer):
    """Self-attention and feed-forward, each residual; normalised before (``norm_first``) or after."""

    def __init__(
        self,
        d_model: int,
        heads: int,
        d_ffn: int,
        dropout: float,
        activation: type[nn.Module],
        norm_first: bool,
    ):
        super().__init__(heads, dropout)
        self.norm_first = norm_first
        self.self_norm, self.feed_norm = nn.LayerNorm(d_model, eps=1e-6), nn.LayerNorm(d_model, eps=1e-6)
        self.self_in, self.self_out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.feed_forward = nn.Sequential(
            nn.Linear(d_model, d_ffn), activation(), nn.Dropout(dropout), nn.Linear(d_ffn, d_model)
        )
        self.dropout = nn.Dropout(dropout)

    def before(self, norm: nn.Module, x: Tensor) -> Tensor:
        return norm(x) if self.norm_first else x

    def after(self, norm: nn.Module, x: Tensor) -> Tensor:
        return x if self.norm_first else norm(x)

    def feed(self, x: Tensor) -> Tensor:
        return self.after(self.feed_norm, x + self.dropout(self.feed_forward(self.before(self.feed_norm, x))))

    def forward(self, x: Tensor) -> Tensor:
        """All tokens at once, ``[B, U, d_model]``. Padding comes last, so causality hides it."""
        mixed = self.look_back(self.before(self.self_norm, x))
        return self.feed(self.after(self.self_norm, x + mixed))

    def step(self, x: Tensor, past: Tensor, order: Tensor) -> tuple[Tensor, Tensor]:
        """One more token ``[N, 1, d_model]``; also the layer's past with its keys and values."""
        mixed, past = self.look_back_once(self.before(self.self_norm, x), past, order)
        return self.feed(self.after(self.self_norm, x + mixed)), past


class TransformerLM(nn.Module):
    """Causal Transformer over ``vocab_size`` tokens, with sinusoidal positions that never end.

    ``forward`` is for training and for whole sentences; ``start`` and ``step`` give the same numbers one
    token at a time, for a search. The layers and the output layer are those of SpeechBrain's TransformerLM,
    which has no cache and a table of 2,500 positions; ``norm_first=False`` is as in its LibriSpeech recipe.
    activation: of the feed-forward layers. Raises ValueError for heads that do not divide d_model, and for an
    odd d_model.
    """

    def __init__(
        self,
        vocab_size: int,
        d_model: int,
        *,
        layers: int,
        heads: int,
        d_ffn: int,
        dropout: float = 0.1,
        activation: type[nn.Module] = nn.GELU,
        norm_first: bool = True,
    ):
        super().__init__()
        check_heads("TransformerLM", heads, d_model=d_model)
        if d_model % 2:
            raise ValueError(f"TransformerLM: d_model must be even, not {d_model}")
        self.embedding = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.embedding.weight, std=d_model**-0.5)
        self.layers = nn.ModuleList(
            LanguageModelLayer(d_model, heads, d_ffn, dropout, activation, norm_first) for _ in range(layers)
        )
        self.norm = nn.LayerNorm(d_model, eps=1e-6)
        self.out = nn.Sequential(
            nn.Linear(d_model, d_model), nn.LayerNorm(d_model, eps=1e-6), nn.Linear(d_model, vocab_size)
        )
        self.dropout = nn.Dropout(dropout)

    @property
    def vocab_size(self) -> int:
        """Outputs; those of the recogniser that it helps."""
        return self.embedding.num_embeddings

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens ``[B, U]`` from the sentence start on → logits of the next ones ``[B, U, vocab_size]``."""
        x = self.dropout(embed(self.embedding, tokens, 0))
        for layer in self.layers:
            x = layer(x)
        return self.out(self.norm(x))

    def start(self, hypotheses: int) -> Cache:
        """The cache before the first token."""
        return empty_cache(self.layers, self.embedding.weight, hypotheses)

    def step(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """The last token of each hypothesis ``[N]`` → logits ``[N, vocab_size]`` and the new cache."""
        x, longer = embed(self.embedding, tokens[:, None], len(cache.past[0])), []
        for layer, past in zip(self.layers, cache.past, strict=True):
            x, past = layer.step(x, past, cache.order)
            longer.append(past)
        return self.out(self.norm(x))[:, 0], Cache(longer, torch.arange(len(x), device=x.device))
