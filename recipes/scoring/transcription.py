"""What decoding an utterance gave, and its line in `decoded_<split>.jsonl`."""

import os
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.manifest import located, read_manifest, speaker_of
from recipes.scoring.results import DecodedUtterance, ScoredText


class Transcription(NamedTuple):
    """One utterance of a test set: reference words, what the search returned (best first), and greedy CTC."""

    id: str
    words: str
    nbest: list[ScoredText]
    greedy: str

    @property
    def hypothesis(self) -> str:
        return self.nbest[0].text


def decoded_utterances(
    transcriptions: Sequence[Transcription], manifest: Path, root: Path, folder: Path, nbest: int = 1
) -> list[DecodedUtterance]:
    """The lines of `decoded_<split>.jsonl`, in the order of the transcriptions.

    Speakers are those of the manifest; where the corpus names none, every utterance stands for itself. root: the
    corpus that `$data_root` in the manifest stands for; folder: that of the file, which the audio's path is relative
    to. nbest: sentences to keep with their scores, none beside the best where 1.
    """
    rows = {row["ID"]: row for row in read_manifest(manifest)}
    utterances = []
    for transcription in transcriptions:
        row = rows[transcription.id]
        audio = located(row["wav"], root)
        utterance = DecodedUtterance(
            id=transcription.id,
            speaker=speaker_of(row["spk_id"]) or transcription.id,
            duration=float(row["duration"]),
            audio=Path(os.path.relpath(audio, folder)).as_posix(),
            words=transcription.words,
            hypothesis=transcription.hypothesis,
            greedy=transcription.greedy,
            score=transcription.nbest[0].score,
            nbest=distinct(transcription.nbest)[:nbest] if nbest > 1 else None,
        )
        utterances.append(utterance)
    return utterances


def distinct(nbest: Sequence[ScoredText]) -> list[ScoredText]:
    """Without what spells an earlier text in other pieces."""
    best: dict[str, ScoredText] = {}
    for scored in nbest:
        best.setdefault(scored.text, scored)
    return list(best.values())
