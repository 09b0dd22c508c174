"""A comparison from its command on: plan, runs, and the record of where it was run. Loads SpeechBrain."""

from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.bakeoff.plan import make_plan
from recipes.bakeoff.record import ComparisonRecord
from recipes.bakeoff.runner import run_all, threads_of_a_job
from recipes.bakeoff.timing import time_steps
from recipes.config.arguments import parse_arguments
from recipes.errors import RecipeError
from recipes.provenance import machine
from recipes.training.lock import locked


def run_comparison(
    arguments: Sequence[str],
    mixers: Sequence[str] | None,
    seeds: Sequence[int],
    *,
    folder: Path,
    command: str,
    jobs: int = 1,
    baseline: str | None = None,
    seconds: float | None = None,
    match_parameters: bool = False,
) -> int:
    """Run what is missing of a comparison; returns how many runs crashed.

    command: as it was given, for the record. jobs: runs side by side. Others: see `make_plan`, whose errors it raises.
    """
    if not mixers:
        raise RecipeError("no mixers to compare: give --mixers ENTRY …, such as --mixers summarymixing attention")
    if jobs < 1:
        raise RecipeError(f"--jobs must be 1 or more, not {jobs}")
    ComparisonRecord.read(folder)  # refuses a folder of other things before a lock is put there
    with locked(folder, "comparison") as lock:
        plan = make_plan(
            arguments,
            mixers,
            seeds,
            folder=folder,
            baseline=baseline,
            seconds=seconds,
            match_parameters=match_parameters,
        )
        note_origin(plan.record, command, arguments, jobs)
        plan.save()
        if seconds:
            time_steps(plan, jobs, lock)
        return run_all(plan, jobs, lock)


def note_origin(record: ComparisonRecord, command: str, arguments: Sequence[str], jobs: int) -> None:
    """The command, and the machines that the comparison has run on."""
    record.command = command
    device = parse_arguments(arguments).run_options.device or ("cuda" if torch.cuda.is_available() else "cpu")
    place, threads = machine(device), threads_of_a_job(jobs)
    if threads:
        place += f", {jobs} runs at a time of {threads} thread{'s' * (threads > 1)}"
    record.machines = list(dict.fromkeys([*record.machines, place]))
