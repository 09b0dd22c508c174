"""Programs of this repository in processes of their own, of one thread each, so that their sums come out alike.

They are forked from a process that has loaded them: a training of seconds would spend most of its time on imports.
"""

import importlib
import multiprocessing
import os
import signal
import sys
import time
from collections.abc import Mapping, Sequence
from multiprocessing.process import BaseProcess
from pathlib import Path

ROOT = Path(__file__).parents[2]
CONTEXT = multiprocessing.get_context("forkserver")
LOADED = ["train", "recipes.asr.experiment", "torch._dynamo", "matplotlib.figure", "matplotlib.backends.backend_svg"]


class ProgramFailed(RuntimeError):
    """A program ended with an error. The message has the last lines that it printed."""


def load() -> None:
    """Start the process that all are forked from, which takes seconds."""
    # Killed processes leave semaphores, which are removed at the end, with a warning.
    os.environ.setdefault("PYTHONWARNINGS", "ignore:resource_tracker")
    CONTEXT.set_forkserver_preload(LOADED)
    process = CONTEXT.Process(target=int)
    process.start()
    process.join()


def start(
    program: str, arguments: Sequence[str], screen: Path, environment: Mapping[str, str] | None = None
) -> BaseProcess:
    """Start `program`, such as "train", in a process group of its own.

    screen: a file for what it prints. environment: variables that are set for it.
    """
    # The program's own processes are started in Python's usual way, not in the way of this one.
    method = multiprocessing.get_start_method()
    process = CONTEXT.Process(
        target=_run, args=(program, list(arguments), str(screen), dict(environment or {}), method)
    )
    process.start()
    return process


def _run(program: str, arguments: list[str], screen: str, environment: dict[str, str], method: str) -> None:
    os.setsid()
    os.environ.update(environment)
    multiprocessing.set_start_method(method, force=True)
    opened = os.open(screen, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o666)
    for stream in (1, 2):
        os.dup2(opened, stream)
    import torch

    torch.set_num_threads(1)
    sys.exit(importlib.import_module(program).main(arguments))


def run(program: str, arguments: Sequence[str], screen: Path) -> float:
    """Run a program to its end; the seconds that it took. Raises ProgramFailed."""
    begun = time.monotonic()
    process = start(program, arguments, screen)
    process.join()
    if process.exitcode:
        lines = screen.read_text(encoding="utf-8", errors="replace").splitlines()
        raise ProgramFailed("\n".join([f"{program} ended with status {process.exitcode}", *lines[-15:]]))
    return time.monotonic() - begun


def kill(process: BaseProcess, alone: bool = False) -> None:
    """SIGKILL to the program and the processes that it has started; alone: to the program, as a full memory does."""
    (os.kill if alone else os.killpg)(process.pid, signal.SIGKILL)
    process.join()
