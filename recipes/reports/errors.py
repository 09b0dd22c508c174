"""What a run got wrong, from its ``decoded_<split>.jsonl``: by utterance, speaker, length and word."""

import json
import shlex
from collections import Counter, defaultdict
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from jiwer import AlignmentChunk

from recipes.errors import RecipeError
from recipes.scoring.significance import bootstrap_interval
from recipes.scoring.wer import align_words

FIELDS = {
    "id": str,
    "speaker": str,
    "duration": (int, float),
    "audio": str,
    "words": str,
    "hypothesis": str,
    "greedy": str,
    "score": (int, float, type(None)),
}
LENGTH_STEPS = (0.5, 1, 2, 5, 10, 20, 60)  # seconds
MOST_BINS = 8
LEAST_FOR_AN_INTERVAL = 10  # utterances; fewer say too little about their spread


class Utterance(NamedTuple):
    """One decoded utterance with its alignment; the words are those that the alignment's indices count."""

    id: str
    speaker: str
    duration: float  # seconds
    audio: str  # path relative to the run's folder
    words: list[str]
    hypothesis: list[str]
    alignment: list[AlignmentChunk]
    greedy: str
    score: float | None  # joint log probability

    def pairs(self) -> list[tuple[str | None, str | None]]:
        """(said, recognised) word by word; None on the side where a word has no counterpart."""
        pairs = []
        for chunk in self.alignment:
            said = self.words[chunk.ref_start_idx : chunk.ref_end_idx] or [None]
            heard = self.hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx] or [None]
            length = max(len(said), len(heard))
            pairs += zip(said * (length // len(said)), heard * (length // len(heard)), strict=True)
        return pairs

    def counts(self) -> tuple[int, int, int]:
        """Substitutions, deletions, insertions."""
        wrong = [(said, heard) for said, heard in self.pairs() if said != heard]
        deletions, insertions = (
            sum(heard is None for _, heard in wrong),
            sum(said is None for said, _ in wrong),
        )
        return len(wrong) - deletions - insertions, deletions, insertions

    def errors(self) -> int:
        return sum(self.counts())

    def wer(self) -> float:
        """Percent; without words, as if there had been one."""
        return 100 * self.errors() / max(len(self.words), 1)


class Group(NamedTuple):
    """Utterances that have something in common, and their errors together."""

    name: str
    utterances: int
    words: int
    errors: int
    wer: float | None  # percent; None without words
    seconds: float  # mean length
    interval: tuple[float, float] | None  # percent, 95 % bootstrap; None for few utterances


class Words(NamedTuple):
    """How often words were said, missed, and recognised where not said; and what was taken for what."""

    said: Counter
    missed: Counter
    wrong: Counter
    swaps: Counter  # (said, recognised)
    deleted: Counter
    inserted: Counter


def evaluation(folder: Path, summary: dict | None = None) -> str:
    """The command that decodes again what is in a run's folder, or in that of one of its evaluations."""
    if summary and "decoded_by" in summary:
        return summary["decoded_by"]
    if folder.parent.name == "evaluations":
        return shlex.join(["python", "evaluate.py", str(folder.parents[1])])
    return shlex.join(["python", "train.py", str(folder / "recipe.yaml"), "--test_only"])


def read_decoded(folder: Path, split: str, entry: dict, again: str) -> list[Utterance]:
    """The utterances of one split, aligned. Raises RecipeError when the file is missing or damaged.

    entry: the split's in summary.json; a file with other counts belongs to another evaluation. again: the command
    that writes the file anew.
    """
    path, again = folder / f"decoded_{split}.jsonl", f"evaluate again: {again}"
    if not path.is_file():
        raise RecipeError(f"{path} is missing, though summary.json has {split}: {again}")
    rows = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            row = json.loads(line)
        except ValueError:
            raise RecipeError(f"{path}, line {number}: cut short or damaged: {again}") from None
        for field, kind in FIELDS.items():
            if not isinstance(row, dict) or not isinstance(row.get(field, ...), kind):
                raise RecipeError(f"{path}, line {number}: no usable field {field!r}: {again}")
        rows.append(row)
    if not rows:
        raise RecipeError(f"{path} is empty: {again}")
    aligned = align_words([row["words"] for row in rows], [row["hypothesis"] for row in rows])
    counted = {"utterances": len(rows), "words": sum(map(len, aligned.references))}
    counted |= {kind: getattr(aligned, kind) for kind in ("substitutions", "deletions", "insertions")}
    for name, count in counted.items():
        if entry[name] != count:
            raise RecipeError(f"{path} has {count} {name}, summary.json says {entry[name]}: {again}")
    return [
        Utterance(row["id"], row["speaker"], row["duration"], row["audio"], *rest, row["greedy"], row["score"])
        for row, *rest in zip(rows, aligned.references, aligned.hypotheses, aligned.alignments, strict=True)
    ]


def interval(utterances: Sequence[Utterance]) -> tuple[float, float] | None:
    """95 % bootstrap interval of the WER in percent; None where there is one utterance, or no word."""
    words = [len(one.words) for one in utterances]
    if len(utterances) < 2 or not any(words):
        return None
    return bootstrap_interval([one.errors() for one in utterances], words)


def by_speaker(utterances: Sequence[Utterance]) -> list[Group]:
    """The speaker with the highest WER first."""
    speakers = defaultdict(list)
    for one in utterances:
        speakers[one.speaker].append(one)
    groups = [_group(speaker, theirs, with_interval=False) for speaker, theirs in speakers.items()]
    return sorted(groups, key=lambda group: (-(group.wer or 0), group.name))


def length_step(longest: float) -> float:
    """Width in seconds of the bins by length, so that there are at most eight up to the longest utterance."""
    return next((step for step in LENGTH_STEPS if longest / step <= MOST_BINS), longest / MOST_BINS)


def by_length(utterances: Sequence[Utterance], step: float) -> list[Group]:
    """Bins of ``step`` seconds, the shortest first, those without utterances left out."""
    bins = defaultdict(list)
    for one in utterances:
        bins[int(one.duration / step)].append(one)
    return [_group(f"{at * step:g}–{(at + 1) * step:g}", bins[at], with_interval=True) for at in sorted(bins)]


def count_words(utterances: Sequence[Utterance]) -> Words:
    """Words and confusions of a whole set."""
    words = Words(*(Counter() for _ in Words._fields))
    for one in utterances:
        words.said.update(one.words)
        for said, heard in one.pairs():
            if said == heard:
                continue
            if heard is None:
                words.deleted[said] += 1
            elif said is None:
                words.inserted[heard] += 1
            else:
                words.swaps[said, heard] += 1
            words.missed.update([said] if said is not None else [])
            words.wrong.update([heard] if heard is not None else [])
    return words


def most_common(counter: Counter, most: int) -> list[tuple]:
    """(key, count), the most frequent first, equal counts in the order of the alphabet."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:most]


def most_often_wrong(words: Words, most: int) -> list[str]:
    """Words by how often they were missed or heard wrongly; of equal ones, those said more often first."""
    wrong = words.missed + words.wrong
    return sorted(wrong, key=lambda word: (-wrong[word], -words.said[word], word))[:most]


def worst(utterances: Sequence[Utterance], most: int) -> list[Utterance]:
    """Utterances with errors, the highest WER first, as in wer_<split>.txt; of equal ones, most errors."""
    wrong = [one for one in utterances if one.errors()]
    return sorted(wrong, key=lambda one: (-one.wer(), -one.errors(), one.id))[:most]


def _group(name: str, utterances: Sequence[Utterance], with_interval: bool) -> Group:
    words, errors = sum(len(one.words) for one in utterances), sum(one.errors() for one in utterances)
    enough = with_interval and len(utterances) >= LEAST_FOR_AN_INTERVAL
    return Group(
        name,
        len(utterances),
        words,
        errors,
        100 * errors / words if words else None,
        sum(one.duration for one in utterances) / len(utterances),
        interval(utterances) if enough else None,
    )
