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
from collections.abc import Callable
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from benchmarks.stock_parity.figures import rounded
from benchmarks.stock_parity.masks import masked_shares
from benchmarks.stock_parity.our_training import RecordedExperiment
from benchmarks.stock_parity.results import add_masks, add_run, markdown, read
from benchmarks.stock_parity.stock_training import StockExperiment
from benchmarks.stock_parity.systems import AUGMENTATION, CHANGES, STOCK, System, parse_system
from data_prep.arguments import ArgumentParser
from recipes.config import load
from recipes.config.arguments import parse_arguments
from recipes.config.source import Source
from recipes.errors import RecipeError, command_line
from recipes.provenance import machine, versions
from recipes.training.processes import start

RECIPE = Path(__file__).with_name("recipe.yaml")


def arguments(argv: list[str]) -> tuple[argparse.Namespace, list[str]]:
    """The benchmark's own options, and the keys of the recipe that follow."""
    parser = ArgumentParser(
        prog="python -m benchmarks.stock_parity",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
        allow_abbrev=False,
        epilog="changes: " + "; ".join(f"{name}: {change.meaning}" for name, change in CHANGES.items()),
    )
    parser.add_argument("--data_folder", help="the corpus, in LibriSpeech's layout")
    parser.add_argument("--corpus", help="its name in the results (default: the folder's)")
    parser.add_argument("--systems", nargs="+", default=[STOCK, "relpos_attention"], metavar="SYSTEM")
    parser.add_argument("--seeds", nargs="+", type=int, default=[1])
    parser.add_argument("--augmentation", action="store_true", help="published masks, speeds, dropout 0.1")
    parser.add_argument("--out", type=Path, help="the JSON file to which each run is added, after every epoch")
    parser.add_argument("--masks", action="store_true", help="only count what the published masks hide of the corpus")
    parser.add_argument("--table", type=Path, metavar="FILE", help="only print the table of a file of results")
    return parser.parse_known_args(argv)


def train(
    system: System,
    seed: int,
    source: Source,
    keys: dict[str, object],
    run_options: RunOptions,
    keep: Callable[[dict], None],
) -> None:
    """Train one system in a folder that is then removed. keep: gets what is known of the run after each epoch."""
    epochs: list[dict] = []
    begun = time.time()

    def record(steps: int, rate: float, train: dict, dev: dict) -> None:
        seconds = round(time.time() - begun, 1)
        figures = {"train": rounded(train), "dev": rounded(dev)}
        epochs.append({"epoch": len(epochs) + 1, "steps": steps, "seconds": seconds, "lr": rate, **figures})
        print(epoch_text(system.name, seed, epochs[-1]), flush=True)
        parameters = sum(parameter.numel() for parameter in experiment.brain.modules.parameters())
        keep({"system": system.name, "seed": seed, "parameters": parameters, "epochs": epochs})

    with tempfile.TemporaryDirectory() as folder:
        recipe = load(source, {**keys, **system.keys(), "seed": seed, "output_folder": str(Path(folder) / "run")})
        if system.mixer == STOCK:
            experiment = StockExperiment(recipe, run_options, record=record)
        else:
            experiment = RecordedExperiment(recipe, run_options, record=record, change=system.change)
        with experiment:
            experiment.prepare()
            experiment.fit()


def epoch_text(name: str, seed: int, epoch: dict) -> str:
    train, dev = epoch["train"], epoch["dev"]
    return (
        f"{name}, seed {seed}, epoch {epoch['epoch']}, {epoch['steps']} steps, {epoch['seconds']} s: train CTC "
        f"{train['ctc_loss']:.2f}, attention {train['attention_loss']:.2f}, gradient {train['gradient_norm']:.1f}, "
        f"clipped {100 * train['clipped_steps']:.0f} %; dev CTC {dev['ctc_loss']:.2f}, "
        f"attention {dev['attention_loss']:.2f}, blanks {100 * dev['blanks']:.0f} %, "
        f"WER {dev['wer']:.2f}, CER {dev['cer']:.2f}"
    )


def measure_masks(source: Source, keys: dict[str, object], run_options: RunOptions) -> dict:
    """The shares of the corpus' training utterances that the published masks hide; see `masked_shares`."""
    with tempfile.TemporaryDirectory() as folder:
        recipe = load(source, {**AUGMENTATION, **keys, "output_folder": str(Path(folder) / "run")})
        with StockExperiment(recipe, run_options, record=None) as experiment:
            experiment.prepare()
            batches, durations = experiment.batches().batches(), experiment.train_set.durations
    return masked_shares(recipe.hparams["model"].augment, [durations[batch].tolist() for batch in batches])


@command_line
def main(argv=None) -> None:
    argv = list(sys.argv[1:] if argv is None else argv)
    options, rest = arguments(argv)
    if options.table:
        print(markdown(read(options.table)))
        return
    if options.data_folder is None:
        raise RecipeError("give --data_folder, the corpus to train on, or --table, a file of results")
    systems = [parse_system(name) for name in options.systems]
    given = parse_arguments([str(RECIPE), *rest])
    corpus = options.corpus or Path(options.data_folder).name
    keys = {**(AUGMENTATION if options.augmentation else {}), **given.overrides, "data_folder": options.data_folder}
    run_options = start(given.run_options)
    if options.masks:
        shares = measure_masks(given.source, keys, run_options)
        print(json.dumps(shares, indent=1))
        if options.out:
            add_masks(corpus, shares, options.out)
        return
    origin = {"machine": machine("cpu"), "versions": versions()}
    about = {"corpus": corpus, "augmentation": options.augmentation, "keys": given.overrides, **origin}

    def keep(run: dict) -> None:
        if options.out:
            add_run({**about, **run}, options.out)

    for seed in options.seeds:
        for system in systems:
            train(system, seed, given.source, keys, run_options, keep)
