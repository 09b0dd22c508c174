"""The result files of a comparison as records: `runs.csv` (`RunRow`) and `summary.json` (`Comparison`)."""

import csv
import io
from dataclasses import asdict, dataclass, fields
from pathlib import Path
from typing import Self, get_type_hints

from data_prep.files import write_atomically
from recipes.errors import RecipeError
from recipes.files import write_json
from recipes.scoring.records import read_record, to_json

SUMMARY = "summary.json"
RUNS = "runs.csv"
HOMOPHONE_SCORES = ("merged_wer", "homophone_error", "homophones_seen")  # of corpora with homophones alone


@dataclass(frozen=True)
class RunRow:
    """A line of `runs.csv`: a finished run on a split. mixer: its entry's name; rates in percent, of all words."""

    mixer: str
    seed: int
    split: str
    wer: float
    errors: int
    words: int
    parameters: int
    train_seconds: float | None
    rtf: float | None
    peak_memory_mb: float
    cer: float | None = None
    merged_wer: float | None = None
    homophone_error: float | None = None
    homophones_seen: float | None = None

    @classmethod
    def read_all(cls, path: Path) -> list[Self]:
        """Raises RecipeError, with the line, for a file that is missing or damaged."""
        rows, hints = [], get_type_hints(cls)
        try:
            with open(path, newline="", encoding="utf-8") as file:
                for row in csv.DictReader(file):
                    values = {name: _value(hints[name], text) for name, text in row.items()}
                    rows.append(cls(**values))
        except FileNotFoundError:
            raise RecipeError(f"{path} is missing") from None
        except (KeyError, TypeError, ValueError):
            raise RecipeError(f"{path}, line {len(rows) + 2}: damaged, or of another kind of table") from None
        return rows

    @staticmethod
    def write_all(rows: "list[RunRow]", path: Path) -> None:
        """With columns for CER, which older runs lack, and for homophones only where a run has them."""
        absent = {name for name in ("cer", *HOMOPHONE_SCORES) if all(getattr(row, name) is None for row in rows)}
        columns = [field.name for field in fields(RunRow) if field.name not in absent]
        text = io.StringIO(newline="")
        writer = csv.DictWriter(text, columns, lineterminator="\n", extrasaction="ignore")
        writer.writeheader()
        writer.writerows(map(asdict, rows))
        write_atomically(path, text.getvalue())


@dataclass(frozen=True)
class SplitStatistics:
    """The runs of an entry on a split.

    mean: of the WER over seeds, percent. spread: sample standard deviation, None for fewer than two seeds.
    interval: 95 % bootstrap over utterances of that mean; interval_speakers: over speakers, whose utterances are
    alike; None for fewer than two. p, p_bootstrap: matched pairs and paired bootstrap against the baseline, corrected
    by Holm over the entries of the split; None for the baseline itself, and where it has no finished run.
    """

    mean: float
    spread: float | None
    interval: tuple[float, float] | None
    interval_speakers: tuple[float, float] | None
    speakers: int
    p: float | None
    p_bootstrap: float | None
    words: int
    utterances: int
    merged_wer: float | None = None
    homophone_error: float | None = None
    homophones_seen: float | None = None


@dataclass(frozen=True)
class MixerSummary:
    """An entry of the comparison: what it is, what it took, and its errors by split.

    seeds: of finished runs. steps: the different numbers of optimizer steps that they made. valid_wer: greedy CTC of
    the best epoch, mean over seeds. train_seconds: mean; peak_memory_mb: the highest. None without a finished run.
    """

    mixer: str
    settings: dict[str, str]
    parameters: int
    multiply_adds_10s: int
    seeds: list[int]
    seeds_asked: list[int]
    steps: list[int]
    valid_wer: float | None
    train_seconds: float | None
    rtf: float | None
    peak_memory_mb: float | None
    splits: dict[str, SplitStatistics]


@dataclass(frozen=True)
class PairTest:
    """p of both tests for a pair of entries, corrected by Holm over all pairs of the split."""

    mixers: tuple[str, str]
    p: float
    p_bootstrap: float


@dataclass(frozen=True)
class Problem:
    """A run without results. crashed: its last message; None for a run that is not finished."""

    mixer: str
    seed: int
    crashed: str | None


@dataclass(frozen=True)
class Comparison:
    """`summary.json` of a comparison. data: checksums of the manifests by use and split. pairs: by split."""

    recipe: str
    command: str
    machines: list[str]
    devices: list[str]
    commits: list[str | None]
    versions: list[dict[str, str]]
    data: dict[str, dict[str, str | None]]
    budget: str
    baseline: str
    mixers: dict[str, MixerSummary]
    pairs: dict[str, list[PairTest]]
    problems: list[Problem]

    @classmethod
    def read(cls, folder: Path) -> Self:
        """Raises RecipeError for a file that is missing or damaged."""
        return read_record(cls, Path(folder) / SUMMARY)

    def write(self, folder: Path) -> None:
        write_json(Path(folder) / SUMMARY, to_json(self))


def _value(hint, text: str) -> str | int | float | None:
    """A cell as the type of its field."""
    if hint in (str, int, float):
        return hint(text)
    return float(text) if text else None
