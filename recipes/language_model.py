"""The Transformer language model: tokens to logits of the next token, at once or one token at a time."""

from pathlib import Path

import torch
from torch import Tensor, nn

from data_prep.manifest import checksum
from mixers.base import check_heads
from recipes.checkpoints import load_weights
from recipes.config import load
from recipes.decoder import AttentionLayer, Cache, embed, empty_cache
from recipes.errors import RecipeError
from recipes.run_folder import TOKENIZER, WEIGHTS


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
        for layer, past in zip(self.layers, cache.past):
            x, past = layer.step(x, past, cache.order)
            longer.append(past)
        return self.out(self.norm(x))[:, 0], Cache(longer, torch.arange(len(x), device=x.device))


def load_language_model(folder: Path, tokenizer_model: Path | None = None) -> TransformerLM:
    """The language model of a run folder of train_lm.py, in evaluation mode, on the CPU.

    tokenizer_model: the ``tokenizer.model`` of the recogniser that it is to help. Raises RecipeError, one
    line, for a folder without language model, for damaged or foreign weights, and for another tokenizer.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise RecipeError(f"there is no folder {folder} with a language model: train one with train_lm.py")
    for name in ("recipe.yaml", WEIGHTS, TOKENIZER):
        if not (folder / name).is_file():
            hint = "train it to the end" if name == WEIGHTS else "is it the output folder of train_lm.py?"
            raise RecipeError(f"{folder} holds no {name}: {hint}")
    check_same_tokenizer(folder / TOKENIZER, tokenizer_model)
    with torch.random.fork_rng():  # the recipe seeds torch before it draws weights
        model = load(folder / "recipe.yaml").hparams.get("language_model")
    if not isinstance(model, TransformerLM):
        raise RecipeError(f"{folder / 'recipe.yaml'} is no recipe of a language model: give a folder of train_lm.py")
    weights = load_weights(folder / WEIGHTS)
    try:
        model.load_state_dict(weights)
    except (RuntimeError, TypeError):
        raise RecipeError(
            f"{folder / WEIGHTS} does not fit the model of {folder / 'recipe.yaml'}: train it again, in another folder"
        ) from None
    return model.eval()


def check_same_tokenizer(own: Path, other: Path | None) -> None:
    """Raises RecipeError when the two files are not byte for byte the same: token ids would not agree."""
    if other is None or checksum(own) == checksum(other):
        return
    if not Path(other).is_file():
        raise RecipeError(f"there is no tokenizer {other} to compare the language model's with")
    raise RecipeError(
        f"the language model's tokenizer {own} differs from the recogniser's {other}: train the language "
        f"model with the recogniser's own, python train_lm.py hparams/NAME.yaml --tokenizer {other} …"
    )
