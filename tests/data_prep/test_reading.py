"""Reading many files: in order, and by threads only where one would wait."""

import threading
import time

import pytest

from data_prep import reading
from data_prep.reading import by_threads, by_threads_if_slow

ITEMS = list(range(103))


@pytest.mark.parametrize("spread", [by_threads, by_threads_if_slow])
@pytest.mark.parametrize("workers", [1, 3])
@pytest.mark.parametrize("wait", [0, 0.001])
def test_results_come_in_order_and_in_batches(spread, workers, wait):
    def double(item):
        time.sleep(wait)
        return 2 * item

    batches = list(spread(double, ITEMS, workers, 10))
    assert [len(batch) for batch in batches] == [10] * 10 + [3]
    assert [result for batch in batches for result in batch] == [2 * item for item in ITEMS]
    assert list(spread(double, [], workers, 10)) == []


@pytest.mark.parametrize(("computing", "threads"), [(0.1, 2), (0.9, 1)])
def test_several_threads_read_only_what_waits(monkeypatch, computing, threads):
    """Computing takes this share of each item's time, by clocks that the items themselves move."""
    clock, meeting = threading.local(), threading.Barrier(2, timeout=0.05)
    monkeypatch.setattr(reading.time, "perf_counter", lambda: getattr(clock, "items", 0))
    monkeypatch.setattr(reading.time, "thread_time", lambda: computing * getattr(clock, "items", 0))
    met = []

    def function(item):
        clock.items = getattr(clock, "items", 0) + 1
        if item >= 10 and not met:  # the first batch is read alone
            try:
                meeting.wait()
                met.append(item)
            except threading.BrokenBarrierError:
                meeting.reset()

    list(by_threads_if_slow(function, ITEMS[:40], 2, 10))
    assert len(met[:1]) + 1 == threads


@pytest.mark.parametrize("spread", [by_threads, by_threads_if_slow])
def test_an_error_is_the_callers(spread):
    def fail(item):
        if item == 57:
            raise OSError("file 57")
        return item

    with pytest.raises(OSError, match="file 57"):
        list(spread(fail, ITEMS, 2, 10))
