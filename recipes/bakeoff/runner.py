"""Run a comparison: every run a process of train.py, several side by side; a stopped one goes on."""

import contextlib
import fcntl
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple, TextIO

from tqdm import tqdm

from recipes.bakeoff.plan import Plan, Run, hash_of
from recipes.bakeoff.results import is_complete
from recipes.errors import RecipeError
from recipes.files import read_json, write_json

TRAIN = (sys.executable, str(Path(__file__).parents[2] / "train.py"))
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 10  # between asking a process to stop and stopping it
TIMED_STEPS = (10, 40)  # of two short runs: their difference leaves out what every run does once


class Running(NamedTuple):
    run: Run
    process: subprocess.Popen
    started: float  # time.monotonic()


def threads_each(jobs: int) -> int | None:
    """Threads of each of several runs; None leaves one run at a time with what the machine gives it."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return max(1, cores // jobs) if jobs > 1 else None


@contextlib.contextmanager
def locked(folder: Path) -> Iterator[TextIO]:
    """Keep a second comparison out of the folder. The runs hold the lock too: one that outlives a killed
    comparison must not meet a second process of itself. Raises RecipeError where it is held."""
    folder.mkdir(parents=True, exist_ok=True)
    with open(folder / ".lock", "w") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise RecipeError(f"{folder}: another comparison is running there; wait for it, or stop it") from None
        yield lock


def run_all(plan: Plan, jobs: int, lock: TextIO, program: Sequence[str] = TRAIN) -> int:
    """Run what is missing or unfinished; the number of runs that crashed.

    A crash is kept beside the run's folder (`<seed>.crash.json`), which the next call removes as it tries
    again. On Ctrl-C, or any error, the processes are stopped: their checkpoints stay.
    """
    runs = plan.runs()
    # A run may have crashed after its summary, while it wrote its report.
    waiting = deque(run for run in runs if crash_file(run).is_file() or not is_finished(run))
    progress = Progress(len(runs), len(runs) - len(waiting), jobs)
    print(progress.overview(threads_each(jobs)), flush=True)
    running, crashed = [], 0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                running.append(start(waiting.popleft(), jobs, lock, program))
            time.sleep(POLL_SECONDS)
            for one in [one for one in running if one.process.poll() is not None]:
                running.remove(one)
                problem = problem_of(one.process.returncode, one.run)
                if problem:
                    crashed += 1
                    write_json(crash_file(one.run), {"said": problem})
                progress.count(time.monotonic() - one.started, typical=not problem)
                print(progress.line(one, problem, running, len(waiting)), flush=True)
    except BaseException:
        stop([one.process for one in running])
        print(
            f"stopped with {progress.done} of {len(runs)} runs done: give the same command again to go on",
            file=sys.stderr,
        )
        raise
    return crashed


def is_finished(run: Run) -> bool:
    """Whether the folder holds the results of just this run."""
    return is_complete(run.folder) and read_json(run.folder / "summary.json")["recipe_hash"] == hash_of(run.arguments)


def start(run: Run, jobs: int, lock: TextIO, program: Sequence[str]) -> Running:
    """Start a run in a process group of its own, so that Ctrl-C reaches it through this program alone."""
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    crash_file(run).unlink(missing_ok=True)
    environment, threads = dict(os.environ), threads_each(jobs)
    if threads:
        environment |= {"OMP_NUM_THREADS": str(threads), "MKL_NUM_THREADS": str(threads)}
    with open(log_file(run), "a") as log:
        process = subprocess.Popen(
            [*program, *run.arguments],
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            pass_fds=[lock.fileno()],
        )
    return Running(run, process, time.monotonic())


def stop(processes: list[subprocess.Popen]) -> None:
    """Ask the processes and all that they started to end, and after a while make them."""
    for one in processes:
        signal_group(one, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for one in processes:
        try:
            one.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            signal_group(one, signal.SIGKILL)
            one.wait()


def signal_group(process: subprocess.Popen, number: int) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, number)


def log_file(run: Run) -> Path:
    return run.folder.with_name(f"{run.seed}.log")


def crash_file(run: Run) -> Path:
    return run.folder.with_name(f"{run.seed}.crash.json")


def problem_of(status: int, run: Run) -> str | None:
    """What went wrong with a run that has ended, in one line; None where nothing did."""
    if status < 0:
        known = {one.value: one.name for one in signal.Signals}
        name = known.get(-status, f"signal {-status}")
        return f"killed by {name}" + " (out of memory?)" * (status == -signal.SIGKILL)
    if status == 0:
        return None if is_complete(run.folder) else "it ended without its results"
    lines = [line.strip() for line in log_file(run).read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error: |[\w.]*(Error|Exception|Interrupt)\b", line)]
    return (errors or lines or [f"exit status {status}"])[-1].removeprefix("error: ")


class Progress:
    """How many runs are done, and when the others will be: by the mean of those that ended just now."""

    def __init__(self, total: int, done: int, jobs: int):
        self.total, self.done, self.jobs, self.durations = total, done, jobs, []

    def count(self, seconds: float, typical: bool = True) -> None:
        """A run has ended; typical: as the others will, so that it tells how long these take."""
        self.done, self.last = self.done + 1, seconds
        if typical:
            self.durations.append(seconds)

    def overview(self, threads: int | None) -> str:
        each = f", {self.jobs} at a time with {threads} thread{'s' * (threads > 1)} each" if threads else ""
        return f"{self.total} runs: {self.done} done before, {self.total - self.done} to do{each}"

    def seconds_left(self, running: Sequence[Running], waiting: int, now: float) -> float:
        durations = self.durations or [self.last]
        mean = sum(durations) / len(durations)
        of_running = [max(0.0, mean - (now - one.started)) for one in running]
        # Nothing ends before the longest of those that run, however many wait.
        return max([(sum(of_running) + waiting * mean) / self.jobs, *of_running])

    def line(self, ended: Running, problem: str | None, running: Sequence[Running], waiting: int) -> str:
        """What is said when a run has ended, once it is counted."""
        said = f"[{self.done}/{self.total}] {ended.run.name}, seed {ended.run.seed}: "
        if problem:
            said += f"crashed: {problem} (see {log_file(ended.run)})"
        else:
            splits = read_json(ended.run.folder / "summary.json")["splits"]
            said += ", ".join(f"{split} {one['wer']:.2f} %" for split, one in splits.items())
            said += f" WER, {tqdm.format_interval(self.last)}"
        if running or waiting:
            now = ", ".join(f"{one.run.name} {one.run.seed}" for one in running)
            left = tqdm.format_interval(self.seconds_left(running, waiting, time.monotonic()))
            said += f"; running: {now or 'none'}; waiting: {waiting}; time left: about {left}"
        return said


# --- the same number of seconds -----------------------------------------------------------------------------


def time_steps(plan: Plan, jobs: int, lock: TextIO, program: Sequence[str] = TRAIN) -> None:
    """Fill in how many steps each entry makes in the seconds of the plan, by two short runs of it.

    Preparation and one validation count too. A run of several epochs validates after each and one beside others
    is slower, so the seconds that the runs really took, which stand in the table, may be more. Raises RecipeError
    where a short run fails, or the seconds are too few for a single step.
    """
    for entry in plan.entries:
        record = plan.record["mixers"][entry.name]
        if record["steps"]:
            continue
        seconds = [time_one(plan, entry, steps, jobs, lock, program) for steps in TIMED_STEPS]
        record["steps"] = steps_within(plan.record["seconds"], seconds, entry.name)
        print(f"{entry.name}: {record['steps']} steps in {plan.record['seconds']:g} seconds", flush=True)
        plan.save()


def time_one(plan: Plan, entry, steps: int, jobs: int, lock: TextIO, program: Sequence[str]) -> float:
    """Training seconds of a run of so many steps. Nothing of it is kept."""
    folder = plan.folder / "timing" / entry.name
    arguments = [
        *plan.arguments,
        *entry.arguments,
        f"--output_folder={folder / str(steps)}",
        "--noprogressbar",
    ]
    arguments += ["--test_splits=[]", f"--optimizer_step_limit={steps}", f"--number_of_epochs={steps}"]
    running = start(Run(entry.name, steps, folder / str(steps), arguments), jobs, lock, program)
    try:
        status = running.process.wait()
        if problem := problem_of(status, running.run):
            raise RecipeError(f"--seconds: the timing run of '{entry.name}' failed: {problem}")
        return read_json(running.run.folder / "summary.json")["seconds"]
    finally:
        stop([running.process])
        shutil.rmtree(folder, ignore_errors=True)


def steps_within(seconds: float, timed: Sequence[float], name: str) -> int:
    """Steps that fit, by a straight line through the times of TIMED_STEPS."""
    each = (timed[1] - timed[0]) / (TIMED_STEPS[1] - TIMED_STEPS[0])
    if each <= 0:
        raise RecipeError(f"--seconds: the timing runs of '{name}' say nothing, the machine is too busy: try again")
    steps = int(TIMED_STEPS[0] + (seconds - timed[0]) / each)
    if steps < 1:
        raise RecipeError(f"--seconds {seconds:g}: too few for a single step of '{name}'")
    return steps
