"""The files that a run writes of its results, each as a typed record: the one place that knows their shapes.

`summary.json` (`RunSummary`, `LanguageModelSummary`), `decoded_<split>.jsonl` (`DecodedUtterance`), `log.jsonl`
(`EpochRecord`). What reads a summary or decoded utterances raises RecipeError, one line with file and place, for a
file that is missing or damaged.
"""

import json
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Self

from data_prep.files import write_atomically
from recipes.files import write_json
from recipes.scoring.records import from_json, read_lines, read_record, to_json

SUMMARY, LOG = "summary.json", "log.jsonl"


def decoded_file(folder: Path, split: str) -> Path:
    """Where a run's folder holds what was decoded of a split: for `DecodedUtterance`."""
    return Path(folder) / f"decoded_{split}.jsonl"


def alignments_file(folder: Path, split: str) -> Path:
    """Where a run's folder holds the word alignments of a split: for `write_alignments`."""
    return Path(folder) / f"wer_{split}.txt"


@dataclass(frozen=True)
class SplitResult:
    """Errors of one test set. Rates in percent; interval: 95 % bootstrap over utterances, None for one utterance.

    cer: character error rate, blanks between words included; None in summaries of before it was written.
    rtf: real-time factor, seconds of decoding for each second of audio. manifest: SHA-256 of the split's manifest.
    """

    wer: float
    interval: tuple[float, float] | None
    substitutions: int
    deletions: int
    insertions: int
    utterances: int
    words: int
    wer_greedy_ctc: float
    cer: float | None = None
    audio_seconds: float | None = None
    decode_seconds: float | None = None
    rtf: float | None = None
    left_out: int = 0  # whose audio cannot be read
    manifest: str | None = None
    # Of a second comparison, after `recipes.scoring.score_normalizer` of this name.
    normalizer: str | None = None
    normalized_wer: float | None = None
    # Of corpora with homophones alone; see `recipes.scoring.homophones`.
    merged_wer: float | None = None
    homophone_error: float | None = None
    homophones_seen: float | None = None

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions

    @property
    def has_spaces(self) -> bool:
        """Whether any transcript has more than a word; else WER counts utterances, and CER is what to compare."""
        return self.words > self.utterances


@dataclass(frozen=True)
class TextResult:
    """How well a language model predicts a text; tokens: with one sentence end for each sentence."""

    perplexity_token: float
    perplexity_word: float
    tokens: int
    unknown_tokens: int
    words: int
    sentences: int


@dataclass(frozen=True)
class _Summary:
    """What every summary holds. seconds: of training, None where none was done here; seed: of the recipe."""

    recipe: str
    seed: int
    parameters: int
    seconds: float | None
    peak_memory_mb: float
    device: str
    versions: dict[str, str]
    commit: str | None
    recipe_hash: str

    @classmethod
    def read(cls, folder: Path) -> Self:
        """The summary in a run's folder. Raises RecipeError where there is none that can be used."""
        return read_record(cls, Path(folder) / SUMMARY)

    def write(self, folder: Path) -> None:
        write_json(Path(folder) / SUMMARY, to_json(self))


@dataclass(frozen=True)
class RunSummary(_Summary):
    """`summary.json` of a recogniser's run, or of an evaluation of one.

    decoded_by: the command that decodes again. weights, settings: of an evaluation, the weights that it decoded
    with and a hash of all that its results depend on; None in the run's own folder. remarks: how many utterances
    `utterances.json` names by split and kind.
    """

    mixer: str
    splits: dict[str, SplitResult]
    decoded_by: str
    weights: str | None = None
    settings: str | None = None
    remarks: dict[str, dict[str, int]] = field(default_factory=dict)


@dataclass(frozen=True)
class LanguageModelSummary(_Summary):
    """`summary.json` of a language model's run. texts: by use, `valid` and `test`; train_text: counts."""

    texts: dict[str, TextResult]
    train_text: dict[str, int]


@dataclass(frozen=True)
class ScoredText:
    """A text that a search returned, and its joint log probability: None from greedy CTC."""

    text: str
    score: float | None


@dataclass(frozen=True)
class DecodedUtterance:
    """One line of `decoded_<split>.jsonl`. duration: seconds; audio: path relative to the file's folder.

    hypothesis and score: of the recipe's search; greedy: by greedy CTC. nbest: the best first, where it was asked for.
    """

    id: str
    speaker: str
    duration: float
    audio: str
    words: str
    hypothesis: str
    greedy: str
    score: float | None
    nbest: list[ScoredText] | None = None

    @classmethod
    def read_all(cls, path: Path) -> list[Self]:
        """The utterances of a file, in its order. Raises RecipeError for one that is missing, empty or damaged."""
        return read_lines(cls, Path(path))

    @staticmethod
    def write_all(utterances: "list[DecodedUtterance]", path: Path) -> None:
        lines = [json.dumps(to_json(utterance), ensure_ascii=False) + "\n" for utterance in utterances]
        write_atomically(path, "".join(lines))


@dataclass(frozen=True)
class EpochRecord:
    """One line of `log.jsonl`. time: Unix seconds; seconds: of training so far; metrics: all that was measured."""

    epoch: int
    steps: int
    seconds: float
    lr: float
    time: float
    metrics: dict[str, float | None] = field(default_factory=dict)

    def line(self) -> str:
        """The JSON object, metrics beside the other values."""
        values = to_json(self)
        return json.dumps(values | values.pop("metrics"))

    @classmethod
    def parse(cls, line: str | bytes) -> Self:
        """Raises ValueError for a line that is cut short or no record of an epoch."""
        values = json.loads(line)
        if not isinstance(values, dict):
            raise ValueError("no record of an epoch")
        own = {name: values.pop(name) for name in [part.name for part in fields(cls)] if name in values}
        return from_json(cls, {**own, "metrics": values}, LOG)

    @classmethod
    def read_all(cls, folder: Path) -> tuple[list[Self], int]:
        """Each epoch once, its last line, in order; and how many lines could not be read. No file: none.

        Logs of earlier versions may hold an epoch twice, where a run was stopped and went on, or a part of a line.
        """
        path, by_epoch, unreadable = Path(folder) / LOG, {}, 0
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            try:
                record = cls.parse(line)
                by_epoch[record.epoch] = record
            except ValueError:
                unreadable += 1
        return [by_epoch[epoch] for epoch in sorted(by_epoch)], unreadable

    @staticmethod
    def write_all(records: "list[EpochRecord]", folder: Path) -> None:
        """Replaces the log as a whole."""
        write_atomically(Path(folder) / LOG, "".join(record.line() + "\n" for record in records))
