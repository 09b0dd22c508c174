"""A run of the probes: which stacks to train, with what settings, and their results as they come."""

import argparse
import hashlib
import inspect
import json
import platform
from pathlib import Path

import torch

from benchmarks.probes import ON_REQUEST
from benchmarks.probes.parallel import Cell, outcomes
from benchmarks.probes.results import finished, markdown, open_results, write
from benchmarks.probes.stack import Factory, Shape, Training
from benchmarks.probes.tasks import TASKS, Task, evaluation_rng, sample
from data_prep.errors import DataError
from recipes.config import load
from recipes.config.layer_mixers import resolve
from recipes.config.messages import nearest
from recipes.config.source import Source, compose
from recipes.cost import parameter_count

TABLE = Path(__file__).parents[2] / "hparams" / "conformer.yaml"
SHAPE, TRAINING = Shape(), Training()
HYBRIDS = ("summarymixing+attention",)


def run(options: argparse.Namespace) -> None:
    """Train the stacks that the results file lacks, and print the table.

    Raises RecipeError or DataError for names that do not exist, DataError for a file of other settings, and, at the
    end, where a stack could not be trained."""
    tasks, mixers = choose_tasks(options.tasks), choose_mixers(options.mixers)
    machine = f"{platform.machine()} CPU, {options.jobs} jobs of one thread, torch {torch.__version__}"
    results = open_results(options.out, settings(mixers, tasks), machine)
    cells = [
        Cell(mixer, factories, task, seed)  # seed by seed: a run that is stopped early has one of every mixer
        for seed in range(options.seeds)
        for mixer, factories in mixers.items()
        for task in tasks
    ]
    missing = {cell.key: cell for cell in cells if cell.key not in finished(results)}
    problems = train_missing(missing, options, results, total=len(cells))
    print("\n" + markdown(results))
    if problems:
        raise DataError(
            f"{len(problems)} of {len(cells)} did not work, first {problems[0]}; give the command again to "
            "repeat only these"
        )


def choose_tasks(names: list[str]) -> list[Task]:
    """The tasks of these names. Raises DataError for a name that does not exist."""
    for name in names:
        if name not in TASKS:
            raise DataError(f"there is no task '{name}'{nearest(name, list(TASKS)) or ';'} tasks: {', '.join(TASKS)}")
    return [TASKS[name] for name in dict.fromkeys(names)]


def table_of_mixers() -> dict[str, Factory]:
    """The mixers of the recipes' base at the stack's sizes: a new mixer is a line there."""
    sizes = {key: getattr(SHAPE, key) for key in ("layers", "d_model", "heads", "d_ffn")}
    smallest = {"decoder_layers": 1, "vocab_size": 8}  # of the model, which is built and not used
    return load(TABLE, {"data_folder": "none", "dropout": 0.0, **sizes, **smallest}).hparams["mixers"]


def choose_mixers(names: list[str] | None) -> dict[str, list[Factory]]:
    """A factory per block for each of these mixers, or for the default mixers, by the mixer's shortest spelling.

    Raises RecipeError for a mixer that is not in the table, or a hybrid of more than the stack's blocks."""
    table, mixers = table_of_mixers(), {}
    if names is None:
        names = [*(name for name in table if name not in ON_REQUEST), *HYBRIDS]
    for mixer in names:
        text = json.dumps({"mixers": {name: name for name in table}, "mixer": mixer, "layers": SHAPE.layers})
        blocks = resolve(Source("--mixers", text, compose(text, "--mixers")))
        mixers[blocks[0] if len(set(blocks)) == 1 else "+".join(blocks)] = [table[name] for name in blocks]
    return mixers


def settings(mixers: dict[str, list[Factory]], tasks: list[Task]) -> dict[str, dict]:
    """What results depend on, by section: cells of other settings belong in another file."""
    sections = {"stack": SHAPE._asdict(), "training": TRAINING._asdict()}
    for task in tasks:
        x, labels = sample(task, evaluation_rng(), 16)
        sequences = hashlib.sha256(x.numpy().tobytes() + labels.numpy().tobytes()).hexdigest()[:12]
        sizes = {key: getattr(task, key) for key in ("features", "classes", "frames", "steps", "chance")}
        sections[f"task {task.name}"] = {**sizes, "sequences": sequences}
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


class RemainingTime:
    """Estimates the time that is left from the time that the cells so far took."""

    def __init__(self, jobs: int):
        self.jobs, self.rates = jobs, {}

    def after(self, cell: Cell, seconds: float, open_cells: list[Cell]) -> str:
        """The time for `open_cells`, after `cell` took `seconds`. A mixer without a cell so far counts as the mean."""
        self.rates.setdefault(cell.mixer, []).append(seconds / cell.work)
        mean = {mixer: sum(rates) / len(rates) for mixer, rates in self.rates.items()}
        overall = sum(mean.values()) / len(mean)
        left = sum(mean.get(cell.mixer, overall) * cell.work for cell in open_cells) / self.jobs
        return f"{left / 60:.0f} min" if left >= 90 else f"{left:.0f} s"


def train_missing(missing: dict, options: argparse.Namespace, results: dict, total: int) -> list[str]:
    """Train the missing cells and add each to `results` and its file. Returns the problems."""
    if len(missing) < total:
        print(f"{total - len(missing)} of {total} are in {options.out} already")
    if options.mixers is None:
        for name, reason in ON_REQUEST.items():
            print(f"without {name} ({reason}); ask for it with --mixers {name}")
    jobs, problems = min(options.jobs, max(len(missing), 1)), []
    remaining_time = RemainingTime(jobs)
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
        left = remaining_time.after(cell, outcome["seconds"], list(missing.values()))
        print(f"{line}{outcome['accuracy']:5.1f} % in {outcome['seconds']:.0f} s; {left} left", flush=True)
    return problems
