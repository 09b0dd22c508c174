"""Times of what takes turns in one process, and the matrix products that the machine does in the same minute."""

import statistics
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field

import torch

from recipes.cost import multiply_adds

PRODUCT = 768  # rows and columns of the matrices whose product is the yardstick
LEAST, MOST = 3, 15  # rounds of a case


@dataclass
class Case:
    """Something of ours that is timed, and its peers: functions of no argument that do one step of it.

    ours: None where there is nothing to do at these sizes. sizes: what the row says of it.
    """

    part: str
    name: str
    ours: Callable[[], object]
    peers: Mapping[str, Callable[[], object]] = field(default_factory=dict)
    sizes: Mapping[str, object] = field(default_factory=dict)
    counted: bool = True  # whether its multiply-adds are counted


def measure(case: Case, seconds: float) -> dict:
    """A row of the results: medians over rounds in which ours, the peers and a matrix product take turns.

    seconds: no further round once a case has taken these. ``cost`` is our time over the time that our multiply-adds
    take as matrix products on this machine: about 1 cannot be passed. ``times_ours``: of each peer, the median of its
    time over ours in the same round, with the least and the most.
    """
    matrix = torch.randn(PRODUCT, PRODUCT)
    runs = {"ours": case.ours, **case.peers, "product": lambda: matrix @ matrix}
    taken: dict[str, list[float]] = {name: [] for name in runs}
    for run in runs.values():
        run()  # warm-up
    begin = time.perf_counter()
    while len(taken["ours"]) < LEAST or (len(taken["ours"]) < MOST and time.perf_counter() - begin < seconds):
        for name, run in runs.items():
            taken[name].append(duration(run))
    ours, product = statistics.median(taken["ours"]), statistics.median(taken["product"])
    row = {"part": case.part, "name": case.name, **case.sizes, "seconds": figure(ours), "rounds": len(taken["ours"])}
    if case.counted:
        row["multiply_adds"] = multiply_adds(case.ours)
        row["cost"] = figure(ours / (row["multiply_adds"] * product / PRODUCT**3))
    row["products_per_second"] = figure(PRODUCT**3 / product)
    row["times_ours"] = {}
    for name in case.peers:
        ratios = sorted(peer / our for peer, our in zip(taken[name], taken["ours"], strict=True))
        row["times_ours"][name] = [figure(value) for value in (statistics.median(ratios), ratios[0], ratios[-1])]
    return row


def duration(run: Callable[[], object]) -> float:
    """Seconds that this process computes for a call; on one thread the wait for a busy machine does not count."""
    clock = time.thread_time if torch.get_num_threads() == 1 else time.perf_counter
    begin = clock()
    run()
    return clock() - begin


def figure(value: float) -> float:
    """Three digits."""
    return float(f"{value:.3g}")
