"""Many trainings on several processes; a training that fails does not end the others."""

import multiprocessing
import os
import signal
import threading
from collections.abc import Iterator
from concurrent.futures import ProcessPoolExecutor, as_completed
from concurrent.futures.process import BrokenProcessPool
from typing import NamedTuple

from benchmarks.probes.stack import Factory, Shape, Training, train
from benchmarks.probes.tasks import Task
from data_prep.errors import DataError


class Cell(NamedTuple):
    """A stack to train."""

    mixer: str
    factories: list[Factory]
    task: Task
    seed: int

    @property
    def key(self) -> tuple[str, str, int]:
        return self.mixer, self.task.name, self.seed

    @property
    def work(self) -> int:
        """Number that the seconds of a cell are proportional to, for the same mixer."""
        return self.task.steps * self.task.frames


def attempt(cell: Cell, shape: Shape, training: Training) -> dict:
    """The cell's results, or its `problem`: a broken mixer must not end the run of the others."""
    try:
        return train(cell.factories, cell.task, cell.seed, shape, training)
    except Exception as error:
        return {"problem": " ".join(f"{type(error).__name__}: {error}".split())}


def outcomes(cells: list[Cell], shape: Shape, training: Training, jobs: int) -> Iterator[tuple[Cell, dict]]:
    """Every cell with its results, in the order in which they finish."""
    if jobs == 1:
        yield from ((cell, attempt(cell, shape, training)) for cell in cells)
        return
    # Fresh processes, not copies of this one: torch's threads do not survive a fork.
    fresh = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(jobs, mp_context=fresh, initializer=end_with_parent) as pool:
        try:
            running = {pool.submit(attempt, cell, shape, training): cell for cell in cells}
            for finished in as_completed(running):
                yield running[finished], finished.result()
        except BrokenProcessPool as error:
            reason = "a process was ended from outside (too little memory?)"
            raise DataError(f"{reason}: results so far are kept, give the command again with fewer --jobs") from error
        except BaseException:
            for process in multiprocessing.active_children():
                process.terminate()  # rather than wait for results that nobody is going to read
            raise


def end_with_parent() -> None:
    """Ignore Ctrl-C, which the parent handles, and end when the parent ends, however it does."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    parent = multiprocessing.parent_process()
    threading.Thread(target=lambda: (parent.join(), os._exit(1)), daemon=True).start()
