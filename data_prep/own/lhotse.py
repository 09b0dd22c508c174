"""Rows of a cut manifest of Lhotse (JSONL), read without Lhotse. Each supervision of a cut is an utterance.

The format is that of lhotse.CutSet.to_jsonl: https://lhotse.readthedocs.io/en/latest/cuts.html
"""

from collections.abc import Iterator, Mapping

from data_prep.own.rows import BadRow, Row, row_of

ROUNDING = 1e-3  # seconds; Lhotse rounds


def is_cut(values: Mapping) -> bool:
    """Whether a line is a cut, of any kind."""
    return str(values.get("type", "")).endswith("Cut") or "supervisions" in values or "tracks" in values


def not_cuts(values: Mapping) -> str | None:
    """What a line of Lhotse's other manifests is of."""
    return "recordings" if "sources" in values else "supervisions" if "recording_id" in values else None


def cut_rows(place: str, cut: Mapping) -> Iterator[Row | BadRow]:
    """The utterances of a cut of a single recording. What Lhotse would compute (mixed, sped up) is refused."""
    if "tracks" in cut or cut.get("type") == "MixedCut":
        yield BadRow(place, "a mixed cut: only cuts of one recording are read")
        return
    recording = cut.get("recording")
    sources = recording.get("sources") if isinstance(recording, Mapping) else None
    if not isinstance(sources, list) or not all(isinstance(source, Mapping) for source in sources) or not sources:
        yield BadRow(place, "a cut without its recording")
        return
    if recording.get("transforms"):
        yield BadRow(place, "a cut of changed audio (transforms): give the cuts before augmentation")
        return
    if len(sources) > 1 or sources[0].get("type") != "file":
        yield BadRow(place, f"audio in {len(sources)} sources of type {sources[0].get('type')}: one file is needed")
        return
    supervisions = cut.get("supervisions") or []
    if not isinstance(supervisions, list) or not all(isinstance(item, Mapping) for item in supervisions):
        yield BadRow(place, "supervisions that are no list")
        return
    if not supervisions:
        yield BadRow(place, "a cut without supervision")
    for supervision in supervisions:
        yield _utterance(place, cut, supervision, recording, sources[0])


def _utterance(place: str, cut: Mapping, supervision: Mapping, recording: Mapping, source: Mapping) -> Row | BadRow:
    values = {
        "id": supervision.get("id") or cut.get("id"),
        "audio": source.get("source"),
        "text": supervision.get("text") or "",
        "speaker": supervision.get("speaker"),
    }
    try:
        start = float(cut.get("start", 0.0)) + float(supervision.get("start", 0.0))
        end = start + float(supervision.get("duration", cut["duration"]))
        whole = abs(start) < ROUNDING and abs(end - float(recording["duration"])) < ROUNDING
    except (KeyError, TypeError, ValueError):
        return BadRow(place, "a cut without start and duration")
    row = row_of(place, values if whole else {**values, "start": start, "end": end})
    channel = supervision.get("channel", cut.get("channel"))
    channels = len(channel) if isinstance(channel, list) else int(channel is not None)
    return row._replace(channels=channels or None) if isinstance(row, Row) else row
