"""What a search is, what it needs of the models, and what it returns."""

from abc import ABC, abstractmethod
from typing import Any, NamedTuple, Protocol

from sentencepiece import SentencePieceProcessor
from torch import Tensor

from recipes.models.encoder import Encoded


class Hypothesis(NamedTuple):
    """A finished sentence: token ids without sentence start and end, and its score, a log probability."""

    tokens: list[int]
    score: float


class LanguageModel(Protocol):
    """A language model over the recogniser's tokens, such as ``recipes.models.TransformerLM``.

    A cache is of the model's own type; ``cache.select(index)`` is that of the hypotheses ``index``.
    """

    def __call__(self, tokens: Tensor) -> Tensor:
        """tokens ``[N, U]``, the sentence start first → logits of the next tokens ``[N, U, vocab_size]``."""

    def init_cache(self, hypotheses: int) -> Any:
        """The cache before the first token."""

    def step(self, tokens: Tensor, cache: Any) -> tuple[Tensor, Any]:
        """The last token of each hypothesis ``[N]`` → logits ``[N, vocab_size]`` and the new cache."""


class Decoder(Protocol):
    """An attention decoder, such as ``recipes.models.TransformerDecoder``; caches as in LanguageModel."""

    def prepare(self, encoded: Encoded) -> Any:
        """The encoded utterances as ``step`` needs them; ``select(index)`` picks utterances."""

    def init_cache(self, hypotheses: int) -> Any:
        """The cache before the first token."""

    def step(self, tokens: Tensor, cross: Any, cache: Any) -> tuple[Tensor, Any]:
        """As LanguageModel's; the hypotheses of an utterance stand together. cross: what ``prepare`` returned."""


class Search(ABC):
    """From encoder frames to sentences. A search that is used in a recipe keeps its options as attributes."""

    takes_lm = True  # whether it can use a neural language model
    thread_safe = True  # whether several threads may search at once

    def prepare(self, tokenizer: SentencePieceProcessor) -> None:
        """Called once, before the first utterance, with the tokenizer of the run."""
        return

    def tunable(self, lm: LanguageModel | None) -> dict[str, tuple[float, ...]]:
        """Attributes worth tuning on a development set, with the values to try, when ``lm`` is used."""
        return {}

    def check(self, decoder: object) -> None:
        """Raises RecipeError for a model's decoder that it cannot read."""
        return

    @abstractmethod
    def __call__(
        self, decoder: Any, encoded: Encoded, ctc_log_probs: Tensor, lm: LanguageModel | None = None
    ) -> list[list[Hypothesis]]:
        """The hypotheses of every utterance, best first; at least one each.

        decoder: the model's, of a kind that ``check`` accepts; None for CTC alone.
        ctc_log_probs: ``[B, T, vocab_size]``. lm: None for no language model.
        """
