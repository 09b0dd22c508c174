"""What each mixer can carry across a sequence: python -m benchmarks.probes [--mixers …] [--tasks …] [--seeds 3]

Trains a small stack of two blocks around each mixer on four tasks and prints the accuracies. The mixers are
those of hparams/conformer.yaml; `a+b` is a hybrid, a in the first block and b in the second. Every trained
stack is written to the results file at once: give the command again, and what is there is not made again.
"""

import argparse
import hashlib
import inspect
import json
import os
import platform
from pathlib import Path

import torch

from benchmarks.probes.parallel import Cell, outcomes
from benchmarks.probes.results import done, markdown, opened, read, write
from benchmarks.probes.stack import Factory, Shape, Training
from benchmarks.probes.tasks import TASKS, Task, evaluation_rng, sample
from data_prep.errors import DataError, command_line
from recipes.config.layer_mixers import resolve
from recipes.config.recipe import load
from recipes.config.source import Source, compose, nearest
from recipes.cost import parameter_count

TABLE = Path(__file__).parents[2] / "hparams" / "conformer.yaml"
SHAPE, TRAINING = Shape(), Training()
HYBRIDS = ("summarymixing+attention",)
# Their cost keeps them out of a run that names no mixers.
ON_REQUEST = {"mamba": "about ten times as slow as the others without its fused kernel"}


def arguments(argv=None) -> argparse.Namespace:
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count()
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.probes", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    said = ", ".join(f"{name} ({why})" for name, why in ON_REQUEST.items())
    parser.add_argument("--mixers", nargs="+", help=f"default: all, one hybrid, and not {said}")
    parser.add_argument("--tasks", nargs="+", default=list(TASKS), help=f"default: {' '.join(TASKS)}")
    parser.add_argument("--seeds", type=int, default=1, metavar="N", help="seeds 0 to N-1 (default: %(default)s)")
    parser.add_argument("--jobs", type=int, default=cores, help="processes of one thread each (default: all cores)")
    parser.add_argument("--out", type=Path, default=Path("results/probes.json"), help="default: %(default)s")
    parser.add_argument("--table", type=Path, metavar="FILE", help="print the table of this file, train nothing")
    options = parser.parse_args(argv)
    for name in ("seeds", "jobs"):
        if getattr(options, name) < 1:
            raise DataError(f"--{name} must be at least 1, not {getattr(options, name)}")
    for task in options.tasks:
        if task not in TASKS:
            raise DataError(f"there is no task '{task}'{nearest(task, list(TASKS)) or ';'} tasks: {', '.join(TASKS)}")
    return options


def table_of_mixers() -> dict[str, Factory]:
    """The mixers of the recipes' base at the stack's sizes: a new one is a line there."""
    sizes = {key: getattr(SHAPE, key) for key in ("layers", "d_model", "heads", "d_ffn")}
    smallest = {"decoder_layers": 1, "vocab_size": 8}  # of the model, which is built and not used
    return load(TABLE, {"data_folder": "none", "dropout": 0.0, **sizes, **smallest}).hparams["mixers"]


def chosen_mixers(asked: list[str] | None) -> dict[str, list[Factory]]:
    """One factory a block for each mixer that was asked for, or the default ones, by its shortest spelling.

    Raises RecipeError for a mixer that is not in the table, or a hybrid of more than the stack's blocks."""
    table, chosen = table_of_mixers(), {}
    if asked is None:
        asked = [*(name for name in table if name not in ON_REQUEST), *HYBRIDS]
    for mixer in asked:
        text = json.dumps({"mixers": dict.fromkeys(table), "mixer": mixer, "layers": SHAPE.layers})
        names = resolve(Source("--mixers", text, compose(text, "--mixers")))
        chosen[names[0] if len(set(names)) == 1 else "+".join(names)] = [table[name] for name in names]
    return chosen


