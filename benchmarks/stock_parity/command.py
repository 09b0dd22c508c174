"""Our recognisers beside stock SpeechBrain's: python -m benchmarks.stock_parity --data_folder FOLDER [--key value …]

`stock` is SpeechBrain's own TransformerASR with a Conformer and RelPosMHAXL, its features, normalisation, masks, speed
perturbation, losses and Noam schedule, run by its own Brain. Ours are trained as train.py trains them. All get the same
utterances, characters, batches in the same order, sizes, optimizer, highest rate and number of steps, by
benchmarks/stock_parity/recipe.yaml; keys of it may follow. After each epoch both are measured on the validation set by
the same code: CTC and attention loss apart, share of blanks, WER and CER of greedy CTC. A system may be
`MIXER:CHANGE`, which makes one thing of ours as SpeechBrain has it.
"""

import argparse
import json
import sys
import tempfile
import time
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from benchmarks.stock_parity.figures import rounded
from benchmarks.stock_parity.our_training import RecordedExperiment
from benchmarks.stock_parity.stock_training import StockExperiment
from benchmarks.stock_parity.systems import AUGMENTATION, CHANGES, STOCK, System, parse_system
from recipes.config import load
from recipes.config.arguments import parse_arguments
from recipes.config.source import Source
from recipes.errors import command_line
from recipes.files import write_json
from recipes.provenance import machine, versions
from recipes.training.processes import start

RECIPE = Path(__file__).with_name("recipe.yaml")
IDENTITY = ("corpus", "system", "seed", "augmentation", "keys")  # of a run in the file of results


def arguments(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The benchmark's own options, and the keys of the recipe that follow."""
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.stock_parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="changes: " + "; ".join(f"{name}: {change.meaning}" for name, change in CHANGES.items()),
    )
    parser.add_argument("--data_folder", required=True, help="the corpus, in LibriSpeech's layout")
    parser.add_argument("--corpus", help="its name in the results (default: the folder's)")
    parser.add_argument("--systems", nargs="+", default=[STOCK, "relpos_attention"], metavar="SYSTEM")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--augmentation", action="store_true", help="published masks, speeds, dropout 0.1")
    parser.add_argument("--out", type=Path, help="the JSON file to which each run is added when it ends")
    return parser.parse_known_args(argv)


def train(system: System, seed: int, source: Source, keys: dict[str, object], run_options: RunOptions) -> dict:
    """Train one system in a folder that is then removed; what is known of the run. Each epoch is printed."""
    epochs: list[dict] = []
    begun = time.time()

    def record(steps: int, rate: float, train: dict, dev: dict) -> None:
        seconds = round(time.time() - begun, 1)
        figures = {"train": rounded(train), "dev": rounded(dev)}
        epochs.append({"epoch": len(epochs) + 1, "steps": steps, "seconds": seconds, "lr": rate, **figures})
        print(epoch_text(system.name, seed, epochs[-1]), flush=True)

    with tempfile.TemporaryDirectory() as folder:
        recipe = load(source, {**keys, **system.keys(), "seed": seed, "output_folder": str(Path(folder) / "run")})
        if system.mixer == STOCK:
            experiment = StockExperiment(recipe, run_options, record=record)
        else:
            experiment = RecordedExperiment(recipe, run_options, record=record, change=system.change)
        with experiment:
            experiment.prepare()
            experiment.fit()
            size = sum(parameter.numel() for parameter in experiment.brain.modules.parameters())
    return {"system": system.name, "seed": seed, "parameters": size, "epochs": epochs}


def epoch_text(name: str, seed: int, epoch: dict) -> str:
    train, dev = epoch["train"], epoch["dev"]
    return (
        f"{name}, seed {seed}, epoch {epoch['epoch']}, {epoch['steps']} steps, {epoch['seconds']} s: train CTC "
        f"{train['ctc_loss']:.2f}, attention {train['attention_loss']:.2f}, gradient {train['gradient_norm']:.1f}, "
        f"clipped {100 * train['clipped_steps']:.0f} %; dev CTC {dev['ctc_loss']:.2f}, "
        f"attention {dev['attention_loss']:.2f}, blanks {100 * dev['blanks']:.0f} %, "
        f"WER {dev['wer']:.2f}, CER {dev['cer']:.2f}"
    )


def add(run: dict, file: Path) -> None:
    """Add a run to the file of results, in the place of an older one of the same."""
    runs = json.loads(file.read_text(encoding="utf-8"))["runs"] if file.is_file() else []
    kept = [other for other in runs if any(other[name] != run[name] for name in IDENTITY)]
    file.parent.mkdir(parents=True, exist_ok=True)
    write_json(file, {"runs": [*kept, run]})


@command_line
def main(argv=None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    options, rest = arguments(argv)
    systems = [parse_system(name) for name in options.systems]
    given = parse_arguments([str(RECIPE), *rest])
    corpus = options.corpus or Path(options.data_folder).name
    keys = {**(AUGMENTATION if options.augmentation else {}), **given.overrides, "data_folder": options.data_folder}
    run_options = start(given.run_options)
    for seed in options.seeds:
        for system in systems:
            run = train(system, seed, given.source, keys, run_options)
            about = {"corpus": corpus, "augmentation": options.augmentation, "keys": given.overrides}
            origin = {"machine": machine("cpu"), "versions": versions()}
            if options.out:
                add({**about, **run, **origin}, options.out)
