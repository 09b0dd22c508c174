"""What a search is, and what it gives."""

from typing import NamedTuple

from torch import Tensor

from recipes.models.encoder import Encoded


class Hypothesis(NamedTuple):
    """A finished sentence: token ids without start and end, and its joint log probability."""

    tokens: list[int]
    score: float


class Search:
    """``(decoder, encoded, ctc_log_probs, lm) -> hypotheses of every utterance, best first``; see BeamSearch."""

    takes_lm = True  # whether it can use a neural language model

    def tunable(self, lm) -> dict[str, tuple[float, ...]]:
        """Attributes worth tuning on a development set, with the values to try. lm: the language model, or None."""
        return {}

    def prepare(self, tokenizer) -> None:
        """Called once, before the first utterance, with the SentencePiece tokenizer of the run."""

    def __call__(self, decoder, encoded: Encoded, ctc_log_probs: Tensor, lm=None) -> list[list[Hypothesis]]:
        raise NotImplementedError
