"""Several processes that train together equal one process with gradient accumulation."""

from pathlib import Path

from benchmarks.reliability import torchrun
from benchmarks.reliability.programs import ProgramFailed, run
from benchmarks.reliability.tiny_run import Outcome, arguments, outcome

# A schedule that does not depend on how long the run is to be, so that it may stop and go on.
OPTIONS = ("--batch_seconds", "4", "--lr_schedule", "!name:recipes.training.noam {warmup_steps: 2}")
ACCUMULATION = ("--grad_accumulation_factor", "2")
EPOCHS = 3


def try_processes(data: Path, folder: Path) -> dict:
    """Two gloo processes, and two, then one, then two, against one that takes two batches a step."""
    alone = train(data, folder / "alone", EPOCHS, processes=1)
    compared: dict[str, Outcome] = {"2 processes": train(data, folder / "together", EPOCHS, processes=2)}
    for epochs, processes in ((1, 2), (2, 1), (3, 2)):
        compared["2, then 1, then 2 processes"] = train(data, folder / "in-turn", epochs, processes)
    equal = [name for name, result in compared.items() if result.equals(alone)]
    return {
        "tried": list(compared),
        "bit_equal": len(equal),
        "largest_difference": max(result.difference(alone) for result in compared.values()),
        "optimizer_steps": alone.log[-1]["steps"],
    }


def train(data: Path, output: Path, epochs: int, processes: int) -> Outcome:
    """Train to the end of an epoch, from where the folder's run is, and test. Raises ProgramFailed."""
    options = [*OPTIONS, "--number_of_epochs", str(epochs)]
    if processes == 1:
        run("train", arguments(data, output, *options, *ACCUMULATION), output.with_suffix(".screen"))
    else:
        status, printed = torchrun.run("train.py", arguments(data, output, *options), processes)
        if status:
            raise ProgramFailed("\n".join(printed.splitlines()[-15:]))
    return outcome(output)
