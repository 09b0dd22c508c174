"""Transcripts as files: plain text, JSON, subtitles (SRT, WebVTT), and NIST's CTM. Imports no torch."""

import html
import json
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path

from data_prep.errors import DISK_FULL
from data_prep.files import write_atomically
from recipes.errors import RecipeError
from recipes.inference.transcripts.transcript import Transcript, Word
from recipes.inference.transcripts.unspaced import columns, glue
from recipes.scoring.records import to_json

# Of a subtitle: the habits of broadcasters, two lines of 42 characters (21 wide ones, as in Chinese) that can be read
# in the time they stand.
LINE, LINES = 42, 2
LONGEST_CUE = 6.0  # seconds
PAUSE = 0.8  # seconds of silence between words that end a cue
DECIMALS = 3


def as_text(transcript: Transcript) -> str:
    """The text in one line."""
    return f"{transcript.text}\n"


def as_json(transcript: Transcript) -> str:
    """One object in one line: the fields of `Transcript`, times in seconds."""
    return json.dumps(rounded(to_json(transcript)), ensure_ascii=False) + "\n"


def as_srt(transcript: Transcript) -> str:
    blocks = [
        f"{number}\n{clock(cue[0].start, ',')} --> {clock(end_of(cue), ',')}\n{wrapped(cue)}\n"
        for number, cue in enumerate(cues(transcript.words), start=1)
    ]
    return "\n".join(blocks)


def as_vtt(transcript: Transcript) -> str:
    blocks = [
        f"{clock(cue[0].start, '.')} --> {clock(end_of(cue), '.')}\n{html.escape(wrapped(cue), quote=False)}\n"
        for cue in cues(transcript.words)
    ]
    return "\n".join(["WEBVTT\n", *blocks])


def as_ctm(transcript: Transcript) -> str:
    """A line for each word: recording, channel, start, duration, word, confidence."""
    recording = "_".join(transcript.id.split())
    lines = [
        f"{recording} 1 {word.start:.2f} {word.end - word.start:.2f} {word.text} {word.confidence:.3f}\n"
        for word in transcript.words
    ]
    return "".join(lines)


FORMATS: dict[str, Callable[[Transcript], str]] = {
    "txt": as_text,
    "json": as_json,
    "srt": as_srt,
    "vtt": as_vtt,
    "ctm": as_ctm,
}
ONE_RECORDING = ("srt", "vtt")  # which know no second one in a file


def transcript_file(folder: Path, name: str, form: str) -> Path:
    """Where the transcript of the recording with this ID is written."""
    return folder / f"{name}.{form}"


def write_transcript(transcript: Transcript, folder: Path, form: str) -> Path:
    """Write `folder/ID.FORMAT` and return its path; folders in the ID are made.

    Raises RecipeError where this file cannot be written, and OSError where the disk is full.
    """
    path = transcript_file(folder, transcript.id, form)
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        write_atomically(path, FORMATS[form](transcript))
    except OSError as error:
        if error.errno in DISK_FULL:
            raise
        raise RecipeError(f"{path} cannot be written: {error.strerror or error}; give another --out") from None
    return path


def cues(words: Iterable[Word]) -> Iterator[list[Word]]:
    """Words in groups that stand on a screen together."""
    cue: list[Word] = []
    for word in words:
        if cue and (
            word.start - cue[-1].end >= PAUSE
            or word.end - cue[0].start > LONGEST_CUE
            or len(lines([*cue, word])) > LINES
        ):
            yield cue
            cue = []
        cue.append(word)
    if cue:
        yield cue


def end_of(cue: list[Word]) -> float:
    """In seconds; of a single word that is said for longer, when it has been read."""
    return min(cue[-1].end, cue[0].start + LONGEST_CUE)


def lines(words: list[Word]) -> list[str]:
    """The words in lines of at most ``LINE`` columns; a wider word has a line of its own."""
    filled: list[str] = []
    for word in words:
        longer = filled[-1] + glue(filled[-1], word.text) + word.text if filled else word.text
        if filled and columns(longer) <= LINE:
            filled[-1] = longer
        else:
            filled.append(word.text)
    return filled


def wrapped(cue: list[Word]) -> str:
    return "\n".join(lines(cue))


def clock(seconds: float, point: str) -> str:
    """`01:02:03,456`."""
    milliseconds = round(seconds * 1000)
    minutes, milliseconds = divmod(milliseconds, 60_000)
    return f"{minutes // 60:02d}:{minutes % 60:02d}:{milliseconds // 1000:02d}{point}{milliseconds % 1000:03d}"


def rounded(value: object) -> object:
    """The same plain values, with numbers of few decimals."""
    if isinstance(value, float):
        return round(value, DECIMALS)
    if isinstance(value, dict):
        return {name: rounded(item) for name, item in value.items()}
    return [rounded(item) for item in value] if isinstance(value, list) else value
