"""The error of everything that reads a recipe, the way a command line shows it, and errors that blame no file."""

from data_prep.errors import MISTAKE, OF_THE_MACHINE, USERS_MISTAKES, DataError, command_line

__all__ = ["MISTAKE", "USERS_MISTAKES", "RecipeError", "command_line", "is_of_the_machine", "ran_out_of_memory"]

# The CPU's allocator raises a plain RuntimeError. "memory" alone is in errors that have other causes.
OUT_OF_MEMORY = ("out of memory", "can't allocate memory", "STATUS_ALLOC_FAILED")


class RecipeError(DataError):
    """A recipe or command line that cannot be used as it stands. One line: what, where, and what to do."""


def ran_out_of_memory(error: BaseException) -> bool:
    """Whether an error says that the device, or the process, has too little memory."""
    if isinstance(error, MemoryError):
        return True
    text = str(error)
    return isinstance(error, RuntimeError) and any(words in text for words in OUT_OF_MEMORY) and "shared" not in text


def is_of_the_machine(error: BaseException) -> bool:
    """Whether an error while a file is read says nothing of its content: memory, open files, storage, permissions."""
    return ran_out_of_memory(error) or (isinstance(error, OSError) and error.errno in OF_THE_MACHINE)
