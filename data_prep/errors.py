"""The error that a user can fix, and how a command shows it."""

import functools
import os
import sys
import time

MISTAKE = 2  # exit status
RANK_PATIENCE_SECONDS = 5.0  # torchrun looks for failed processes ten times a second, and then ends the others


class DataError(ValueError):
    """Data, folder or setting that can't be used. Its message is one line: what, where, and what to do."""


USERS_MISTAKES = (DataError, OSError)


def command_line(main):
    """Decorate `main(argv=None)`: run it and return the exit status instead of showing a traceback.

    0 when it returns; 2 after `error: …` on stderr for a DataError or an error of the operating system
    (no space left, permission denied); 130 after Ctrl-C. Anything else is a bug and keeps its traceback.
    Of several processes of torchrun, the first one speaks; another does for an error that it has alone.
    """

    @functools.wraps(main)
    def run(argv=None) -> int:
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # an ASCII screen, or a file name that is not UTF-8, ends no command
                stream.reconfigure(errors="backslashreplace")
        try:
            main(argv)
        except USERS_MISTAKES as error:
            label = _rank_label()
            if label:
                # The first process may be about to say the same, whereupon torchrun ends this one.
                time.sleep(RANK_PATIENCE_SECONDS)
            print(f"error: {label}{error}", file=sys.stderr, flush=True)
            return MISTAKE
        except KeyboardInterrupt as interruption:
            if not _rank_label():
                print(str(interruption) or "interrupted", file=sys.stderr)
            return 130
        return 0

    return run


def _rank_label() -> str:
    """`[rank N] ` in a process of torchrun that is not the first, else nothing."""
    rank = os.environ.get("RANK", "0") if "LOCAL_RANK" in os.environ else "0"
    return "" if rank == "0" else f"[rank {rank}] "
