"""Preparation of a corpus as large as LibriSpeech, and a training up to its first batch: time and memory."""

from pathlib import Path

from benchmarks.preparation.corpus import TRAIN
from benchmarks.preparation.measure import measure

LIBRISPEECH = sum(TRAIN.values())  # utterances of its 960 hours


def measure_manifests(folder: Path, utterances: int = LIBRISPEECH, trains: bool = True) -> dict:
    """Figures of `benchmarks.preparation`. trains: start a training too."""
    figures = measure(utterances, folder, trains)
    starts = {}
    for start in ("first_batch", "restart") if trains else ():
        starts |= {f"{start}_seconds": figures[start]["seconds"], f"{start}_mb": figures[start]["peak_mb"]}
        starts |= {f"{start}_worker_mb": figures[start]["worker_mb"]}
        starts |= {f"{start}_cpu_seconds": figures[start]["cpu_seconds"]}
    return {"utterances": figures["utterances"], **figures["first"], "again": figures["again"], **starts}
