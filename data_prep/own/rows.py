"""A row of a user's manifest, whatever its format."""

import math
import re
from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from data_prep.text import is_utf8

# Names of columns or keys, by what they hold: SpeechBrain's, Hugging Face's, NeMo's and plain ones.
NAMES = {
    "id": ("id", "ID", "utt_id", "utterance"),
    "audio": ("audio", "wav", "path", "audio_path", "audio_filepath", "file"),
    "text": ("text", "wrd", "words", "transcript", "transcription", "sentence"),
    "speaker": ("speaker", "spk_id", "speaker_id", "spk"),
    "start": ("start", "offset"),
    "end": ("end", "stop"),
    "duration": ("duration",),
}
NEEDED = ("audio", "text")
LIBRISPEECH = re.compile(r"\d+-\d+")  # speaker and chapter


class Row(NamedTuple):
    """An utterance. place: file and line. id, speaker: empty where none is given. start, end: seconds, or None.

    channels: of the file, how many are the utterance's; None: all.
    """

    place: str
    audio: str
    text: str
    id: str = ""
    speaker: str = ""
    start: float | None = None
    end: float | None = None
    channels: int | None = None


class BadRow(NamedTuple):
    """A row that says too little, and why."""

    place: str
    reason: str


def row_of(place: str, values: Mapping[str, object]) -> Row | BadRow:
    """The row that these values, by the name of the column or key, say."""
    fields = {field: _first(values, names) for field, names in NAMES.items()}
    try:
        texts = {field: _text(field, fields[field]) for field in ("audio", "text", "id", "speaker")}
        start, end, duration = (_seconds(field, fields[field]) for field in ("start", "end", "duration"))
    except ValueError as error:
        return BadRow(place, str(error))
    if LIBRISPEECH.fullmatch(texts["speaker"]) and "spk_id" in values:  # as SpeechBrain and this project write it
        texts["speaker"] = texts["speaker"].partition("-")[0]
    if not texts["audio"]:
        return BadRow(place, "no audio")
    if end is None and start is not None and duration is not None:
        end = start + duration
    return Row(place, **texts, start=start, end=end)


def missing_fields(names: object) -> list[str]:
    """What every row must say and no column of these names does, with the names that it could have."""
    return [f"{field} ({', '.join(NAMES[field])})" for field in NEEDED if not set(NAMES[field]) & set(names)]


def named_twice(names: Sequence[str]) -> list[str]:
    """Names that rows are read by and that two columns have; others may stand there twice."""
    read = {name for of_field in NAMES.values() for name in of_field}
    return [name for name, count in Counter(names).items() if count > 1 and name in read]


def _first(values: Mapping[str, object], names: tuple[str, ...]) -> object:
    return next((values[name] for name in names if values.get(name) is not None), None)


def _text(field: str, value: object) -> str:
    if value is None:
        return ""
    if isinstance(value, bool) or not isinstance(value, str | int | float):
        raise ValueError(f"{field} is no text")
    text = str(value).strip()
    if not is_utf8(text):  # half an emoji, as JSON may hold it
        raise ValueError(f"{field} holds a broken character")
    return text


def _seconds(field: str, value: object) -> float | None:
    if value is None or value == "":
        return None
    try:
        seconds = float(value)
    except (TypeError, ValueError):
        seconds = math.nan
    if not math.isfinite(seconds):
        raise ValueError(f"{field} is no number of seconds")
    return seconds
