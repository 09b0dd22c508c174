"""The error of everything that reads a recipe, and the way a command line shows it."""

from data_prep.errors import MISTAKE, USERS_MISTAKES, DataError, command_line

__all__ = ["MISTAKE", "USERS_MISTAKES", "RecipeError", "command_line"]


class RecipeError(DataError):
    """A recipe or command line that cannot be used as it stands. One line: what, where, and what to do."""
