"""The file of results, to which runs are added one by one, and the table made of it."""

from collections.abc import Callable
from pathlib import Path

from recipes.errors import RecipeError
from recipes.files import read_json, write_json

IDENTITY = ("corpus", "system", "seed", "augmentation", "keys")  # of a run
COLUMNS: dict[str, Callable[[dict], str]] = {
    "corpus": lambda run: run["corpus"],
    "augmentation": lambda run: "yes" if run["augmentation"] else "no",
    "system": lambda run: run["system"],
    "seed": lambda run: str(run["seed"]),
    "WER % by epoch": lambda run: by_epoch(run, "wer", 1),
    "CER % by epoch": lambda run: by_epoch(run, "cer", 1),
    "CTC loss a token": lambda run: by_epoch(run, "ctc_loss_per_token", 2),
    "attention loss a token": lambda run: by_epoch(run, "attention_loss_per_token", 2),
    "blanks %": lambda run: f"{100 * run['epochs'][-1]['dev']['blanks']:.0f}",
    "gradient": lambda run: f"{run['epochs'][-1]['train']['gradient_norm']:.0f}",
    "clipped %": lambda run: f"{100 * run['epochs'][-1]['train']['clipped_steps']:.0f}",
    "keys": lambda run: " ".join(f"{key}={value}" for key, value in changed_keys(run).items()) or "-",
}


def changed_keys(run: dict) -> dict:
    """Those given on the command line, but for the number of epochs, which the figures show and no epoch depends on."""
    return {key: value for key, value in sorted(run["keys"].items()) if key != "number_of_epochs"}


def by_epoch(run: dict, name: str, digits: int) -> str:
    return " ".join(f"{epoch['dev'][name]:.{digits}f}" for epoch in run["epochs"])


def read(file: Path) -> dict:
    """`runs`, and `masks` by corpus. Raises RecipeError for a file of another kind."""
    results = read_json(file)
    if not isinstance(results, dict) or "runs" not in results:
        raise RecipeError(f"{file} is no file of results of this benchmark: it has no 'runs'")
    return results


def add_run(run: dict, file: Path) -> None:
    """Add a run to the file, or what is known of it so far, in the place of an older one of the same."""
    results = read(file) if file.is_file() else {"runs": []}
    kept = [other for other in results["runs"] if any(other[name] != run[name] for name in IDENTITY)]
    write({**results, "runs": [*kept, run]}, file)


def add_masks(corpus: str, shares: dict, file: Path) -> None:
    results = read(file) if file.is_file() else {"runs": []}
    write({**results, "masks": {**results.get("masks", {}), corpus: shares}}, file)


def write(results: dict, file: Path) -> None:
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, results)


def markdown(results: dict) -> str:
    """A row a run; figures of the validation set, gradient and clipped steps of the last epoch's training."""
    runs = sorted(
        results["runs"], key=lambda run: [str(run[name]) for name in ("corpus", "augmentation", "system", "seed")]
    )
    shown = [name for name in COLUMNS if name != "keys" or any(map(changed_keys, runs))]
    lines = [f"| {' | '.join(shown)} |", f"|{'---|' * len(shown)}"]
    lines += [f"| {' | '.join(COLUMNS[name](run) for name in shown)} |" for run in runs]
    for corpus, shares in results.get("masks", {}).items():
        for side, figures in shares.items():
            hidden = ", ".join(f"{100 * share['mean']:.0f} % of {name}" for name, share in figures.items())
            lines.append(f"\nmasks on {corpus}, {side}, mean over utterances: {hidden}")
    return "\n".join(lines)
