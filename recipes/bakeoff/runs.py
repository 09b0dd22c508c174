"""The finished runs of a comparison: word errors from their `decoded_<split>.jsonl`, costs from their summaries."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from recipes.bakeoff.record import ComparisonRecord
from recipes.bakeoff.results import HOMOPHONE_SCORES, Problem, RunRow
from recipes.errors import RecipeError
from recipes.files import write_json
from recipes.scoring.records import read_record, to_json
from recipes.scoring.results import SUMMARY, DecodedUtterance, EpochRecord, RunSummary, decoded_file
from recipes.scoring.wer import align_words, errors_by_utterance


class ScoredSplit(NamedTuple):
    """Word errors and reference words of each utterance of a split, in the order of the IDs."""

    ids: list[str]
    errors: np.ndarray  # [utterances]
    words: np.ndarray  # [utterances]
    speakers: np.ndarray  # [utterances], names
    texts: list[str]

    @property
    def wer(self) -> float:
        """Percent."""
        return 100 * self.errors.sum() / self.words.sum()


class FinishedRun(NamedTuple):
    """A run of the entry `name`, with all that a comparison needs of it."""

    name: str
    seed: int
    summary: RunSummary
    splits: dict[str, ScoredSplit]
    epochs: list[EpochRecord]


@dataclass(frozen=True)
class Crash:
    """What a run that crashed left beside its folder."""

    message: str

    @classmethod
    def read(cls, run: Path) -> "Crash | None":
        path = cls.file(run)
        return read_record(cls, path) if path.is_file() else None

    def write(self, run: Path) -> None:
        write_json(self.file(run), to_json(self))

    @staticmethod
    def file(run: Path) -> Path:
        return run.with_name(f"{run.name}.crash.json")


def run_folder(folder: Path, name: str, seed: int) -> Path:
    """Where a comparison's folder holds a run of an entry."""
    return folder / "runs" / name / str(seed)


def is_complete(run: Path) -> bool:
    """Whether a run's folder holds its summary and what it decoded of every split."""
    return (run / SUMMARY).is_file() and all(decoded_file(run, split).is_file() for split in read_summary(run).splits)


def read_summary(run: Path) -> RunSummary:
    """Raises RecipeError for a summary that cannot be used."""
    try:
        return RunSummary.read(run)
    except RecipeError as error:
        raise RecipeError(f"{error}: remove {run}, and compare again to train anew") from None


def read_runs(folder: Path, record: ComparisonRecord) -> tuple[list[FinishedRun], list[Problem]]:
    """The finished runs of a comparison, and what is the matter with the others.

    Raises RecipeError for damaged files, and where runs decoded other utterances.
    """
    runs, problems = [], []
    for name, entry in record.mixers.items():
        for seed in entry.seeds:
            path = run_folder(folder, name, seed)
            if crash := Crash.read(path):
                problems.append(Problem(name, seed, crash.message))
            elif not is_complete(path):
                problems.append(Problem(name, seed, None))
            else:
                runs.append(read_run(path, name, seed))
    for run in runs[1:]:
        check_same_utterances(runs[0], run)
    return runs, problems


def read_run(folder: Path, name: str, seed: int) -> FinishedRun:
    summary = read_summary(folder)
    splits = {split: read_scored(decoded_file(folder, split)) for split in summary.splits}
    epochs, _ = EpochRecord.read_all(folder)
    return FinishedRun(name, seed, summary, splits, epochs)


def read_scored(path: Path) -> ScoredSplit:
    """Errors of each utterance of a file of decoded utterances. Raises RecipeError for a damaged file."""
    try:
        utterances = DecodedUtterance.read_all(path)
    except RecipeError as error:
        raise RecipeError(f"{error}: remove it, and compare again to decode anew") from None
    utterances.sort(key=lambda utterance: utterance.id)
    texts = [utterance.words for utterance in utterances]
    aligned = align_words(texts, [utterance.hypothesis for utterance in utterances])
    return ScoredSplit(
        ids=[utterance.id for utterance in utterances],
        errors=np.array(errors_by_utterance(aligned)),
        words=np.array([len(words) for words in aligned.references]),
        speakers=np.array([utterance.speaker for utterance in utterances]),
        texts=texts,
    )


def check_same_utterances(first: FinishedRun, second: FinishedRun) -> None:
    for split in sorted(first.splits.keys() | second.splits.keys()):
        a, b = first.splits.get(split), second.splits.get(split)
        if a is None or b is None or (a.ids, a.texts) != (b.ids, b.texts):
            raise RecipeError(
                f"'{first.name}', seed {first.seed}, and '{second.name}', seed {second.seed}, decoded other "
                f"utterances of {split}: remove the run folder of one of them, and compare again"
            )


def run_rows(runs: Sequence[FinishedRun]) -> list[RunRow]:
    """The lines of runs.csv."""
    return [
        RunRow(
            mixer=run.name,
            seed=run.seed,
            split=split,
            wer=round(scored.wer, 3),
            errors=int(scored.errors.sum()),
            words=int(scored.words.sum()),
            parameters=run.summary.parameters,
            train_seconds=run.summary.seconds,
            rtf=run.summary.splits[split].rtf,
            peak_memory_mb=run.summary.peak_memory_mb,
            cer=run.summary.splits[split].cer,
            **{name: getattr(run.summary.splits[split], name) for name in HOMOPHONE_SCORES},
        )
        for run in runs
        for split, scored in run.splits.items()
    ]
