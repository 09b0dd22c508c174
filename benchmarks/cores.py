"""How much faster all cores decode a test set: python -m benchmarks.cores RUN_FOLDER

Every test set of the run is decoded in three ways, in turns: by one process with one thread, by one process with all
threads, and by one process for each core. All three must give the same texts, the first and the last also the same
scores.
"""

import argparse
import statistics
import sys
import tempfile
import time
from pathlib import Path

import torch

from data_prep.arguments import ArgumentParser
from recipes.asr import Evaluation, SavedRun, data
from recipes.asr.audio import AudioReader
from recipes.asr.brain import ASRBrain
from recipes.asr.utterances import Utterances, read_utterances
from recipes.config.arguments import parse_arguments
from recipes.errors import RecipeError, command_line
from recipes.scoring import Transcription


class Way:
    """A way to decode. forks: whether the brain may take more than one process."""

    def __init__(self, name: str, threads: int, forks: bool):
        self.name, self.threads, self.forks = name, threads, forks

    def decode(self, brain: ASRBrain, dataset: Utterances, split: str) -> tuple[float, list[Transcription]]:
        """Seconds on the clock, and what was heard."""
        torch.set_num_threads(self.threads)
        may_fork = brain.may_fork
        brain.may_fork = lambda: self.forks and may_fork()
        batches = data.test_batches(dataset, brain.hparams.test_batch_seconds)
        begin = time.perf_counter()
        heard = brain.transcribe(dataset, batches, split)
        brain.may_fork = may_fork
        return time.perf_counter() - begin, heard


def compare(brain: ASRBrain, dataset: Utterances, split: str, ways: list[Way], rounds: int) -> dict[str, list[float]]:
    """Seconds of each way in each round. Raises RecipeError where they do not hear the same."""
    seconds: dict[str, list[float]] = {way.name: [] for way in ways}
    for _ in range(rounds):
        heard = {}
        for way in ways:
            duration, heard[way.name] = way.decode(brain, dataset, split)
            seconds[way.name].append(duration)
        alone, threads, processes = heard.values()
        if alone != processes or [item.hypothesis for item in alone] != [item.hypothesis for item in threads]:
            raise RecipeError(f"{split}: not all ways hear the same")
    return seconds


def in_words(seconds: dict[str, list[float]]) -> str:
    """Seconds of the first way, and how many times as fast the others were, in the same round: median, least, most."""
    first, *others = seconds
    text = f"{first} {statistics.median(seconds[first]):.2f} s"
    for name in others:
        ratios = sorted(a / b for a, b in zip(seconds[first], seconds[name], strict=True))
        text += f"; {name} {statistics.median(ratios):.2f} x ({ratios[0]:.2f} - {ratios[-1]:.2f})"
    return text


@command_line
def main(argv=None) -> None:
    parser = ArgumentParser(
        prog="python -m benchmarks.cores", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run folder")
    parser.add_argument("--rounds", type=int, default=3, help="times that each way decodes each set (default 3)")
    parser.add_argument("--cores", type=int, default=torch.get_num_threads(), help="default: those that torch takes")
    options, rest = parser.parse_known_args(argv)
    if min(options.rounds, options.cores) < 1:
        raise RecipeError("--rounds and --cores must be 1 or more")
    if not (options.run / "recipe.yaml").is_file():
        raise RecipeError(f"{options.run} is no run folder (it has no recipe.yaml)")
    arguments = parse_arguments([str(options.run / "recipe.yaml"), "--device", "cpu", *rest])
    run = SavedRun(options.run, arguments.overrides, source=arguments.source)
    ways = [
        Way("one process of one thread", 1, False),
        Way(f"one process of {options.cores} threads", options.cores, False),
        Way(f"{options.cores} processes", options.cores, True),
    ]
    with (
        tempfile.TemporaryDirectory() as folder,
        Evaluation(run, arguments.run_options, output=Path(folder)) as evaluation,
    ):
        for split, manifest in evaluation.prepared.test.items():
            dataset = read_utterances(manifest, evaluation.prepared.root, AudioReader(), run.tokenizer)
            batches = data.test_batches(dataset, run.hparams["test_batch_seconds"]).total()
            seconds = compare(evaluation.brain, dataset, split, ways, options.rounds)
            print(f"{split}, {len(dataset)} utterances in {batches} batches: {in_words(seconds)}", flush=True)


if __name__ == "__main__":
    sys.exit(main())
