"""Long recordings made of a test split, and their errors: python -m benchmarks.long_recordings RUN

The utterances of the split are joined without pauses, again and again, until there is as much audio as in the longest
recording. This audio is cut into recordings of each length, so that every row has the same words.
"""

import argparse
import json
import sys
import time
from collections.abc import Callable, Iterator, Sequence
from itertools import cycle
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch

from benchmarks.long_recordings.results import write_part
from data_prep.arguments import ArgumentParser
from recipes.asr.audio import AudioReader
from recipes.errors import RecipeError, command_line
from recipes.inference import Transcriber
from recipes.inference.audio.samples import SAMPLE_RATE
from recipes.inference.long_recordings.pieces import pieces
from recipes.provenance import machine
from recipes.scoring import DecodedUtterance, align_words, decoded_file

PART = "accuracy"
SEARCHES: dict[str, dict] = {"recipe": {}, "greedy": {"test_search": None}}
Transcribe = Callable[[Transcriber, np.ndarray], str]


class Joined(NamedTuple):
    """A recording of several utterances, ``[samples]`` at 16 kHz, and its words."""

    samples: np.ndarray
    words: str


class Mode(NamedTuple):
    """A way to transcribe what is long. context: chunk and chunks to its left, of a stream; None: the whole."""

    name: str
    transcribe: Transcribe
    window: float | None = None
    context: tuple[int, int | None] | None = None

    def load(self, run: Path, settings: dict) -> Transcriber:
        keys = {"test_chunk": self.context[0], "test_left_chunks": self.context[1]} if self.context else {}
        return Transcriber.load(run, device="cpu", settings={**settings, **keys}, window=self.window)


def whole(model: Transcriber, samples: np.ndarray) -> str:
    return model.transcribe(samples, SAMPLE_RATE).text


def cut_at_silences(model: Transcriber, samples: np.ndarray) -> str:
    """Pieces as a search would take them, but each encoded by itself, as if it were an utterance."""
    recognise = model.recognise
    with torch.inference_mode():
        (encoding,) = recognise.encode([torch.from_numpy(samples)])
    bounds = pieces(encoding.log_probs, recognise.frame_seconds, recognise.cuts)
    cut = [samples[start * recognise.hop : end * recognise.hop] for start, end in bounds]
    return " ".join(transcript.text for transcript in model.transcribe(cut, SAMPLE_RATE))


def modes(options: argparse.Namespace) -> list[Mode]:
    listed = [Mode("one pass", whole, window=1e6)]
    listed += [Mode(f"windows of {seconds:g} s", whole, window=seconds) for seconds in options.window]
    listed += [Mode("cut at silences", cut_at_silences, window=1e6)]
    for context in options.context:
        chunk, _, left = context.partition(":")
        if not (chunk.isdigit() and (left or "0").isdigit()):
            raise RecipeError(f"--context {context}: give CHUNK or CHUNK:LEFT_CHUNKS, such as 16 or 16:8")
        name = f"chunks of {chunk}, " + (f"{left} to the left" if left else "all the past")
        listed.append(Mode(name, whole, window=1e6, context=(int(chunk), int(left) if left else None)))
    return listed


def first_minutes(utterances: Sequence[DecodedUtterance], minutes: float) -> list[DecodedUtterance]:
    """Over and over, until there are so many."""
    chosen, seconds = [], 0.0
    for utterance in cycle(utterances):
        if seconds >= 60 * minutes:
            return chosen
        chosen.append(utterance)
        seconds += utterance.duration


def joined(utterances: Sequence[DecodedUtterance], folder: Path, minutes: float) -> Iterator[Joined]:
    """All utterances, joined into recordings of about so many minutes."""
    read, samples, words = AudioReader(), list[np.ndarray](), list[str]()
    for number, utterance in enumerate(utterances, start=1):
        samples.append(read(str(folder / utterance.audio), utterance.id).numpy())
        words.append(utterance.words)
        if sum(map(len, samples)) >= 60 * minutes * SAMPLE_RATE or number == len(utterances):
            yield Joined(np.concatenate(samples), " ".join(words))
            samples, words = [], []


def measure(model: Transcriber, transcribe: Transcribe, recordings: Sequence[Joined]) -> dict:
    """CPU seconds, for on one thread they do not tell of other work on the machine."""
    start = time.process_time()
    texts = [transcribe(model, recording.samples) for recording in recordings]
    seconds = time.process_time() - start
    duration = sum(len(recording.samples) for recording in recordings) / SAMPLE_RATE
    return {
        "recordings": len(recordings),
        "wer": wer([recording.words for recording in recordings], texts),
        "cpu_seconds": round(seconds, 2),
        "rtf": round(seconds / duration, 4),
    }


def wer(references: Sequence[str], hypotheses: Sequence[str]) -> float:
    return round(100 * align_words(references, hypotheses).wer, 2)


@command_line
def main(argv=None):
    parser = ArgumentParser(prog="python -m benchmarks.long_recordings", description=__doc__)
    parser.add_argument("run", type=Path, metavar="RUN", help="a run that was tested on the split; its data in place")
    parser.add_argument("--split", nargs="+", default=["test-clean"])
    parser.add_argument("--search", nargs="+", default=list(SEARCHES), choices=SEARCHES)
    parser.add_argument("--minutes", nargs="+", type=float, default=[1.0, 5.0, 20.0], help="of a recording")
    parser.add_argument("--window", nargs="*", type=float, default=[30.0], help="seconds")
    parser.add_argument("--context", nargs="*", default=[], help="of a stream, CHUNK or CHUNK:LEFT_CHUNKS; greedy CTC")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--out", type=Path, help="results file: replaces its rows of this run, split and search")
    options = parser.parse_args(argv)
    torch.set_num_threads(options.threads)
    rows = []
    name = "/".join(options.run.resolve().parts[-3:])
    for split in options.split:
        tested = DecodedUtterance.read_all(decoded_file(options.run, split))
        utterances = first_minutes(tested, max(options.minutes))
        recordings = {minutes: list(joined(utterances, options.run, minutes)) for minutes in options.minutes}
        references = [utterance.words for utterance in utterances]
        for search in options.search:
            settings = SEARCHES[search]
            alone = [utterance.greedy if search == "greedy" else utterance.hypothesis for utterance in utterances]
            own = {"run": name, "split": split, "search": search}
            rows.append({**own, "mode": "utterances apart", "wer": wer(references, alone)})
            for mode in modes(options):
                if mode.context and search != "greedy":
                    continue
                model = mode.load(options.run, settings)
                mode.transcribe(model, recordings[options.minutes[0]][0].samples)  # the first call of all is slower
                for minutes, chosen in recordings.items():
                    row = {"mode": mode.name, "minutes": minutes, **measure(model, mode.transcribe, chosen)}
                    rows.append({**own, **row})
                    print(json.dumps(rows[-1]), flush=True)
    if options.out:
        values = {"threads": options.threads, "machine": machine("cpu"), "rows": rows}
        write_part(options.out, PART, values, key=("run", "split", "search"))


if __name__ == "__main__":
    sys.exit(main())
