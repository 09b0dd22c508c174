"""How fast transcribing is, by torch and by exported models: python -m benchmarks.inference RUN_FOLDER

speed: real-time factor and peak memory of torch and of ONNX files (float32 and int8), by greedy CTC, and with torch
also by beam search (8) with the attention decoder; for the run, and for a model of --recipe's size with random weights.
wer: word error rates of these by greedy CTC on the run's test sets.
start: the time of transcribe.py with one short file.
mixers: which mixers can be exported, for whole recordings and as a stream.
streams: the time of the next chunk, by torch and by ONNX files in one process.
paths: differences between transcribing the recordings of --sample alone, in batches, and by the ONNX file.
Except for streams and paths, each engine is a process of its own. They take turns, and the best round counts.
"""

import argparse
import shlex
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

import numpy as np

from benchmarks.inference.measure import Setting, speeds, starts, word_error_rates
from benchmarks.inference.models import exportable, loaded
from benchmarks.inference.paths import compare_paths
from benchmarks.inference.streams import stream_times
from benchmarks.results_file import earlier_results, with_part
from data_prep.arguments import ArgumentParser
from data_prep.manifest import located, read_manifest
from data_prep.splits import find_corpus
from recipes.config import load
from recipes.errors import RecipeError, command_line
from recipes.files import write_json
from recipes.inference.audio.reading import read_audio
from recipes.inference.export.files import export_model
from recipes.inference.onnx.engine import OnnxEngine
from recipes.inference.onnx.model import OnnxModel
from recipes.inference.transcriber import Transcriber
from recipes.provenance import commit, machine

SHORT = 5.0  # seconds of the file of `start`


class Bench:
    """The run, its exported models (made when they are asked for, in `folder`), and its test sets."""

    def __init__(self, options: argparse.Namespace, folder: Path):
        self.options, self.folder = options, folder
        self.manifests = sorted((options.run / "manifests").glob("test*.csv"))
        if not self.manifests:
            raise RecipeError(f"{options.run} has no manifests/test*.csv: give the folder of a run that was tested")
        data = options.data_folder or load(options.run / "recipe.yaml").hparams["data_folder"]
        self.root = find_corpus(data)

    def exported(self, recipe: Path | None, int8: bool) -> Path:
        out = self.folder / f"{recipe.stem if recipe else 'run'}{'_int8' if int8 else ''}.onnx"
        if not out.exists():
            export_model(loaded(self.options.run, recipe), out, int8=int8)
        return out

    def files(self) -> list[tuple[float, str]]:
        """Seconds and path of the utterances of the first test set, shortest first."""
        rows = read_manifest(self.manifests[0])
        return sorted((float(row["duration"]), located(row["wav"], self.root)) for row in rows)

    def speed(self) -> list[dict]:
        every = max(len(self.files()) // self.options.utterances, 1)
        files = [path for _, path in self.files()[::every]]
        results = []
        for recipe in (None, self.options.recipe):
            name = recipe.stem if recipe else "run"
            torch_arguments = ("torch", str(self.options.run.absolute()), str(recipe.absolute()) if recipe else "")
            results += speeds(
                [
                    Setting(name, engine, threads, arguments)
                    for threads in self.options.threads
                    for engine, arguments in [
                        ("torch float32", torch_arguments),
                        ("onnx float32", ("onnx", str(self.exported(recipe, False)))),
                        ("onnx int8", ("onnx", str(self.exported(recipe, True)))),
                    ]
                ],
                files,
                self.options.rounds,
            )
        return results

    def wer(self) -> dict[str, dict[str, float]]:
        engines = {
            "torch float32": Transcriber(loaded(self.options.run, None)._replace(search=None), device="cpu"),
            "onnx float32": OnnxEngine(OnnxModel(self.exported(None, False), 1)),
            "onnx int8": OnnxEngine(OnnxModel(self.exported(None, True), 1)),
        }
        return {manifest.stem: word_error_rates(engines, manifest, self.root) for manifest in self.manifests}

    def start(self) -> dict:
        seconds, file = min(self.files(), key=lambda entry: abs(entry[0] - SHORT))
        run, onnx = str(self.options.run.absolute()), str(self.exported(None, False))
        commands = {"torch": [run, file, "--device", "cpu"], "onnx": ["--onnx", onnx, file]}
        return {"audio_seconds": round(seconds, 2), **starts(commands, self.options.rounds)}

    def mixers(self) -> dict[str, dict]:
        names = load(Path("hparams/conformer.yaml"), {"data_folder": "."}).hparams["mixers"]
        return {name: exportable(name, self.options.run, self.folder) for name in names}

    def streams(self) -> list[dict]:
        audio = np.concatenate([read_audio(path) for _, path in self.files()[:: max(len(self.files()) // 8, 1)]])
        return stream_times(loaded(self.options.run, None), audio, self.folder)

    def paths(self) -> dict:
        if self.options.sample is None:
            raise RecipeError("--parts paths needs --sample FOLDER, of recordings")
        transcriber = Transcriber(loaded(self.options.run, None)._replace(search=None), device="cpu")
        return compare_paths(transcriber, OnnxEngine(OnnxModel(self.exported(None, False))), self.options.sample)


PARTS: dict[str, Callable[[Bench], object]] = {
    "speed": Bench.speed,
    "wer": Bench.wer,
    "start": Bench.start,
    "mixers": Bench.mixers,
    "streams": Bench.streams,
    "paths": Bench.paths,
}


def arguments(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m benchmarks.inference",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="the folder of a run that was tested")
    parser.add_argument("--recipe", type=Path, default=Path("hparams/conformer_summarymixing_100h.yaml"))
    parser.add_argument("--data_folder", help="the corpus, if it has moved since the run")
    parser.add_argument("--parts", nargs="+", choices=PARTS, help="default: all, paths only with --sample")
    parser.add_argument("--sample", type=Path, help="a folder of recordings, such as of real speech, for paths")
    parser.add_argument("--threads", type=int, nargs="+", default=[1, 2], help="default: 1 2")
    parser.add_argument("--utterances", type=int, default=16, help="of the first test set (default: %(default)s)")
    parser.add_argument("--rounds", type=int, default=5, help="default: %(default)s")
    parser.add_argument("--out", type=Path, default=Path("results/inference.json"), help="default: %(default)s")
    options = parser.parse_args(argv)
    options.parts = options.parts or [part for part in PARTS if part != "paths" or options.sample]
    for name in ("threads", "utterances", "rounds"):
        value = getattr(options, name)
        if min(value if isinstance(value, list) else [value]) < 1:
            raise RecipeError(f"--{name} must be 1 or more")
    return options


@command_line
def main(argv=None):
    options = arguments(argv)
    results = earlier_results(options.out, "benchmarks.inference", PARTS)
    head = {
        "command": shlex.join(["python", "-m", "benchmarks.inference", *(sys.argv[1:] if argv is None else argv)]),
        "machine": machine("cpu"),
        "commit": commit(),
    }
    with tempfile.TemporaryDirectory() as folder:
        bench = Bench(options, Path(folder))
        for part in options.parts:
            results = with_part(results, head, part, PARTS[part](bench))
            options.out.parent.mkdir(parents=True, exist_ok=True)
            write_json(options.out, results)  # after every part: the later ones take long
    print(f"{options.out} written")
