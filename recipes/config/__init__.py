"""Recipes as YAML: load, check, flatten; and the command lines that change them."""

from recipes.config.arguments import Arguments, parse_arguments
from recipes.config.recipe import Recipe, flatten, load, recipe_keys

__all__ = ["Arguments", "Recipe", "flatten", "load", "parse_arguments", "recipe_keys"]
