"""The command line of transcribe.py: its options, its outputs, what it says. torch comes in only with what needs it."""

import argparse
import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import NamedTuple

from tqdm import tqdm

from recipes.errors import RecipeError
from recipes.inference.engine import Engine
from recipes.inference.formats import FORMATS, ONE_RECORDING, write_transcript
from recipes.inference.recordings import Recording, find_recordings
from recipes.inference.transcript import Transcript

DESCRIPTION = """\
Transcribe recordings with a run that train.py left. The folder of the run comes first, then the audio: files, folders,
patterns ("talks/**/*.mp3"), or - for standard input. Options come last. Any rate, number of channels and format that
libsndfile reads will do. Keys of the recipe that say how to decode may be given as to evaluate.py:
--test_search.beam 20, --test_search null (greedy CTC), --lm_folder runs/lm; and SpeechBrain's run options --device
and --eval_precision."""


class Request(NamedTuple):
    """A command line: transcribe.py's own options, and what is left for the recipe and SpeechBrain."""

    own: argparse.Namespace
    rest: list[str]

    @property
    def audio(self) -> list[str]:
        """With an exported model there is no run before the audio."""
        first = [self.own.run] if self.own.onnx and self.own.run else []
        return [*first, *self.own.audio]

    @property
    def streams(self) -> bool:
        return self.own.stream or self.own.microphone


def parser() -> argparse.ArgumentParser:
    result = argparse.ArgumentParser(
        prog="transcribe.py",
        description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("run", nargs="?", metavar="RUN", help="a folder that train.py wrote")
    add("audio", nargs="*", metavar="AUDIO", help="files, folders, patterns, or -")
    add("--format", default="txt", choices=FORMATS, help="what is written (default: txt)")
    add("--out", type=Path, metavar="FOLDER", help="one file a recording, in this folder; without it, on the screen")
    add("--nbest", type=int, default=1, metavar="N", help="keep the N best readings, at most the beam (format json)")
    add("--ngram", type=Path, help="CTC search with this word n-gram in place of the recipe's search")
    add("--average", help="weights: best-5, last-5, or epochs 3-7; without it, those of the run's own test")
    add("--window", type=float, metavar="SECONDS", help="encode what is longer in overlapping windows of this length")
    add("--piece", type=float, metavar="SECONDS", help="search what is longer in pieces of at most this length")
    add("--batch_seconds", type=float, metavar="SECONDS", help="padded audio computed at once (default: 100)")
    add("--rate", type=int, metavar="HZ", help="of bare samples on standard input: 16-bit, little-endian, one channel")
    add("--threads", type=int, metavar="N", help="of the CPU")
    add("--noprogressbar", action="store_true")
    add("--stream", action="store_true", help="as a live stream: text while audio comes, with times")
    add("--microphone", action="store_true", help="stream what the microphone hears")
    add("--chunk", type=int, default=16, metavar="FRAMES", help="of a stream, 40 ms each (default: 16)")
    add("--left_chunks", type=int, metavar="N", help="that a chunk of a stream sees before it (default: all)")
    add("--rescore", action="store_true", help="search what a stream heard at the end of each utterance")
    add("--onnx", type=Path, metavar="FILE", help="an exported model in place of a run")
    return result


def parse(argv: Sequence[str]) -> Request:
    """Raises RecipeError for what cannot be; what is left over is for the recipe."""
    own, rest = parser().parse_known_args(argv)
    request = Request(own, rest)
    if not request.audio and not own.microphone:
        raise RecipeError("no audio to transcribe: give RUN, then files, folders, patterns or -, then options")
    for name in ("nbest", "rate", "threads"):
        value = getattr(own, name)
        if value is not None and value < 1:
            raise RecipeError(f"--{name} must be 1 or more, not {value}")
    for name in ("window", "piece", "batch_seconds"):
        value = getattr(own, name)
        if value is not None and not value > 0:
            raise RecipeError(f"--{name} must be a number of seconds above 0, not {value:g}")
    if own.onnx is not None and request.streams:
        raise RecipeError("--onnx takes whole recordings: a stream needs a run")
    if own.nbest > 1 and own.format != "json":
        raise RecipeError(f"--nbest {own.nbest}: only --format json holds more than the best reading")
    return request


def load_engine(request: Request) -> Engine:
    """What the command line asks to transcribe with."""
    if request.own.onnx is not None:
        from recipes.inference.onnx_engine import load_onnx_engine

        return load_onnx_engine(request.own, request.rest)
    from recipes.inference.command_run import load_transcriber

    return load_transcriber(request.own, request.rest)


def transcribe(engine: Engine, request: Request) -> None:
    """Transcribe all, and raise RecipeError at the end where some could not be."""
    own = request.own
    recordings = find_recordings(request.audio, own.rate)
    several = len(recordings) > 1
    if several and own.format in ONE_RECORDING and own.out is None:
        raise RecipeError(f"--format {own.format} of {len(recordings)} recordings needs files: give --out FOLDER")
    if own.out is not None:
        check_writable(own.out)
    seconds = [recording.seconds() for recording in recordings]
    for line in engine.describe(max(seconds)):
        print(line, file=sys.stderr)
    failed = 0
    with progress(sum(seconds), own.noprogressbar) as bar:
        for outcome in engine.transcribe_each(recordings, nbest=own.nbest, on_progress=bar.update):
            if outcome.transcript is None:
                if not several and outcome.error is not None:
                    raise outcome.error
                failed += 1
                bar.write(f"error: {outcome.error}", file=sys.stderr)
            elif own.out is not None:
                write_transcript(outcome.transcript, own.out, own.format)
            else:
                bar.write(on_screen(outcome.recording, outcome.transcript, own.format, several), end="")
    if failed:
        raise RecipeError(f"{failed} of {len(recordings)} recordings could not be transcribed; they are named above")
    if own.out is not None:
        print(f"{len(recordings)} transcripts in {own.out}", file=sys.stderr)


def on_screen(recording: Recording, transcript: Transcript, form: str, several: bool) -> str:
    """Plain text says whose it is where there are several."""
    text = FORMATS[form](transcript)
    return f"{recording.name}\t{text}" if several and form == "txt" else text


@contextmanager
def progress(seconds: float, quiet: bool) -> Iterator[tqdm]:
    """A bar of the seconds of audio that are done, where someone is looking."""
    quiet = quiet or not sys.stderr.isatty()
    bar = tqdm(total=round(seconds, 1), unit=" s of audio", disable=quiet, leave=False, smoothing=0)
    with bar:
        yield bar


def check_writable(folder: Path) -> None:
    """Make the folder, before there is anything to lose. Raises RecipeError where nothing can be written."""
    try:
        folder.mkdir(parents=True, exist_ok=True)
    except OSError as error:
        raise RecipeError(f"--out {folder}: {error.strerror}; give another folder") from None
    if not os.access(folder, os.W_OK | os.X_OK):
        raise RecipeError(f"--out {folder}: no permission to write there; give another folder")
