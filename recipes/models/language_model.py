"""The Transformer language model: tokens to logits of the next token, all at once or one token at a time."""

from collections.abc import Callable, Iterable
from typing import cast

from torch import Tensor, nn

from mixers.base import check_heads
from mixers.dropout import Dropout
from recipes.models.attention_cache import AttentionLayer, Cache, embed, empty_cache
from recipes.models.encoder import FeedForward
from recipes.models.options import EVEN, SHARE, SIZE, check_options


class LanguageModelLayer(AttentionLayer):
    """Self-attention and feed-forward, each residual; normalised before (``norm_first``) or after."""

    def __init__(
        self,
        d_model: int,
        heads: int,
        d_ffn: int,
        dropout: float,
        activation: Callable[[], nn.Module],
        norm_first: bool,
    ):
        super().__init__(heads, dropout)
        self.norm_first = norm_first
        self.self_norm, self.ffn_norm = nn.LayerNorm(d_model, eps=1e-6), nn.LayerNorm(d_model, eps=1e-6)
        self.self_qkv, self.self_out = nn.Linear(d_model, 3 * d_model), nn.Linear(d_model, d_model)
        self.ffn = FeedForward(d_model, d_ffn, dropout, activation, norm_eps=None)
        self.dropout = Dropout(dropout)

    def norm_before(self, norm: nn.Module, x: Tensor) -> Tensor:
        return norm(x) if self.norm_first else x

    def norm_after(self, norm: nn.Module, x: Tensor) -> Tensor:
        return x if self.norm_first else norm(x)

    def feed_forward(self, x: Tensor) -> Tensor:
        return self.norm_after(self.ffn_norm, x + self.ffn(self.norm_before(self.ffn_norm, x)))

    def forward(self, x: Tensor) -> Tensor:
        """All tokens at once, ``[B, U, d_model]``. Padding comes last, so causality hides it."""
        mixed = self.self_attention(self.norm_before(self.self_norm, x))
        return self.feed_forward(self.norm_after(self.self_norm, x + mixed))

    def step(self, x: Tensor, past: Tensor) -> Tensor:
        """The next token ``[N, 1, d_model]``. past: see ``self_attention_step``."""
        mixed = self.self_attention_step(self.norm_before(self.self_norm, x), past)
        return self.feed_forward(self.norm_after(self.self_norm, x + mixed))


class OutputHead(nn.Module):
    """Hidden layer, LayerNorm and output layer, as in SpeechBrain's TransformerLM."""

    def __init__(self, d_model: int, vocab_size: int):
        super().__init__()
        self.hidden = nn.Linear(d_model, d_model)
        self.norm = nn.LayerNorm(d_model, eps=1e-6)
        self.out = nn.Linear(d_model, vocab_size)

    def forward(self, x: Tensor) -> Tensor:
        return self.out(self.norm(self.hidden(x)))


class TransformerLM(nn.Module):
    """Causal Transformer over ``vocab_size`` tokens, with sinusoidal positions that never end.

    ``forward`` is for training and whole sentences; ``init_cache`` and ``step`` give the same numbers one token at
    a time, for a search. The layers and the output head are those of SpeechBrain's TransformerLM, which has no
    cache and a table of 2,500 positions; ``norm_first=False`` is as in its LibriSpeech recipe.
    activation: of the feed-forward layers. Raises ValueError for sizes below 1, an odd d_model, and heads
    that do not divide it.
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
        activation: Callable[[], nn.Module] = nn.GELU,
        norm_first: bool = True,
    ):
        super().__init__()
        check_options(
            "TransformerLM",
            d_model=(d_model, EVEN),
            vocab_size=(vocab_size, SIZE),
            layers=(layers, SIZE),
            d_ffn=(d_ffn, SIZE),
            dropout=(dropout, SHARE),
        )
        check_heads("TransformerLM", heads, d_model=d_model)
        self.heads = heads
        self.embedding = nn.Embedding(vocab_size, d_model)
        nn.init.normal_(self.embedding.weight, std=d_model**-0.5)
        self.layers = nn.ModuleList(
            LanguageModelLayer(d_model, heads, d_ffn, dropout, activation, norm_first) for _ in range(layers)
        )
        self.final_norm = nn.LayerNorm(d_model, eps=1e-6)
        self.head = OutputHead(d_model, vocab_size)
        self.dropout = Dropout(dropout)

    @property
    def vocab_size(self) -> int:
        """The number of outputs."""
        return self.embedding.num_embeddings

    def forward(self, tokens: Tensor) -> Tensor:
        """tokens ``[B, U]``, the sentence start first → logits of the next tokens ``[B, U, vocab_size]``."""
        x = self.dropout(embed(self.embedding, tokens, 0))
        for layer in self.layers:
            x = layer(x)
        return self.head(self.final_norm(x))

    def init_cache(self, hypotheses: int) -> Cache:
        """The cache before the first token."""
        return empty_cache(len(self.layers), self.heads, hypotheses, self.embedding.weight)

    def step(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """The last token of each hypothesis ``[N]`` → logits ``[N, vocab_size]`` and the new cache."""
        x, longer = embed(self.embedding, tokens[:, None], len(cache.past)), cache.longer()
        layers = cast(Iterable[LanguageModelLayer], self.layers)
        for layer, past in zip(layers, longer.unbind(2), strict=True):
            x = layer.step(x, past)
        return self.head(self.final_norm(x))[:, 0], Cache(longer)
