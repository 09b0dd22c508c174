"""Training runs for tests: `train.py` on a small corpus, with a recipe cut down to seconds."""

import json
from pathlib import Path

import torch

from tests.support.corpus import write_corpus
from train import main

ROOT = Path(__file__).parents[2]
RECIPE = ROOT / "hparams" / "quickstart.yaml"
TINY = (
    "--device cpu --noprogressbar --workers 0 --d_model 16 --heads 2 --layers 2 --d_ffn 32 --kernel_size 3"
    " --decoder_layers 1 --number_of_epochs 1 --batch_seconds 4 --warmup_steps 2 --test_search.beam 2"
).split()


def small_corpus(folder: Path) -> Path:
    write_corpus(folder, {"train-clean-5": (2, 12), "dev-clean": (1, 3), "test-clean": (1, 3)})
    return folder


def arguments(data: Path, output: Path, *options: str, recipe: Path = RECIPE) -> list[str]:
    """The command line of a tiny run, without the program's name; later options win."""
    return [str(recipe), "--data_folder", str(data), "--output_folder", str(output), *TINY, *options]


def train(data: Path, output: Path, *options: str, recipe: Path = RECIPE) -> int:
    """Run it in this process; the exit status."""
    return main(arguments(data, output, *options, recipe=recipe))


def summary(output: Path) -> dict:
    return json.loads((output / "summary.json").read_text())


def results(output: Path) -> dict[str, dict]:
    """What the summary says of each split, apart from the time that it took."""
    splits = summary(output)["splits"]
    return {name: {k: v for k, v in one.items() if k not in ("decode_seconds", "rtf")} for name, one in splits.items()}


def epochs(output: Path) -> list[dict]:
    """The lines of the machine-readable log."""
    return [json.loads(line) for line in (output / "log.jsonl").read_text().splitlines()]


def weights(output: Path) -> dict[str, torch.Tensor]:
    """The averaged model at the end of a run."""
    return torch.load(output / "averaged.ckpt")


def same_weights(one: Path, other: Path) -> bool:
    """Bit for bit."""
    first, second = weights(one), weights(other)
    return first.keys() == second.keys() and all(torch.equal(first[name], second[name]) for name in first)
