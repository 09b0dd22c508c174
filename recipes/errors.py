"""The error of everything that reads a recipe, and the way a command line shows it."""

from data_prep.errors import DataError, command_line

__all__ = ["RecipeError", "command_line"]


class RecipeError(DataError):
    """A recipe or command line that cannot be used as it stands. One line: what, where, and what to do."""
