"""Time and memory of the preparation of a corpus of LibriSpeech's size: python -m benchmarks.preparation

Makes a corpus of tiny FLAC files (hard links to a few) in a new folder, prepares it twice, each time by the command
`python -m data_prep.librispeech` in a process of its own, and removes it. The first time every header is read, from
memory, since the files have just been written; the second time nothing has changed.
"""

import argparse
import json
import os
import random
import subprocess
import sys
import tempfile
import time
from pathlib import Path

import numpy as np
import soundfile

SPLITS = {"train-clean-100": 28_539, "train-clean-360": 104_014, "train-other-500": 148_688}  # utterances
UTTERANCES_PER_CHAPTER = 54
WORDS = [f"WORD{number}" for number in range(1000)]
WORDS_PER_UTTERANCE = (10, 58)
DIFFERENT_FILES = 64


def write_corpus(folder: Path, utterances: int) -> None:
    """A corpus with so many utterances, shared out among SPLITS, in `folder`; the same every time."""
    generator, files, chapter = random.Random(0), _write_audio(folder / "audio"), 0
    for split, size in SPLITS.items():
        size = round(size * utterances / sum(SPLITS.values()))
        for start in range(0, size, UTTERANCES_PER_CHAPTER):
            chapter += 1
            name = f"{chapter // 2}-{100_000 + chapter}"
            place = folder / "LibriSpeech" / split / name.replace("-", "/")
            place.mkdir(parents=True)
            lines = []
            for number in range(min(UTTERANCES_PER_CHAPTER, size - start)):
                os.link(generator.choice(files), f"{place}/{name}-{number:04d}.flac")
                words = generator.choices(WORDS, k=generator.randint(*WORDS_PER_UTTERANCE))
                lines.append(f"{name}-{number:04d} {' '.join(words)}\n")
            (place / f"{name}.trans.txt").write_text("".join(lines))


def _write_audio(folder: Path) -> list[Path]:
    folder.mkdir(parents=True)
    files = [folder / f"{number}.flac" for number in range(DIFFERENT_FILES)]
    for number, file in enumerate(files):
        soundfile.write(file, np.random.default_rng(number).uniform(-0.1, 0.1, 400 + 50 * number), 16000)
    return files


def prepare(folder: Path) -> dict:
    """Wall and CPU seconds, and the highest resident memory (MiB), of a preparation of the corpus in `folder`."""
    command = [sys.executable, "-m", "data_prep.librispeech", str(folder), str(folder / "manifests")]
    root = Path(__file__).resolve().parents[1]
    start = time.perf_counter()
    process = subprocess.Popen(command, cwd=root, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL)
    _, status, usage = os.wait4(process.pid, 0)
    process.returncode = os.waitstatus_to_exitcode(status)
    if process.returncode:
        raise subprocess.CalledProcessError(process.returncode, command)
    unit = 2**20 if sys.platform == "darwin" else 2**10
    return {
        "seconds": round(time.perf_counter() - start, 2),
        "cpu_seconds": round(usage.ru_utime + usage.ru_stime, 2),
        "peak_mb": round(usage.ru_maxrss / unit, 1),
    }


def measure(utterances: int, folder: Path | None = None) -> dict:
    """`first` and `again`, each as `prepare` gives it. folder: where the corpus is made and removed again."""
    with tempfile.TemporaryDirectory(prefix="preparation-", dir=folder) as corpus:
        write_corpus(Path(corpus), utterances)
        first, again = prepare(Path(corpus)), prepare(Path(corpus))
        reports = [json.loads(path.read_text()) for path in Path(corpus, "manifests").glob("*.json")]
    return {"utterances": sum(report["utterances"] for report in reports), "first": first, "again": again}


def main(argv=None) -> int:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.preparation", description=__doc__)
    parser.add_argument("--utterances", type=int, default=sum(SPLITS.values()), help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where the corpus is made (default: the system's temporary folder)")
    options = parser.parse_args(argv)
    print(json.dumps(measure(options.utterances, options.folder)))
    return 0


if __name__ == "__main__":
    sys.exit(main())