def settings(mixers: dict[str, list[Factory]], tasks: list[Task]) -> dict[str, dict]:
    """What results depend on, by section: cells of other settings belong in another file."""
    sections = {"stack": SHAPE._asdict(), "training": TRAINING._asdict()}
    for task in tasks:
        x, labels = sample(task, evaluation_rng(), 16)
        drawn = hashlib.sha256(x.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()[:12]
        counts = {key: getattr(task, key) for key in ("features", "classes", "frames", "steps", "chance")}
        sections[f"task {task.name}"] = {**counts, "sequences": drawn}
    for name, factories in mixers.items():
        parameters = parameter_count(*(make(SHAPE.d_model) for make in factories))
        options = {
            f"{key} of layer {layer}": parameter.default
            for layer, make in enumerate(factories, start=1)
            for key, parameter in inspect.signature(make).parameters.items()
            if parameter.default is not parameter.empty
        }
        sections[f"mixer {name}"] = {**options, "parameters": parameters}
    return sections


class Clock:
    """Time left, from the time that the cells so far took."""

    def __init__(self, jobs: int):
        self.jobs, self.rates = jobs, {}

    def left(self, cell: Cell, seconds: float, open_cells: list[Cell]) -> str:
        """The time for `open_cells`, after `cell` took `seconds`. A mixer not seen yet counts as their mean."""
        self.rates.setdefault(cell.mixer, []).append(seconds / cell.work)
        mean = {mixer: sum(rates) / len(rates) for mixer, rates in self.rates.items()}
        other = sum(mean.values()) / len(mean)
        left = sum(mean.get(cell.mixer, other) * cell.work for cell in open_cells) / self.jobs
        return f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"


@command_line
def main(argv=None):
    """Train what is missing, show each result as it comes, and print the table."""
    options = arguments(argv)
    if options.table:
        print(markdown(read(options.table)))
        return
    mixers, tasks = chosen_mixers(options.mixers), [TASKS[name] for name in dict.fromkeys(options.tasks)]
    machine = f"{platform.machine()} CPU, {options.jobs} jobs of one thread, torch {torch.__version__}"
    results = opened(options.out, settings(mixers, tasks), machine)
    cells = [
        Cell(mixer, factories, task, seed)  # seed by seed: stopped early, there is one of every mixer
        for seed in range(options.seeds)
        for mixer, factories in mixers.items()
        for task in tasks
    ]
    missing = {cell.key: cell for cell in cells if cell.key not in done(results)}
    problems = run(missing, options, results, total=len(cells))
    print("\n" + markdown(results))
    if problems:
        raise DataError(
            f"{len(problems)} of {len(cells)} did not work, first {problems[0]}; give the command again to "
            "repeat only these"
        )


def run(missing: dict, options: argparse.Namespace, results: dict, total: int) -> list[str]:
    """Train the missing cells, add each to `results` and its file; returns the problems."""
    if len(missing) < total:
        print(f"{total - len(missing)} of {total} are in {options.out} already")
    if options.mixers is None:
        for name, why in ON_REQUEST.items():
            print(f"without {name} ({why}); ask for it with --mixers {name}")
    jobs, problems = min(options.jobs, max(len(missing), 1)), []
    clock = Clock(jobs)
    for cell, outcome in outcomes(list(missing.values()), SHAPE, TRAINING, jobs):
        del missing[cell.key]
        mixer, task, seed = cell.key
        line = f"[{total - len(missing)}/{total}] {mixer:<24} {task:<7} seed {seed}: "
        if "problem" in outcome:
            problems.append(f"{mixer} on {task}, seed {seed}: {outcome['problem']}")
            print(line + outcome["problem"], flush=True)
            continue
        results["cells"].append({"mixer": mixer, "task": task, "seed": seed, **outcome})
        write(options.out, results)
        left = clock.left(cell, outcome["seconds"], list(missing.values()))
        print(f"{line}{outcome['accuracy']:5.1f} % in {outcome['seconds']:.0f} s; {left} left", flush=True)
    return problems
