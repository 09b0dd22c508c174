"""Our beam search beside SpeechBrain's own, with the same weights: python -m benchmarks.search RUN_FOLDER

First both decode utterances of the run's first test set. The joint score of each sentence is then computed
independently of both searches. Then both are timed, in turns in this process, on the run's speech and on synthetic
sentences with a decoder of the size of conformer_small (vocabulary 5000). SpeechBrain's search runs in two ways: as in
its LibriSpeech recipes, where CTC scores every token, and with partial scoring, where CTC scores twice as many tokens
as the beam is wide. All get the same encoder frames and CTC log probabilities; the encoder's time does not count.
SpeechBrain's largest tensors grow with beam, batch, vocabulary and frames. Where it would take minutes, its utterances
are shorter; each row says how many frames.
"""

import argparse
import sys
from pathlib import Path

import torch

from benchmarks.results_file import earlier_results
from benchmarks.search.measure import STOCK, compare, measure
from benchmarks.search.tasks import RunTasks, synthetic
from data_prep.arguments import ArgumentParser
from recipes.decoding import BeamSearch
from recipes.errors import RecipeError, command_line
from recipes.files import write_json
from recipes.provenance import machine
from recipes.stock.search import SearchTask

BATCH = 8  # utterances at once when scores are compared
# Most hypotheses * frames² of synthetic sentences that SpeechBrain is timed on: about half a minute.
LARGEST = {"stock_full": 10 * 250**2, "stock_partial": 80 * 250**2}


def arguments(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks.search", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, help="a run folder, with recipe.yaml and averaged.ckpt")
    parser.add_argument("--data_folder", help="the corpus, if it has moved since the run")
    parser.add_argument("--utterances", type=int, default=100, help="utterances to compare the scores of (default 100)")
    parser.add_argument("--compare_beam", type=int, default=10, help="beam of that comparison (default 10)")
    parser.add_argument("--beams", type=int, nargs="*", default=[10, 66], help="beams to time (default 10 66)")
    parser.add_argument("--batches", type=int, nargs="+", default=[1, 8], help="utterances at once (default 1 8)")
    parser.add_argument("--frames", type=int, default=250, help="frames of the synthetic sentences (default 250: 10 s)")
    parser.add_argument("--threads", type=int, nargs="+", default=[1], help="numbers of threads (default 1)")
    parser.add_argument("--repeats", type=int, default=5, help="times each search is timed, at most (default 5)")
    parser.add_argument("--seconds", type=float, default=5, help="no repeat of a search that took these (default 5)")
    parser.add_argument("--out", type=Path, help="write the figures to this JSON file too")
    return parser.parse_args(argv)


def check(options: argparse.Namespace) -> None:
    """Raises RecipeError for numbers below 1."""
    for name in ("utterances", "frames", "compare_beam", "repeats", "beams", "batches", "threads"):
        value = getattr(options, name)
        if min(value if isinstance(value, list) else [value], default=1) < 1:
            raise RecipeError(f"--{name} must be 1 or more")


def timed_tasks(run: RunTasks, batch: int, beam: int, most_frames: int) -> list[tuple[str, SearchTask, list[str]]]:
    """The tasks that are timed with a batch size and beam: the model's name, the task, SpeechBrain's searches."""
    middle = max((len(run.items) - batch) // 2, 0)
    tasks = [("run", run.task(middle, batch), list(STOCK))]
    by_frames: dict[int, list[str]] = {}
    for name, most in LARGEST.items():
        frames = min(most_frames, max(int((most / (beam * batch)) ** 0.5), 8))
        by_frames.setdefault(frames, []).append(name)
    return tasks + [("small", synthetic(batch, frames), names) for frames, names in by_frames.items()]


def row_text(row: dict) -> str:
    text = f"{row['model']:6}{row['frames']:>7}{row['threads']:>8}{row['beam']:>6}{row['batch']:>6}"
    for name in ("ours", *STOCK):
        seconds, steps = row["seconds"].get(name), row["steps"].get(name)
        text += f"{seconds:>12.3f} s{steps:>6}" if seconds else f"{'-':>14}{'-':>6}"
    return text + "".join(f"{row['times_ours'].get(name, '-'):>20}" for name in STOCK)


@command_line
def main(argv=None) -> None:
    options = arguments(argv)
    check(options)
    keys = ("command", "machine", "set", "utterances", "compare_beam", "joint_scores", "rows")
    earlier_results(options.out, "benchmarks.search", keys)
    torch.set_num_threads(options.threads[0])
    run = RunTasks(options.run, options.data_folder, options.utterances)

    def search(beam: int) -> BeamSearch:
        return BeamSearch(beam=beam, ctc_weight=run.search.ctc_weight, temperature=run.search.temperature)

    batches = [run.task(start, BATCH) for start in range(0, len(run.items), BATCH)]
    scores = compare(batches, search(options.compare_beam))
    print(f"{len(run.items)} utterances of {run.split}, beam {options.compare_beam}; joint score of the best sentence:")
    for name, counts in scores.items():
        print(f"  against {name}: " + ", ".join(f"{key.replace('_', ' ')} {value}" for key, value in counts.items()))
    print(f"{'model':6}{'frames':>7}{'threads':>8}{'beam':>6}{'batch':>6}", end="")
    print("".join(f"{name:>14} steps" for name in ("ours", *STOCK)), "".join(f"{name + '/ours':>20}" for name in STOCK))
    rows = []
    for threads in options.threads:
        torch.set_num_threads(threads)
        for beam in options.beams:
            for batch in options.batches:
                for model, task, names in timed_tasks(run, batch, beam, options.frames):
                    frames = task.encoded.frames.shape[1]
                    setting = {"model": model, "frames": frames, "threads": threads, "beam": beam, "batch": batch}
                    rows.append({**setting, **measure(task, search(beam), names, options.repeats, options.seconds)})
                    print(row_text(rows[-1]), flush=True)
    if options.out:
        command = " ".join(["python -m benchmarks.search", *(argv or sys.argv[1:])])
        options.out.parent.mkdir(parents=True, exist_ok=True)
        about = {"command": command, "machine": machine("cpu"), "set": run.split, "utterances": len(run.items)}
        write_json(options.out, {**about, "compare_beam": options.compare_beam, "joint_scores": scores, "rows": rows})
