"""How many runs of a comparison are done, and when the others will be."""

import time
from collections.abc import Sequence
from subprocess import Popen
from typing import NamedTuple

from tqdm import tqdm

from recipes.bakeoff.plan import Run


class Job(NamedTuple):
    """A run in progress; started: time.monotonic()."""

    run: Run
    process: Popen
    started: float


class Progress:
    """Counts runs, and guesses the time left by the mean of those that have ended."""

    def __init__(self, total: int, done: int, jobs: int):
        self.total, self.done, self.jobs = total, done, jobs
        self.durations: list[float] = []
        self.last = 0.0

    def count(self, seconds: float, typical: bool = True) -> None:
        """A run has ended; typical: the others will take as long."""
        self.done, self.last = self.done + 1, seconds
        if typical:
            self.durations.append(seconds)

    def overview(self, threads: int | None) -> str:
        jobs = f", {self.jobs} at a time with {threads} thread{'s' * (threads > 1)} each" if threads else ""
        return f"{self.total} runs: {self.done} done before, {self.total - self.done} to do{jobs}"

    def seconds_left(self, running: Sequence[Job], waiting: int, now: float) -> float:
        durations = self.durations or [self.last]
        mean = sum(durations) / len(durations)
        of_running = [max(0.0, mean - (now - job.started)) for job in running]
        # Nothing ends before the longest of those that run, however many wait.
        return max([(sum(of_running) + waiting * mean) / self.jobs, *of_running])

    def line(self, ended: Run, outcome: str, running: Sequence[Job], waiting: int) -> str:
        """What is shown when a run has ended, once it is counted."""
        text = f"[{self.done}/{self.total}] {ended.name}, seed {ended.seed}: {outcome}"
        if running or waiting:
            now = ", ".join(f"{job.run.name} {job.run.seed}" for job in running)
            left = tqdm.format_interval(self.seconds_left(running, waiting, time.monotonic()))
            text += f"; running: {now or 'none'}; waiting: {waiting}; time left: about {left}"
        return text
