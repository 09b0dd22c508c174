"""Recipes as YAML: read with their bases, check, flatten, build.

The command lines that change them are in `recipes.config.arguments`, which loads SpeechBrain.
"""

from recipes.config.content import recipe_content, recipe_hash
from recipes.config.flattening import flatten
from recipes.config.inherit import read_recipe
from recipes.config.recipe import Recipe, load

__all__ = ["Recipe", "flatten", "load", "read_recipe", "recipe_content", "recipe_hash"]
