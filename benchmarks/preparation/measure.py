"""Time and memory of programs, in processes of their own, on a corpus that is made and removed."""

import json
import subprocess
import sys
import tempfile
from pathlib import Path

from benchmarks.preparation.corpus import TRAIN, write_corpus

ROOT = Path(__file__).parents[2]
LAST_LINES = 5  # of a program that failed

# A process inherits the peak memory of the one that starts it: it is started by a small one.
LAUNCHER = """
import json, os, subprocess, sys, time
begun = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([status, time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


class ProgramFailed(RuntimeError):
    """A program ended with an error. The message has its last lines."""


def run(*command: str) -> dict[str, float]:
    """Wall and CPU time, and peak memory, of a module and its arguments. Raises ProgramFailed."""
    launcher = [sys.executable, "-S", "-c", LAUNCHER, sys.executable, "-m", *command]
    done = subprocess.run(launcher, cwd=ROOT, capture_output=True, text=True, check=True)
    status, seconds, cpu_seconds, peak = json.loads(done.stdout)
    if status:
        raise ProgramFailed("\n".join([f"{command[0]} failed", *done.stderr.splitlines()[-LAST_LINES:]]))
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "peak_mb": round(peak / unit),
    }


def prepare(folder: Path) -> dict[str, float]:
    """Prepare all splits, by the command that users give."""
    return run("data_prep.librispeech", str(folder), str(folder / "manifests"))


def first_batch(folder: Path, *options: str) -> dict[str, float]:
    """Measure train.py, with these options, from its start to the first batch in the training loop.

    peak_mb is that of the main process and worker_mb that of the largest of its two loading processes.
    """
    out = folder / "first_batch.json"
    usage = run("benchmarks.preparation.first_batch", str(out), str(folder), str(folder / "run"), *options)
    return usage | json.loads(out.read_text(encoding="utf-8"))


def measure(utterances: int, folder: Path | None = None, trains: bool = True) -> dict:
    """`first`, `again`: of the preparation; where it `trains`, `first_batch`: with manifests and tokenizer made anew,
    and `restart`: with those that are there.

    folder: where the corpus is made and removed again. Files are read from memory, since they have just been written.
    """
    if folder is not None:
        folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="preparation-", dir=folder) as temporary:
        corpus = Path(temporary)
        write_corpus(corpus, utterances)
        figures = {"first": prepare(corpus), "again": prepare(corpus)}
        if trains:
            figures |= {"first_batch": first_batch(corpus), "restart": first_batch(corpus)}
        reports = [json.loads((corpus / "manifests" / f"{split}.json").read_text()) for split in TRAIN]
    return {"utterances": sum(report["utterances"] for report in reports), **figures}
