"""One long recording, made of a test split: errors and time by search and window: python -m benchmarks.long_recordings

The utterances of the split, one after the other without a pause more, over and over for longer recordings.
"""

import argparse
import json
import sys
import time
from itertools import cycle
from pathlib import Path

import numpy as np
import soundfile
import torch

from recipes.errors import command_line
from recipes.files import write_json
from recipes.inference import Transcriber
from recipes.provenance import peak_memory_mb
from recipes.scoring import DecodedUtterance, align_words, decoded_file

SEARCHES = {"recipe": {}, "greedy": {"test_search": None}}


def joined(utterances: list[DecodedUtterance], folder: Path, minutes: float) -> tuple[np.ndarray, str]:
    """Samples at 16 kHz and words of utterances one after the other, of about so many minutes, or of all once for 0."""
    samples, words, length = [], [], 0.0
    for utterance in cycle(utterances) if minutes else utterances:
        samples.append(soundfile.read(folder / utterance.audio, dtype="float32")[0])
        words.append(utterance.words)
        length += len(samples[-1]) / 16000
        if minutes and length >= 60 * minutes:
            break
    return np.concatenate(samples), " ".join(words)


def measure(model: Transcriber, samples: np.ndarray, words: str) -> dict:
    """CPU seconds, for on one thread they do not tell of other work on the machine."""
    start = time.process_time()
    transcript = model.transcribe(samples, 16000)
    seconds = time.process_time() - start
    return {
        "minutes": round(transcript.duration / 60, 2),
        "wer": round(100 * align_words([words], [transcript.text]).wer, 2),
        "cpu_seconds": round(seconds, 2),
        "rtf": round(seconds / transcript.duration, 4),
        "peak_mb": peak_memory_mb(),
    }


@command_line
def main(argv=None):
    parser = argparse.ArgumentParser(prog="python -m benchmarks.long_recordings", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run that was tested on the split; its data in place")
    parser.add_argument("--split", default="test-clean")
    parser.add_argument("--minutes", nargs="+", type=float, default=[0.0], help="0: the split once")
    parser.add_argument("--window", nargs="+", type=float, default=[0.0, 40.0], help="0: one pass")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    utterances = DecodedUtterance.read_all(decoded_file(options.run, options.split))
    rows = []
    for search, settings in SEARCHES.items():
        for window in options.window:
            model = Transcriber.load(options.run, device="cpu", settings=settings, window=window or None)
            model.transcribe(options.run / utterances[0].audio)  # the first call of all is slower
            for minutes in options.minutes:
                samples, words = joined(utterances, options.run, minutes)
                rows.append({"search": search, "window": window, **measure(model, samples, words)})
                print(json.dumps(rows[-1]), flush=True)
    if options.out:
        write_json(options.out, {"threads": options.threads, "rows": rows})


if __name__ == "__main__":
    sys.exit(main())
