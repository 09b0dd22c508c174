"""Texts brought to one spelling before words are compared, for a second WER beside the plain one."""

from collections.abc import Callable

from data_prep.text import basic
from recipes.errors import RecipeError


def score_normalizer(name: str) -> Callable[[str], str]:
    """`basic`: small letters without punctuation, see `data_prep.text.basic`. `english`: also numbers, contractions,
    titles and spellings, as Whisper (https://arxiv.org/abs/2212.04356, appendix C) is scored, by whisper-normalizer.

    Raises RecipeError where that package is missing.
    """
    if name == "basic":
        return basic
    try:
        from whisper_normalizer.english import EnglishTextNormalizer
    except ImportError:
        raise RecipeError("score_normalizer english needs a package: pip install -r requirements-english.txt") from None
    return EnglishTextNormalizer()
