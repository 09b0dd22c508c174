"""The same number of seconds for all entries, `--seconds`: how many steps each makes in them."""

import shutil
from collections.abc import Sequence
from typing import TextIO

from recipes.bakeoff.entries import Entry
from recipes.bakeoff.plan import Plan, Run
from recipes.bakeoff.runner import TRAIN, problem_of, start, stop
from recipes.bakeoff.runs import read_summary
from recipes.errors import RecipeError

TIMED_STEPS = (10, 40)  # of two short runs: their difference leaves out what every run does once


def time_steps(plan: Plan, jobs: int, lock: TextIO, program: Sequence[str] = TRAIN) -> None:
    """Fill in how many steps each entry makes in the seconds of the plan, by two short runs of it.

    Preparation and one validation count too. A run of several epochs validates after each, and a run beside others
    is slower, so the seconds that the runs really took, which stand in the table, may be more. Raises RecipeError
    where a short run fails, or the seconds are too few for a single step.
    """
    for entry in plan.entries:
        record = plan.record.mixers[entry.name]
        if record.steps:
            continue
        seconds = [time_run(plan, entry, steps, jobs, lock, program) for steps in TIMED_STEPS]
        record.steps = steps_within(plan.record.seconds, seconds, entry.name)
        print(f"{entry.name}: {record.steps} steps in {plan.record.seconds:g} seconds", flush=True)
        plan.save()


def time_run(plan: Plan, entry: Entry, steps: int, jobs: int, lock: TextIO, program: Sequence[str]) -> float:
    """Training seconds of a run of so many steps. Nothing of it is kept."""
    folder = plan.folder / "timing" / entry.name
    run_folder = folder / str(steps)
    arguments = [*plan.arguments, *entry.arguments, f"--output_folder={run_folder}", "--noprogressbar"]
    arguments += ["--test_splits=[]", f"--optimizer_step_limit={steps}", f"--number_of_epochs={steps}"]
    job = start(Run(entry.name, steps, run_folder, arguments), jobs, lock, program)
    try:
        status = job.process.wait()
        if problem := problem_of(status, job.run):
            raise RecipeError(f"--seconds: the timing run of '{entry.name}' failed: {problem}")
        return read_summary(run_folder).seconds
    finally:
        stop([job.process])
        shutil.rmtree(folder, ignore_errors=True)


def steps_within(seconds: float, timed: Sequence[float], name: str) -> int:
    """Steps that fit, by a straight line through the times of TIMED_STEPS."""
    seconds_a_step = (timed[1] - timed[0]) / (TIMED_STEPS[1] - TIMED_STEPS[0])
    if seconds_a_step <= 0:
        raise RecipeError(f"--seconds: the timing runs of '{name}' say nothing, the machine is too busy: try again")
    steps = int(TIMED_STEPS[0] + (seconds - timed[0]) / seconds_a_step)
    if steps < 1:
        raise RecipeError(f"--seconds {seconds:g}: too few for a single step of '{name}'")
    return steps
