"""Times of engines in turn, word error rates of exported models, and the time to the first text."""

import json
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from benchmarks.preparation.measure import ROOT, run
from data_prep.manifest import read_manifest
from recipes.inference.audio.recordings import find_recordings
from recipes.inference.recognition.engine import Engine
from recipes.scoring import align_words


class Setting(NamedTuple):
    """A process to time. arguments: of `benchmarks.inference.worker`, behind the threads."""

    model: str
    engine: str
    threads: int
    arguments: tuple[str, ...]

    @property
    def searches(self) -> tuple[str, ...]:
        return ("greedy", "beam") if self.engine == "torch float32" else ("greedy",)


class Worker:
    def __init__(self, setting: Setting):
        command = [sys.executable, "-m", "benchmarks.inference.worker", str(setting.threads), *setting.arguments]
        self.process = subprocess.Popen(command, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True)
        self.answer()

    def answer(self) -> str:
        line = self.process.stdout.readline()
        if not line:
            raise RuntimeError(f"a process ended with status {self.process.wait()}: {self.process.args}")
        return line

    def ask(self, search: str, files: Sequence[str]) -> dict:
        self.process.stdin.write(json.dumps({"search": search, "files": list(files)}) + "\n")
        self.process.stdin.flush()
        return json.loads(self.answer())

    def close(self) -> None:
        self.process.stdin.close()
        self.process.wait()


def speeds(settings: Sequence[Setting], files: Sequence[str], rounds: int) -> list[dict]:
    """Real-time factors, the best of so many rounds in which all take turns; `cpu_rtf` is of CPU time."""
    workers = [Worker(setting) for setting in settings]
    audio = sum(recording.seconds() for recording in find_recordings(list(files)))
    answers: dict[tuple[int, str], list[dict]] = {}
    # All greedy rounds first: the peak of a process would be that of its beam search.
    for search in ("greedy", "beam"):
        for _ in range(rounds):
            for number, (setting, worker) in enumerate(zip(settings, workers, strict=True)):
                if search in setting.searches:
                    answers.setdefault((number, search), []).append(worker.ask(search, files))
    for worker in workers:
        worker.close()
    return [
        {
            "model": settings[number].model,
            "engine": settings[number].engine,
            "search": search,
            "threads": settings[number].threads,
            "rtf": round(min(answer["seconds"] for answer in of_setting) / audio, 5),
            "cpu_rtf": round(min(answer["cpu_seconds"] for answer in of_setting) / audio, 5),
            "peak_mb": max(answer["peak_mb"] for answer in of_setting),
        }
        for (number, search), of_setting in answers.items()
    ]


def word_error_rates(engines: dict[str, Engine], manifest: Path, root: Path) -> dict[str, float]:
    """Percent, of each engine on a test set."""
    rows = list(read_manifest(manifest))
    recordings = find_recordings([row["wav"].replace("$data_root", str(root), 1) for row in rows])
    rates = {}
    for name, engine in engines.items():
        texts = [outcome.transcript.text for outcome in engine.transcribe_each(recordings)]
        rates[name] = round(100 * align_words([row["wrd"] for row in rows], texts).wer, 3)
    return rates


def starts(commands: dict[str, list[str]], rounds: int) -> dict[str, dict]:
    """Time transcribe.py from start to end with a short file: the best of several rounds, in which all take turns."""
    figures: dict[str, list[dict]] = {name: [] for name in commands}
    for _ in range(rounds):
        for name, arguments in commands.items():
            figures[name].append(run("transcribe", *arguments))
            time.sleep(0.1)
    return {
        name: {key: min(figure[key] for figure in of_command) for key in ("seconds", "cpu_seconds", "peak_mb")}
        for name, of_command in figures.items()
    }
