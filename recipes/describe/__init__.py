"""What recipes are, one line each: parameters, work, streaming state, published result, what we have run."""

from recipes.describe.description import About, Description, LanguageModelDescription, describe
from recipes.describe.index import index

__all__ = ["About", "Description", "LanguageModelDescription", "describe", "index"]
