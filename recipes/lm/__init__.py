"""Language models: text, training, and models loaded from their run folders."""

from typing import TYPE_CHECKING

from recipes.faces import lazy_face

if TYPE_CHECKING:
    from recipes.lm.brain import LanguageModelBrain, Perplexity
    from recipes.lm.data import TextBatches
    from recipes.lm.experiment import LanguageModelExperiment
    from recipes.lm.saved_model import load_language_model

__all__ = ["LanguageModelBrain", "LanguageModelExperiment", "Perplexity", "TextBatches", "load_language_model"]

__getattr__ = lazy_face(
    __name__,
    brain=["LanguageModelBrain", "Perplexity"],
    data=["TextBatches"],
    experiment=["LanguageModelExperiment"],
    saved_model=["load_language_model"],
)
