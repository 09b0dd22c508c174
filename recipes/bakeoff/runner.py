"""Run a comparison: every run a process of train.py, several side by side; a stopped one goes on."""

import contextlib
import os
import re
import signal
import subprocess
import sys
import time
from collections import deque
from collections.abc import Sequence
from pathlib import Path
from typing import TextIO

from tqdm import tqdm

from data_prep.cores import usable_cores
from recipes.bakeoff.plan import Plan, Run
from recipes.bakeoff.preparation import copy_preparation
from recipes.bakeoff.progress import Job, Progress
from recipes.bakeoff.recipe import hash_of
from recipes.bakeoff.runs import Crash, is_complete, read_summary

TRAIN = (sys.executable, str(Path(__file__).parents[2] / "train.py"))
POLL_SECONDS = 0.1
PATIENCE_SECONDS = 10  # between asking a process to stop and stopping it


def threads_of_a_job(jobs: int) -> int | None:
    """Threads for each of several runs; None leaves a single run at a time with what the machine gives it."""
    return max(1, usable_cores() // jobs) if jobs > 1 else None


def run_all(plan: Plan, jobs: int, lock: TextIO, program: Sequence[str] = TRAIN) -> int:
    """Run what is missing or unfinished; returns how many runs crashed.

    A crash is kept beside the run's folder (`<seed>.crash.json`); the next call removes it as it tries again. On
    Ctrl-C, or any error, the processes are stopped: their checkpoints stay.
    """
    runs = plan.runs()
    # A run may have crashed after its summary, while it wrote its report.
    waiting = deque(run for run in runs if Crash.read(run.folder) or not is_finished(run))
    progress = Progress(len(runs), len(runs) - len(waiting), jobs)
    print(progress.overview(threads_of_a_job(jobs)), flush=True)
    running: list[Job] = []
    crashed = 0
    try:
        while waiting or running:
            while waiting and len(running) < jobs:
                run = waiting.popleft()
                copy_preparation(run.folder, [other.folder for other in runs], plan.folder)
                running.append(start(run, jobs, lock, program))
            time.sleep(POLL_SECONDS)
            for job in [job for job in running if job.process.poll() is not None]:
                running.remove(job)
                problem = problem_of(job.process.returncode, job.run)
                if problem:
                    crashed += 1
                    Crash(problem).write(job.run.folder)
                progress.count(time.monotonic() - job.started, typical=not problem)
                outcome = outcome_of(job.run, problem, progress.last)
                print(progress.line(job.run, outcome, running, len(waiting)), flush=True)
    except BaseException:
        stop([job.process for job in running])
        print(
            f"stopped with {progress.done} of {len(runs)} runs done: give the same command again to go on",
            file=sys.stderr,
        )
        raise
    return crashed


def is_finished(run: Run) -> bool:
    """Whether the folder holds the results of just this run."""
    return is_complete(run.folder) and read_summary(run.folder).recipe_hash == hash_of(run.arguments)


def start(run: Run, jobs: int, lock: TextIO, program: Sequence[str]) -> Job:
    """Start a run in a process group of its own, so that Ctrl-C reaches it through this program alone.

    It holds the comparison's lock too: a run that outlives a killed comparison must not meet a second process of
    itself.
    """
    run.folder.parent.mkdir(parents=True, exist_ok=True)
    Crash.file(run.folder).unlink(missing_ok=True)
    environment, threads = dict(os.environ), threads_of_a_job(jobs)
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
    return Job(run, process, time.monotonic())


def stop(processes: list[subprocess.Popen]) -> None:
    """Ask the processes and all that they started to end, and after a while make them."""
    for process in processes:
        signal_group(process, signal.SIGTERM)
    deadline = time.monotonic() + PATIENCE_SECONDS
    for process in processes:
        try:
            process.wait(max(0.0, deadline - time.monotonic()))
        except subprocess.TimeoutExpired:
            signal_group(process, signal.SIGKILL)
            process.wait()


def signal_group(process: subprocess.Popen, number: int) -> None:
    if process.poll() is None:
        with contextlib.suppress(ProcessLookupError):  # it has just ended
            os.killpg(process.pid, number)


def log_file(run: Run) -> Path:
    return run.folder.with_name(f"{run.seed}.log")


def problem_of(status: int, run: Run) -> str | None:
    """What went wrong with a run that has ended, in one line; None where nothing did."""
    if status < 0:
        names = {number.value: number.name for number in signal.Signals}
        name = names.get(-status, f"signal {-status}")
        return f"killed by {name}" + " (out of memory?)" * (status == -signal.SIGKILL)
    if status == 0:
        return None if is_complete(run.folder) else "it ended without its results"
    lines = [line.strip() for line in log_file(run).read_text(errors="replace").splitlines() if line.strip()]
    errors = [line for line in lines if re.match(r"error: |[\w.]*(Error|Exception|Interrupt)\b", line)]
    return (errors or lines or [f"exit status {status}"])[-1].removeprefix("error: ")


def outcome_of(run: Run, problem: str | None, seconds: float) -> str:
    """What a run that has ended came to, for its line on the screen."""
    if problem:
        return f"crashed: {problem} (see {log_file(run)})"
    rates = ", ".join(f"{split} {result.wer:.2f} %" for split, result in read_summary(run.folder).splits.items())
    return f"{rates} WER, {tqdm.format_interval(seconds)}"
