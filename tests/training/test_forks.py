"""Forked processes: what they give, and that none of them is left, whatever ends the work."""

import multiprocessing
import os
import signal
import time

import pytest
import torch

from recipes.errors import RecipeError
from recipes.training.forks import forked

FORK = multiprocessing.get_context("fork")


def product(rows: int) -> tuple[int, float, int, int]:
    draw = torch.Generator().manual_seed(rows)
    matrix = torch.randn(rows, 300, generator=draw) @ torch.randn(300, 300, generator=draw)
    return rows, float(matrix.sum()), torch.get_num_threads(), os.getpid()


def wait_for_the_end_of(pids: list[int]) -> None:
    deadline = time.monotonic() + 10
    while any(os.path.exists(f"/proc/{pid}") and state(pid) != "Z" for pid in pids):
        assert time.monotonic() < deadline, f"{pids} go on"
        time.sleep(0.05)


def state(pid: int) -> str:
    try:
        with open(f"/proc/{pid}/stat") as file:
            return file.read().rpartition(")")[2].split()[0]
    except OSError:
        return "Z"


def test_all_results_of_processes_with_one_thread_each():
    sizes = list(range(100, 400, 30))
    results = sorted(forked(product, sizes, 2))
    assert [rows for rows, *_ in results] == sizes
    assert {threads for _, _, threads, _ in results} == {1}
    assert os.getpid() not in {pid for *_, pid in results}
    threads = torch.get_num_threads()
    try:
        torch.set_num_threads(1)
        assert [total for _, total, *_ in results] == [product(rows)[1] for rows in sizes]
    finally:
        torch.set_num_threads(threads)


def test_an_error_comes_here_and_ends_them():
    def fail(item):
        if item == 2:
            raise RecipeError("item 2 is wrong")
        time.sleep(60 if item > 2 else 0)

    begin = time.monotonic()
    with pytest.raises(RecipeError, match="item 2 is wrong"):
        list(forked(fail, [1, 2, 3, 4, 5], 3))
    assert time.monotonic() - begin < 30 and not multiprocessing.active_children()


def test_a_process_that_is_killed_is_told_in_one_line():
    with pytest.raises(
        RecipeError,
        match=r"^one of 2 processes was killed \(too little memory\?\): OMP_NUM_THREADS=1 keeps to a single process$",
    ):
        list(forked(lambda item: os.kill(os.getpid(), signal.SIGKILL), [1, 2, 3], 2))
    assert not multiprocessing.active_children()


def test_ctrl_c_ends_them():
    """A terminal sends it to them too, which must not show tracebacks of theirs."""

    def sleep(item):
        os.kill(os.getpid(), signal.SIGINT)
        time.sleep(item)

    begin = time.monotonic()
    with pytest.raises(KeyboardInterrupt):
        for _ in forked(sleep, [0, 60, 60, 60], 2):
            raise KeyboardInterrupt
    assert time.monotonic() - begin < 30 and not multiprocessing.active_children()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGKILL])
def test_they_end_with_a_process_that_is_killed(number):
    started = FORK.SimpleQueue()

    def work(item):
        started.put(os.getpid())
        time.sleep(60)

    parent = FORK.Process(target=lambda: list(forked(work, [1, 2], 2)))
    parent.start()
    pids = [started.get(), started.get()]
    os.kill(parent.pid, number)
    parent.join()
    wait_for_the_end_of(pids)
