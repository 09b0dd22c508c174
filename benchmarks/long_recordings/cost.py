"""Time and memory of hours of audio in one pass, in windows, as a stream: python -m benchmarks.long_recordings.cost

It runs the model of a recipe with random weights, from samples to the tokens of greedy CTC, without attention decoder.
Each row is measured in a process of its own, on one thread: CPU seconds, and the growth of the resident memory. With
THP_MEM_ALLOC_ENABLE=1 in the environment torch uses memory pages of 2 MiB; these rows are kept apart.
`--table FILE` prints a file that `--out` wrote, and `--plot FOLDER` draws it.
"""

import argparse
import json
import os
import re
import resource
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

from benchmarks.long_recordings.results import read_part, write_part
from benchmarks.long_recordings.shown import draw, markdown
from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError, command_line

PART = "cost"
RATE = 16000
STREAM_CHUNK = 16
WARM_SECONDS = 10
DOES_NOT_FIT, TOO_LONG = "does not fit", "over the time limit"


def arguments(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks.long_recordings.cost",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = parser.add_argument
    add("recipe", nargs="?", type=Path, help="a recipe in hparams/")
    add("--mixers", nargs="+", default=["summarymixing"])
    add("--modes", nargs="+", default=["pass"], choices=MODES)
    add("--minutes", nargs="+", type=float, default=[1.0, 10.0, 60.0])
    add("--window", type=float, default=30.0, help="seconds, of the mode windows")
    add("--set", nargs="+", default=[], metavar="KEY=VALUE", help="keys of the recipe to change")
    add("--limit", type=int, default=600, metavar="SECONDS", help="CPU time after which a figure is given up")
    add("--out", type=Path, help="results file: these figures replace those of the same mixer, mode and length")
    add("--table", type=Path, metavar="FILE", help="print the figures of this file, run nothing")
    add("--plot", type=Path, metavar="FOLDER", help="draw them there, as well")
    add("--in_this_process", action="store_true", help=argparse.SUPPRESS)  # a single figure
    return parser.parse_args(argv)


@command_line
def main(argv=None):
    options = arguments(argv)
    if options.table:
        rows = read_part(options.table, PART)["rows"]
        print(markdown(rows))
        if options.plot:
            draw(rows, options.plot)
        return
    if options.recipe is None:
        raise DataError("no recipe to measure: give one of hparams/, or --table FILE")
    if options.in_this_process:
        print(json.dumps(measure(options)))
        return
    rows = []
    for mixer in options.mixers:
        for mode in options.modes:
            for minutes in options.minutes:
                row = {"recipe": options.recipe.stem, "mixer": mixer, "mode": mode, "minutes": minutes}
                if mode == "windows":
                    row["window"] = options.window
                if os.environ.get("THP_MEM_ALLOC_ENABLE") == "1":
                    row["huge_pages"] = True
                rows.append(row | in_own_process(options, row))
                print(json.dumps(rows[-1]), flush=True)
    if options.out:
        from recipes.provenance import machine

        values = {"machine": machine("cpu"), "threads": 1, "rows": rows}
        write_part(options.out, PART, values, key=("recipe", "mixer", "mode", "window", "minutes", "huge_pages"))


def in_own_process(options: argparse.Namespace, row: dict) -> dict:
    """The figures of a row; a `problem` in place of the figures where there are none."""
    command = [sys.executable, "-m", "benchmarks.long_recordings.cost", str(options.recipe), "--in_this_process"]
    command += ["--mixers", row["mixer"], "--modes", row["mode"], "--minutes", str(row["minutes"])]
    command += ["--window", str(options.window), "--limit", str(options.limit)]
    command += ["--set", *options.set] if options.set else []
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2]), "OMP_NUM_THREADS": "1"}
    finished = subprocess.run(command, capture_output=True, text=True, env=environment)
    if finished.returncode == 0:
        return json.loads(finished.stdout.splitlines()[-1])
    said = (finished.stderr.strip().splitlines() or ["killed"])[-1]
    if finished.returncode == -24:  # SIGXCPU
        return {"problem": f"{TOO_LONG} of {options.limit} s"}
    if finished.returncode < 0 or "memory" in said.lower():
        return {"problem": DOES_NOT_FIT}
    raise DataError(f"{row['mixer']}, {row['mode']}, {row['minutes']:g} minutes: {said}")


# --- one figure -----------------------------------------------------------------------------------------------------


