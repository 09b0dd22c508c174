"""Work on many items in forked processes of one thread each. It uses all cores, and gives the digits of one process."""

import multiprocessing
import os
import signal
import sys
import threading
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import Any, TypeVar

import torch

from recipes.errors import RecipeError
from recipes.training.processes import end_with_parent

Item = TypeVar("Item")
Result = TypeVar("Result")
WORK: list[Callable[[Any], Any]] = []  # of a forked process: one, which need not be picklable


def cores() -> int:
    """Processes worth forking: as many as torch takes threads, which is OMP_NUM_THREADS or the machine's cores."""
    return torch.get_num_threads() if sys.platform == "linux" else 1  # others do not fork well


def forked(work: Callable[[Item], Result], items: Sequence[Item], processes: int) -> Iterator[Result]:
    """The results of `work` for all items, in the order in which they finish.

    The forked processes share this one's memory as it is now; what they change does not come back. They ignore Ctrl-C:
    this process ends them, and they also end if it dies in any way. An error of `work` is raised here. Raises
    RecipeError if a process is killed.
    """
    others = {process.pid for process in multiprocessing.active_children()}
    with ProcessPoolExecutor(
        processes, multiprocessing.get_context("fork"), initializer=_begin, initargs=(work, os.getpid())
    ) as pool:
        try:
            for finished in as_completed([pool.submit(_run, item) for item in items]):
                yield finished.result()
        except BrokenProcessPool:
            raise RecipeError(
                f"one of {processes} processes was killed (too little memory?): OMP_NUM_THREADS=1 keeps to a single "
                "process"
            ) from None
        except BaseException:
            for process in multiprocessing.active_children():
                if process.pid not in others:
                    process.terminate()  # rather than wait for results that nobody is going to read
            raise


def _begin(work: Callable, parent: int) -> None:
    """Prepare a forked process. It uses one thread: torch's threads did not survive the fork, and it has one core."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    signal.signal(signal.SIGTERM, signal.SIG_DFL)
    threading.Thread(target=end_with_parent, args=(parent,), daemon=True).start()
    torch.set_num_threads(1)
    WORK[:] = [work]


def _run(item: Any) -> Any:
    return WORK[0](item)
