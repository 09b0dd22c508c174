"""What a run got wrong, from its `decoded_<split>.jsonl`: by utterance, speaker, length and word."""

from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

from jiwer import AlignmentChunk

from recipes.errors import RecipeError
from recipes.scoring.results import SUMMARY, DecodedUtterance, SplitResult, decoded_file
from recipes.scoring.significance import bootstrap_interval
from recipes.scoring.wer import align_words

LENGTH_STEPS = (0.5, 1, 2, 5, 10, 20, 60)  # seconds
MOST_BINS = 8
LEAST_FOR_AN_INTERVAL = 10  # utterances; fewer say too little about their spread


@dataclass(frozen=True)
class AlignedUtterance:
    """A decoded utterance with its alignment; the words are those that the alignment's indices count."""

    decoded: DecodedUtterance
    words: list[str]
    hypothesis: list[str]
    alignment: list[AlignmentChunk]

    @cached_property
    def pairs(self) -> list[tuple[str | None, str | None]]:
        """(reference, hypothesis) word by word; None on the side where a word has no counterpart."""
        pairs = []
        for chunk in self.alignment:
            reference = self.words[chunk.ref_start_idx : chunk.ref_end_idx] or [None]
            hypothesis = self.hypothesis[chunk.hyp_start_idx : chunk.hyp_end_idx] or [None]
            length = max(len(reference), len(hypothesis))
            reference, hypothesis = reference * (length // len(reference)), hypothesis * (length // len(hypothesis))
            pairs += zip(reference, hypothesis, strict=True)
        return pairs

    @cached_property
    def counts(self) -> tuple[int, int, int]:
        """Substitutions, deletions, insertions."""
        wrong = [pair for pair in self.pairs if pair[0] != pair[1]]
        deletions = sum(hypothesis is None for _, hypothesis in wrong)
        insertions = sum(reference is None for reference, _ in wrong)
        return len(wrong) - deletions - insertions, deletions, insertions

    @property
    def errors(self) -> int:
        return sum(self.counts)

    @property
    def wer(self) -> float:
        """Percent; an utterance without words counts as one of one word."""
        return 100 * self.errors / max(len(self.words), 1)


class Group(NamedTuple):
    """Utterances that have something in common, and their errors together."""

    name: str
    utterances: int
    words: int
    errors: int
    wer: float | None  # percent; None without words
    seconds: float  # mean length
    interval: tuple[float, float] | None  # percent, 95 % bootstrap; None for few utterances


class WordCounts(NamedTuple):
    """How often each word stands in the references, is missed, and is recognised where it was not spoken."""

    spoken: Counter
    missed: Counter
    wrong: Counter
    substituted: Counter  # (reference, hypothesis)
    deleted: Counter
    inserted: Counter


def read_aligned(folder: Path, split: str, result: SplitResult) -> list[AlignedUtterance]:
    """The utterances of a split, aligned. Raises RecipeError for a missing or damaged file.

    result: the split's in summary.json; a file with other counts belongs to another evaluation.
    """
    path = decoded_file(folder, split)
    utterances = DecodedUtterance.read_all(path)
    hypotheses = [utterance.hypothesis for utterance in utterances]
    aligned = align_words([utterance.words for utterance in utterances], hypotheses)
    counts = {"utterances": len(utterances), "words": sum(map(len, aligned.references))}
    counts |= {kind: getattr(aligned, kind) for kind in ("substitutions", "deletions", "insertions")}
    for name, count in counts.items():
        if getattr(result, name) != count:
            raise RecipeError(f"{path} has {count} {name}, {SUMMARY} says {getattr(result, name)}")
    alignments = zip(utterances, aligned.references, aligned.hypotheses, aligned.alignments, strict=True)
    return [AlignedUtterance(*parts) for parts in alignments]


def interval(utterances: Sequence[AlignedUtterance]) -> tuple[float, float] | None:
    """95 % bootstrap interval of the WER in percent; None for a single utterance, and without words."""
    words = [len(utterance.words) for utterance in utterances]
    if len(utterances) < 2 or not any(words):
        return None
    return bootstrap_interval([utterance.errors for utterance in utterances], words)


def by_speaker(utterances: Sequence[AlignedUtterance]) -> list[Group]:
    """The speaker with the highest WER first."""
    speakers = defaultdict(list)
    for utterance in utterances:
        speakers[utterance.decoded.speaker].append(utterance)
    groups = [_group(speaker, spoken, with_interval=False) for speaker, spoken in speakers.items()]
    return sorted(groups, key=lambda group: (-(group.wer or 0), group.name))


def length_step(longest: float) -> float:
    """Width in seconds of the bins by length, so that there are at most eight up to the longest utterance."""
    return next((step for step in LENGTH_STEPS if longest / step <= MOST_BINS), longest / MOST_BINS)


def by_length(utterances: Sequence[AlignedUtterance], step: float) -> list[Group]:
    """Bins of `step` seconds, the shortest first, without empty ones."""
    bins = defaultdict(list)
    for utterance in utterances:
        bins[int(utterance.decoded.duration / step)].append(utterance)
    return [_group(f"{i * step:g}–{(i + 1) * step:g}", bins[i], with_interval=True) for i in sorted(bins)]


def count_words(utterances: Sequence[AlignedUtterance]) -> WordCounts:
    """Words and confusions of a whole set."""
    counts = WordCounts(*(Counter() for _ in WordCounts._fields))
    for utterance in utterances:
        counts.spoken.update(utterance.words)
        for reference, hypothesis in utterance.pairs:
            if reference == hypothesis:
                continue
            if hypothesis is None:
                counts.deleted[reference] += 1
            elif reference is None:
                counts.inserted[hypothesis] += 1
            else:
                counts.substituted[reference, hypothesis] += 1
            counts.missed.update([reference] if reference is not None else [])
            counts.wrong.update([hypothesis] if hypothesis is not None else [])
    return counts


def most_common(counter: Counter, most: int) -> list[tuple]:
    """(key, count), the most frequent first, equal counts in alphabetical order."""
    return sorted(counter.items(), key=lambda item: (-item[1], item[0]))[:most]


def most_often_wrong(counts: WordCounts, most: int) -> list[str]:
    """Words by how often they were missed or wrongly recognised; of equal ones, those spoken more often first."""
    wrong = counts.missed + counts.wrong
    return sorted(wrong, key=lambda word: (-wrong[word], -counts.spoken[word], word))[:most]


def worst(utterances: Sequence[AlignedUtterance], most: int) -> list[AlignedUtterance]:
    """Utterances with errors, the highest WER first, as in wer_<split>.txt; of equal ones, most errors."""
    wrong = [utterance for utterance in utterances if utterance.errors]
    return sorted(wrong, key=lambda utterance: (-utterance.wer, -utterance.errors, utterance.decoded.id))[:most]


def _group(name: str, utterances: Sequence[AlignedUtterance], with_interval: bool) -> Group:
    words = sum(len(utterance.words) for utterance in utterances)
    errors = sum(utterance.errors for utterance in utterances)
    enough = with_interval and len(utterances) >= LEAST_FOR_AN_INTERVAL
    return Group(
        name,
        len(utterances),
        words,
        errors,
        100 * errors / words if words else None,
        sum(utterance.decoded.duration for utterance in utterances) / len(utterances),
        interval(utterances) if enough else None,
    )
