"""The error that a user can fix, and how a command shows it."""

import errno
import functools
import os
import select
import sys
import time

MISTAKE = 2  # exit status
DISK_FULL = (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)  # or the user's share of it
TO_DO = {
    **dict.fromkeys((errno.EEXIST, errno.ENOTDIR), "; a folder is wanted: give another one"),
    **dict.fromkeys((errno.EACCES, errno.EPERM, errno.EROFS), "; change its permissions, or give another place"),
}
OF_THE_MACHINE = {
    *(errno.EIO, errno.EMFILE, errno.ENFILE, errno.ENOMEM, errno.EACCES, errno.EPERM),
    *(errno.EAGAIN, errno.EINTR, errno.ESTALE, errno.ETIMEDOUT, errno.ECONNRESET, errno.EHOSTDOWN, errno.ENOTCONN),
}
BROKEN_PIPE = 141  # what a shell shows of a program that SIGPIPE ended: `| head` has seen enough
RANK_PATIENCE_SECONDS = 5.0  # torchrun looks for failed processes ten times a second, and then ends the others


class DataError(ValueError):
    """Data, folder or setting that can't be used. Its message is one line: what, where, and what to do."""


USERS_MISTAKES = (DataError, OSError)


def command_line(main):
    """Decorate `main(argv=None)`: run it and return the exit status instead of showing a traceback.

    What `main` returns, 0 for None; 2 after `error: …` on stderr for a DataError or an error of the operating system
    (no space left, permission denied); 130 after Ctrl-C; 141, without a word, when nobody reads its output any more.
    Anything else is a bug and keeps its traceback.
    Of several processes of torchrun, the first one speaks; another does for an error that it has alone.
    """

    @functools.wraps(main)
    def run(argv=None) -> int:
        open_closed_streams()
        for stream in (sys.stdout, sys.stderr):
            if hasattr(stream, "reconfigure"):  # an ASCII screen, or a file name that is not UTF-8, ends no command
                stream.reconfigure(errors="backslashreplace")
        try:
            status = main(argv)
            sys.stdout.flush()
        except USERS_MISTAKES as error:
            if isinstance(error, BrokenPipeError) and _nobody_reads():
                return BROKEN_PIPE
            label = _rank_label()
            if label:
                # The first process may be about to say the same, whereupon torchrun ends this one.
                time.sleep(RANK_PATIENCE_SECONDS)
            print(f"error: {label}{in_words(error)}", file=sys.stderr, flush=True)
            return MISTAKE
        except KeyboardInterrupt as interruption:
            if not _rank_label():
                print(str(interruption) or "interrupted", file=sys.stderr)
            return 130
        return status or 0

    return run


def open_closed_streams() -> None:
    """Where the shell has closed standard output or error (`>&-`), what goes there is lost, and no more than that."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115 (for as long as we live)


def in_words(error: Exception) -> str:
    """One line. Of a full disk the system names at most the file."""
    if isinstance(error, OSError) and error.errno in DISK_FULL:
        place = f" for {error.filename}" if error.filename else ""
        return f"no disk space left{place}: free some space and give the same command again"
    if isinstance(error, OSError) and error.filename:
        return f"{error.filename}: {error.strerror}{TO_DO.get(error.errno, '')}"
    return str(error)


def _nobody_reads() -> bool:
    """Whether standard output is the pipe that broke. If so, what is still to be written to it goes nowhere."""
    try:
        output = sys.stdout.fileno()
    except (OSError, ValueError):  # no file of the system
        return False
    poll = select.poll()
    poll.register(output, 0)  # errors are reported in any case
    if not any(event & (select.POLLERR | select.POLLHUP) for _, event in poll.poll(0)):
        return False
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, output)
    os.close(nowhere)
    return True


def _rank_label() -> str:
    """`[rank N] ` in a process of torchrun that is not the first, else nothing."""
    rank = os.environ.get("RANK", "0") if "LOCAL_RANK" in os.environ else "0"
    return "" if rank == "0" else f"[rank {rank}] "
