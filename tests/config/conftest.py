"""The fixtures of recipe files, for all tests of this folder."""

from tests.support.recipe_files import base, write

__all__ = ["base", "write"]
