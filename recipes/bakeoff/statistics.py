"""What the runs of a comparison show together: means, spreads, intervals, costs, and which differences are sure."""

from collections.abc import Iterable, Sequence
from itertools import combinations

import numpy as np

from recipes.bakeoff.record import SIZE_TOLERANCE, ComparisonRecord, EntryRecord
from recipes.bakeoff.results import HOMOPHONE_SCORES, Comparison, MixerSummary, PairTest, Problem, SplitStatistics
from recipes.bakeoff.runs import FinishedRun
from recipes.scoring.results import EpochRecord
from recipes.scoring.significance import bootstrap_interval, holm, matched_pairs, paired_bootstrap, spread

SAMPLES = 10_000  # of a paired bootstrap: with fewer, p corrected for 36 pairs could not go below 0.05


def summarise(
    record: ComparisonRecord, runs: Sequence[FinishedRun], problems: Sequence[Problem], baseline: str
) -> Comparison:
    """All that `summary.json` holds."""
    by_name = {name: [run for run in runs if run.name == name] for name in record.mixers}
    finished = {name: entry_runs for name, entry_runs in by_name.items() if entry_runs}
    splits = distinct(split for run in runs for split in run.splits)
    statistics = {split: split_statistics(split, finished, baseline) for split in splits}
    return Comparison(
        recipe=record.recipe,
        command=record.command,
        machines=record.machines,
        devices=distinct(run.summary.device for run in runs),
        commits=distinct(run.summary.commit for run in runs),
        versions=distinct(run.summary.versions for run in runs),
        data=record.data,
        budget=budget(record, runs),
        baseline=baseline,
        mixers={
            name: mixer_summary(
                record.mixers[name],
                entry_runs,
                {split: by_entry[name] for split, by_entry in statistics.items() if name in by_entry},
            )
            for name, entry_runs in by_name.items()
        },
        pairs={split: compare_pairs(split, finished, list(combinations(finished, 2))) for split in splits},
        problems=list(problems),
    )


def mixer_summary(entry: EntryRecord, runs: Sequence[FinishedRun], splits: dict[str, SplitStatistics]) -> MixerSummary:
    """What an entry is, and what it took: means over its runs, the highest of their peak memories."""
    decoded = [result for run in runs for result in run.summary.splits.values() if result.decode_seconds]
    audio = sum(result.audio_seconds for result in decoded)
    best = [min(wers) for run in runs if (wers := valid_wers(run))]
    return MixerSummary(
        mixer=entry.mixer,
        settings=entry.settings,
        parameters=entry.parameters,
        multiply_adds_10s=entry.multiply_adds_10s,
        seeds=[run.seed for run in runs],
        seeds_asked=entry.seeds,
        steps=distinct(run.epochs[-1].steps for run in runs if run.epochs),
        valid_wer=mean(best, 3),
        train_seconds=mean([run.summary.seconds for run in runs if run.summary.seconds is not None], 1),
        rtf=round(sum(result.decode_seconds for result in decoded) / audio, 5) if audio else None,
        peak_memory_mb=max((run.summary.peak_memory_mb for run in runs), default=None),
        splits=splits,
    )


def valid_wers(run: FinishedRun) -> list[float]:
    """The validation WER of greedy CTC after each epoch, by which settings may be chosen."""
    values = [epoch.metrics.get("valid_wer_greedy_ctc") for epoch in run.epochs]
    return [value for value in values if value is not None]


def split_statistics(split: str, runs: dict[str, list[FinishedRun]], baseline: str) -> dict[str, SplitStatistics]:
    """The statistics of each entry with finished runs, tested against the baseline if that has some."""
    pairs = [(name, baseline) for name in runs if name != baseline] if baseline in runs else []
    tests = {test.mixers[0]: test for test in compare_pairs(split, runs, pairs)}
    return {name: entry_statistics(split, entry_runs, tests.get(name)) for name, entry_runs in runs.items()}


