"""A function of many files, in order and in batches: by threads, or by one where more would only get in its way."""

import time
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from statistics import fmean
from typing import TypeVar

BUSY = 0.5  # share of its time that a thread computes, from which on storage is not what it waits for
BATCHES_A_THREAD = 8  # before that share is looked at again

Item = TypeVar("Item")
Result = TypeVar("Result")


def by_threads(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, at_a_time: int
) -> Iterator[list[Result]]:
    """`function` of every item, in lists of `at_a_time`; for what releases Python's lock while it computes."""
    with ThreadPoolExecutor(workers) as pool:
        yield from pool.map(lambda batch: [function(item) for item in batch], _batches(items, at_a_time))


def by_threads_if_slow(
    function: Callable[[Item], Result], items: Sequence[Item], workers: int, at_a_time: int
) -> Iterator[list[Result]]:
    """As `by_threads`, for small parts of files: by several threads only while the storage lets one wait.

    Files in memory take two threads nearly twice as long as one, which hand each other Python's lock with every call of
    the system. Whether one thread mostly computes is looked at again and again.
    """

    def measured(batch: Sequence[Item]) -> tuple[list[Result], float]:
        begun, computed = time.perf_counter(), time.thread_time()
        results = [function(item) for item in batch]
        return results, (time.thread_time() - computed) / max(time.perf_counter() - begun, 1e-9)

    batches, busy = _batches(items, at_a_time), 1.0
    with ThreadPoolExecutor(workers) as pool:
        while batches:
            several = workers > 1 and busy < BUSY
            now = batches[: workers * BATCHES_A_THREAD if several else 1]
            del batches[: len(now)]
            shares = []
            for results, share in pool.map(measured, now) if several else map(measured, now):
                shares.append(share)
                yield results
            busy = fmean(shares)


def _batches(items: Sequence[Item], at_a_time: int) -> list[Sequence[Item]]:
    return [items[start : start + at_a_time] for start in range(0, len(items), at_a_time)]
