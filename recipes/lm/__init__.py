"""Language models: text, training, and models loaded from their run folders."""

from recipes.lm.brain import LanguageModelBrain, Perplexity
from recipes.lm.data import TextBatches
from recipes.lm.experiment import LanguageModelExperiment
from recipes.lm.saved_model import load_language_model

__all__ = ["LanguageModelBrain", "LanguageModelExperiment", "Perplexity", "TextBatches", "load_language_model"]