def measure(options: argparse.Namespace) -> dict:
    """CPU seconds and peak memory of the first mixer, mode and length, and what a stream would keep by then."""
    import torch

    from benchmarks.memory.measure import limit_memory
    from recipes.training.allocator import keep_freed_memory

    keep_freed_memory()  # as transcribe.py
    torch.set_num_threads(1)
    torch.manual_seed(0)
    limit_memory(torch.device("cpu"))
    recipe = load_recipe(options)
    model, samples = recipe.hparams["model"], int(60 * options.minutes[0] * RATE)
    run = MODES[options.modes[0]](recipe, options)
    with torch.inference_mode():
        run(WARM_SECONDS * RATE)
        before = memory_mb("VmRSS")
        Path("/proc/self/clear_refs").write_text("5")  # forgets the peak so far
        spent = time.process_time()
        resource.setrlimit(resource.RLIMIT_CPU, (int(spent) + options.limit, resource.RLIM_INFINITY))
        tokens = run(samples)
    seconds = time.process_time() - spent
    frames = samples // model.frame_samples
    figures = {
        "cpu_seconds": round(seconds, 2),
        "rtf": round(seconds / (samples / RATE), 5),
        "memory_mb": round(memory_mb("VmHWM") - before, 1),
        "tokens": tokens,
        "parameters": sum(parameter.numel() for parameter in model.parameters()),
    }
    try:
        return figures | {"state": model.state_size(frames, stream_context())}
    except ValueError:  # it cannot stream
        return figures


def load_recipe(options: argparse.Namespace):
    """With its model, of random weights, for greedy CTC: without the attention decoder."""
    from recipes.config import load

    keys = dict(pair.split("=", 1) for pair in options.set)
    recipe = load(options.recipe, {"data_folder": "none", "mixer": options.mixers[0], **keys})
    recipe.hparams["model"].eval().decoder = None
    return recipe


def memory_mb(name: str) -> float:
    """VmRSS: resident now; VmHWM: the most that was. Linux alone."""
    (kilobytes,) = re.findall(rf"^{name}:\s+(\d+) kB$", Path("/proc/self/status").read_text(), re.MULTILINE)
    return int(kilobytes) / 2**10


def stream_context():
    from mixers import Context

    return Context(STREAM_CHUNK)


def one_pass(recipe, options: argparse.Namespace) -> Callable[[int], int]:
    """The encoder over all frames at once, as `Transcriber` does with linear mixers."""
    return recognition(recipe, None)


def in_windows(recipe, options: argparse.Namespace) -> Callable[[int], int]:
    return recognition(recipe, options.window)


def recognition(recipe, window: float | None) -> Callable[[int], int]:
    """A function that recognises so many samples of noise, and returns the number of tokens."""
    import torch

    from recipes.inference.recognition.loaded_model import LoadedModel
    from recipes.inference.recognition.recognition import Recognition

    # No tokenizer is needed before there is text.
    recognise = Recognition(
        LoadedModel(recipe.hparams["model"], None, None, None, "random weights", recipe),
        torch.device("cpu"),
        window=window,
        piece=None,
        batch_seconds=100,
        autocast=None,
    )
    if window is None:
        recognise.windows = None  # also of a mixer that is not linear

    def run(samples: int) -> int:
        (encoding,) = recognise.encode([0.1 * torch.randn(samples)])
        return count_tokens(encoding.log_probs)

    return run


def as_stream(recipe, options: argparse.Namespace) -> Callable[[int], int]:
    """Chunk by chunk, each heard when it comes and then forgotten."""
    import torch

    model = recipe.hparams["model"]

    def run(samples: int) -> int:
        state, tokens = model.init_state(1, stream_context()), 0
        size = STREAM_CHUNK * model.frame_samples
        for start in range(0, samples, size):
            audio = 0.1 * torch.randn(1, min(size, samples - start))
            output, state = model.step(audio, state, last=start + size >= samples)
            tokens += count_tokens(output.ctc_logits[0].log_softmax(-1))
        return tokens

    return run


def count_tokens(log_probs) -> int:
    from recipes.inference.transcripts.words import greedy_path, spans_of_path

    return len(spans_of_path(*greedy_path(log_probs.numpy())))


MODES = {"pass": one_pass, "windows": in_windows, "stream": as_stream}

if __name__ == "__main__":
    sys.exit(main())
