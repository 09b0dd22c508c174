"""The error that a user can fix, and how a command shows it."""

import functools
import sys


class DataError(ValueError):
    """Data, folder or setting that can't be used. Its message is one line: what, where, and what to do."""


def command_line(main):
    """Decorate `main(argv=None)`: run it and return the exit status instead of showing a traceback.

    0 when it returns; 2 after `error: …` on stderr for a DataError or an error of the operating system
    (no space left, permission denied); 130 after Ctrl-C. Anything else is a bug and keeps its traceback.
    """

    @functools.wraps(main)
    def run(argv=None) -> int:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # an ASCII screen, or a file name that is not UTF-8, ends no command
                stream.reconfigure(errors="backslashreplace")
        try:
            main(argv)
        except (DataError, OSError) as error:
            print(f"error: {error}", file=sys.stderr)
            return 2
        except KeyboardInterrupt as interruption:
            print(str(interruption) or "interrupted", file=sys.stderr)
            return 130
        return 0

    return run