def entry_statistics(split: str, runs: Sequence[FinishedRun], test: PairTest | None) -> SplitStatistics:
    words, rates = runs[0].splits[split].words, [run.splits[split].wer for run in runs]
    errors = errors_by_run(split, runs)
    _, speaker = np.unique(runs[0].splits[split].speakers, return_inverse=True)
    of_speakers = np.eye(speaker.max() + 1, dtype=int)[speaker]  # [utterances, speakers]
    deviation = spread(rates)
    results = [run.summary.splits[split] for run in runs]
    scores = {name: [getattr(result, name) for result in results] for name in HOMOPHONE_SCORES}
    return SplitStatistics(
        mean=mean(rates, 3),
        spread=None if deviation is None else round(deviation, 3),
        interval=interval(errors, words),
        interval_speakers=interval(errors @ of_speakers, words @ of_speakers),
        speakers=of_speakers.shape[1],
        p=test.p if test else None,
        p_bootstrap=test.p_bootstrap if test else None,
        words=int(words.sum()),
        utterances=len(words),
        # A run that recognised no homophone has no share of wrong ones.
        **{name: None if None in values else mean(values, 3) for name, values in scores.items()},
    )


def interval(errors: np.ndarray, words: np.ndarray) -> tuple[float, float] | None:
    """The interval; None for a single utterance or speaker."""
    if len(words) < 2:
        return None
    low, high = bootstrap_interval(errors, words)
    return round(low, 3), round(high, 3)


def compare_pairs(split: str, runs: dict[str, list[FinishedRun]], pairs: list[tuple[str, str]]) -> list[PairTest]:
    """Both tests of these pairs of entries, each corrected by Holm over all of them; none of a single utterance."""
    if any(len(entry_runs[0].splits[split].words) < 2 for entry_runs in runs.values()):
        return []
    matched, bootstrap = [], []
    for pair in pairs:
        a, b = (errors_by_run(split, runs[name]) for name in pair)
        words = runs[pair[0]][0].splits[split].words
        matched.append(matched_pairs(a, b))
        bootstrap.append(paired_bootstrap(a, b, words, samples=SAMPLES))
    corrected = zip(pairs, holm(matched), holm(bootstrap), strict=True)
    return [PairTest(pair, *(float(f"{p:.3g}") for p in values)) for pair, *values in corrected]


def errors_by_run(split: str, runs: Sequence[FinishedRun]) -> np.ndarray:
    """[runs, utterances]."""
    return np.stack([run.splits[split].errors for run in runs])


def budget(record: ComparisonRecord, runs: Sequence[FinishedRun]) -> str:
    """What all entries had alike, in a sentence."""
    last: dict[str, list[EpochRecord]] = {}
    for run in runs:
        if run.epochs:
            last.setdefault(run.name, []).append(run.epochs[-1])
    alike = distinct(
        (from_to(epoch.epoch for epoch in of), from_to(epoch.steps for epoch in of)) for of in last.values()
    )
    steps = ", ".join(f"{name} {from_to(epoch.steps for epoch in of)}" for name, of in last.items()) or "none yet"
    if record.seconds:
        text = f"Same data, about {record.seconds:g} seconds of training a run; steps by timing runs: {steps}"
    elif len(alike) == 1:
        epochs, each = alike[0]
        text = f"Same data, {epochs} epoch{'s' * (epochs != '1')} and {each} steps a run"
    else:
        text = f"Same data; steps a run: {steps}"
    if record.match_parameters:
        size = f"the parameters of {record.match_parameters} within {100 * SIZE_TOLERANCE:g} %"
        text += f"; feed-forward layers sized so that each has {size}"
    return f"{text}."


def from_to(values: Iterable[int]) -> str:
    """The value, or the least and the largest of several."""
    values = set(values)
    return " to ".join(f"{value:,}" for value in sorted({min(values), max(values)}))


def mean(values: Sequence[float], digits: int) -> float | None:
    return round(float(np.mean(values)), digits) if values else None


def distinct(values: Iterable) -> list:
    """Each value once, in order; they need not be hashable."""
    different = []
    for value in values:
        if value not in different:
            different.append(value)
    return different
