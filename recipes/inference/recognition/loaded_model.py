"""A model that is ready to transcribe: what `loading` gives and `recognition` takes."""

from typing import NamedTuple

from sentencepiece import SentencePieceProcessor

from recipes.config import Recipe
from recipes.decoding import Search
from recipes.models import Recogniser, TransformerLM


class LoadedModel(NamedTuple):
    """A model with its weights and tokenizer, how it is to be searched (None: greedy CTC), and in words what it is.

    utterance_seconds: the mean of the training utterances; None where it is not known.
    """

    model: Recogniser
    tokenizer: SentencePieceProcessor
    search: Search | None
    language_model: TransformerLM | None
    name: str
    recipe: Recipe
    utterance_seconds: float | None = None
