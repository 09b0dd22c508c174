"""Preparation of a corpus as large as LibriSpeech: time and memory, the first time and again."""

import json
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import soundfile

from benchmarks.reliability.programs import ROOT, ProgramFailed

LIBRISPEECH = 281_241  # utterances of its 960 hours
PER_CHAPTER, CHAPTERS_PER_SPEAKER = 50, 3
LINKS = 30_000  # to a file; file systems allow about twice as many
WORDS = "HE HOPED THERE WOULD BE STEW FOR DINNER TURNIPS AND CARROTS AND BRUISED POTATOES AND FAT MUTTON PIECES"


def write_tree(folder: Path, utterances: int) -> None:
    """`folder/train-960/SPK/CHAP/SPK-CHAP-0000.flac`, hard links to short files of noise, and transcripts."""
    split, source = folder / "train-960", None
    for first in range(0, utterances, PER_CHAPTER):
        chapter_number = first // PER_CHAPTER
        speaker, chapter_name = 1000 + chapter_number // CHAPTERS_PER_SPEAKER, 100_000 + chapter_number
        chapter = split / str(speaker) / str(chapter_name)
        chapter.mkdir(parents=True)
        names = [f"{speaker}-{chapter_name}-{n:04d}" for n in range(min(PER_CHAPTER, utterances - first))]
        for name in names:
            if source is None or os.stat(source).st_nlink >= LINKS:
                source = chapter / f"{name}.flac"
                write_noise(source)
            else:
                os.link(source, chapter / f"{name}.flac")
        transcript = "".join(f"{name} {WORDS}\n" for name in names)
        (chapter / f"{speaker}-{chapter_name}.trans.txt").write_text(transcript)


def write_noise(path: Path) -> None:
    soundfile.write(path, 0.01 * np.random.default_rng(0).standard_normal(1600), 16000, subtype="PCM_16")


def measure_manifests(folder: Path, utterances: int = LIBRISPEECH) -> dict:
    """Figures of `python -m data_prep.librispeech`, the first time and again. The files lie in the page cache."""
    write_tree(folder / "corpus", utterances)
    first, again = (prepare(folder) for _ in range(2))
    lines = (folder / "manifests" / "train-960.csv").read_bytes().count(b"\n")
    if lines != utterances + 1:
        raise ProgramFailed(f"the manifest has {lines} lines for {utterances} utterances")
    return {"utterances": utterances, **first, "again": again}


# A process inherits the peak memory of the one that starts it: it is started by a small one.
LAUNCHER = """
import json, os, subprocess, sys, time
begun = time.monotonic()
process = subprocess.Popen(sys.argv[1:], stdout=subprocess.DEVNULL)
_, status, usage = os.wait4(process.pid, 0)
print(json.dumps([status, time.monotonic() - begun, usage.ru_utime + usage.ru_stime, usage.ru_maxrss]))
"""


def prepare(folder: Path) -> dict:
    """Wall time, CPU time, and peak memory of the process. Raises ProgramFailed."""
    command = [sys.executable, "-m", "data_prep.librispeech", str(folder / "corpus"), str(folder / "manifests")]
    launcher = [sys.executable, "-S", "-c", LAUNCHER, *command]
    done = subprocess.run(launcher, cwd=ROOT, capture_output=True, text=True, check=True)
    status, seconds, cpu_seconds, peak = json.loads(done.stdout)
    if status:
        raise ProgramFailed(f"data_prep.librispeech: {done.stderr}")
    return {
        "seconds": round(seconds, 1),
        "cpu_seconds": round(cpu_seconds, 1),
        "peak_mb": round(peak / (2**20 if sys.platform == "darwin" else 2**10)),
    }
