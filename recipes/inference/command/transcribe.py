"""What transcribe.py does: load, transcribe, write. torch is imported only where it is needed."""

import os
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from tqdm import tqdm

from recipes.errors import RecipeError
from recipes.inference.audio.recordings import Recording, find_recordings
from recipes.inference.command.options import Request
from recipes.inference.recognition.engine import Engine
from recipes.inference.transcripts.formats import FORMATS, ONE_RECORDING, transcript_file, write_transcript
from recipes.inference.transcripts.transcript import Transcript


def load_engine(request: Request) -> Engine:
    """The engine that the command line asks for: a run or release, or with ``--onnx`` an exported model."""
    if request.own.onnx is not None:
        from recipes.inference.command.exported import load_onnx_engine

        return load_onnx_engine(request.own, request.rest)
    from recipes.inference.command.run import load_transcriber

    transcriber = load_transcriber(request.own, request.rest)
    transcriber.check_nbest(request.own.nbest)
    return transcriber


def transcribe(engine: Engine, request: Request) -> None:
    """Transcribe all, and raise RecipeError at the end where some could not be."""
    own = request.own
    recordings = find_recordings(request.audio, own.rate)
    several = len(recordings) > 1
    if several and own.format in ONE_RECORDING and own.out is None:
        raise RecipeError(f"--format {own.format} of {len(recordings)} recordings needs files: give --out FOLDER")
    if own.out is not None:
        check_writable(own.out)
        check_beside_audio(recordings, own.out, own.format)
    seconds = [recording.seconds() for recording in recordings]
    for line in engine.describe(max(seconds)):
        print(line, file=sys.stderr)
    failed = 0
    with progress(sum(seconds), own.noprogressbar) as bar:
        for outcome in engine.transcribe_each(recordings, nbest=own.nbest, on_progress=bar.update):
            error = outcome.error
            if outcome.transcript is not None and own.out is None:
                bar.write(on_screen(outcome.recording, outcome.transcript, own.format, several), end="")
            elif outcome.transcript is not None:
                try:
                    write_transcript(outcome.transcript, own.out, own.format)
                except RecipeError as unwritten:
                    error = unwritten
            if error is not None and not several:
                raise error
            if error is not None:
                failed += 1
                bar.write(f"error: {error}", file=sys.stderr)
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


def check_beside_audio(recordings: Sequence[Recording], folder: Path, form: str) -> None:
    """Raises RecipeError where a file beside the audio would be written over: what a person heard, it may be."""
    with_audio = {Path(recording.path).parent.resolve() for recording in recordings if recording.path is not None}
    for recording in recordings:
        path = transcript_file(folder, recording.id, form)
        if path.exists() and path.parent.resolve() in with_audio:
            raise RecipeError(f"--out {folder}: {path} lies beside the audio and would be lost: give another folder")
