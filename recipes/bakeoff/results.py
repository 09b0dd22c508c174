"""What a comparison found: every run in `runs.csv`, every mixer in `summary.json`, and one table of it all.

Word errors come from `decoded_<split>.jsonl` of each run, by jiwer; costs from its summary.json.
"""

import csv
import io
import itertools
import json
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from data_prep.files import write_atomically
from recipes.bakeoff.plan import SIZE_TOLERANCE
from recipes.bakeoff.table import EXTRAS, MULTIPLY_ADDS, distinct, markdown
from recipes.errors import RecipeError
from recipes.files import read_json, write_json
from recipes.scoring.significance import bootstrap_interval, holm, matched_pairs, paired_bootstrap, spread
from recipes.scoring.wer import align_words, errors_by_utterance

COLUMNS = [
    "mixer",
    "seed",
    "split",
    "wer",
    "errors",
    "words",
    "parameters",
    "train_seconds",
    "rtf",
    "peak_memory_mb",
]
SAMPLES = 10_000  # of a paired bootstrap: with fewer, p corrected for 36 pairs could not go below 0.05


class Scored(NamedTuple):
    """Word errors and reference words of each utterance of a split, in the order of the IDs."""

    ids: list[str]
    errors: np.ndarray
    words: np.ndarray
    speakers: np.ndarray
    texts: list[str]

    @property
    def wer(self) -> float:
        return 100 * self.errors.sum() / self.words.sum()


class Result(NamedTuple):
    """One finished run."""

    name: str
    seed: int
    summary: dict
    splits: dict[str, Scored]
    epochs: list[dict]  # of log.jsonl, each epoch once


# --- reading ------------------------------------------------------------------------------------------------


def is_complete(folder: Path) -> bool:
    """Whether a run's folder holds its summary and what it decoded of every split."""
    summary = folder / "summary.json"
    return summary.is_file() and all(decoded(folder, split).is_file() for split in read_json(summary)["splits"])


def decoded(folder: Path, split: str) -> Path:
    return folder / f"decoded_{split}.jsonl"


def read_results(folder: Path, record: dict) -> tuple[list[Result], list[dict]]:
    """The finished runs of a comparison, and the others: mixer, seed and what is the matter with each."""
    results, problems = [], []
    for name, entry in record["mixers"].items():
        for seed in entry["seeds"]:
            run = folder / "runs" / name / str(seed)
            crash = run.with_name(f"{seed}.crash.json")
            if crash.is_file():
                problems.append({"mixer": name, "seed": seed, "crashed": read_json(crash)["said"]})
            elif not is_complete(run):
                problems.append({"mixer": name, "seed": seed, "crashed": None})
            else:
                results.append(read_result(run, name, seed))
    for one in results[1:]:
        check_same_utterances(results[0], one)
    return results, problems


def read_result(folder: Path, name: str, seed: int) -> Result:
    summary = read_json(folder / "summary.json")
    splits = {split: read_scored(decoded(folder, split)) for split in summary["splits"]}
    return Result(name, seed, summary, splits, read_epochs(folder / "log.jsonl"))


def read_scored(path: Path) -> Scored:
    """Errors of each utterance of a file of decoded utterances. Raises RecipeError for a damaged file."""
    try:
        lines = [json.loads(line) for line in path.read_text(encoding="utf-8").splitlines()]
        lines.sort(key=lambda one: one["id"])
        found = align_words([one["words"] for one in lines], [one["hypothesis"] for one in lines])
    except (ValueError, KeyError, TypeError) as error:
        raise RecipeError(f"{path} is damaged ({error}): remove it, and compare again to decode anew") from None
    return Scored(
        ids=[one["id"] for one in lines],
        errors=np.array(errors_by_utterance(found)),
        words=np.array([len(words) for words in found.references]),
        speakers=np.array([one["speaker"] for one in lines]),
        texts=[one["words"] for one in lines],
    )


def read_epochs(path: Path) -> list[dict]:
    """The lines of a run's log by epoch: a run that went on may have written one twice; the last holds."""
    if not path.is_file():
        return []
    lines = map(json.loads, path.read_text(encoding="utf-8").splitlines())
    return list({one["epoch"]: one for one in lines}.values())


def check_same_utterances(one: Result, other: Result) -> None:
    for split in sorted(one.splits.keys() | other.splits.keys()):
        a, b = one.splits.get(split), other.splits.get(split)
        if a is None or b is None or (a.ids, a.texts) != (b.ids, b.texts):
            raise RecipeError(
                f"'{one.name}', seed {one.seed}, and '{other.name}', seed {other.seed}, decoded other "
                f"utterances of {split}: remove the run folder of one of them, and compare again"
            )


# --- tables of runs and of mixers ---------------------------------------------------------------------------


def run_rows(results: Sequence[Result]) -> list[dict]:
    """The lines of runs.csv."""
    rows = []
    for one in results:
        for split, scored in one.splits.items():
            found = one.summary["splits"][split]
            row = {
                "mixer": one.name,
                "seed": one.seed,
                "split": split,
                "wer": round(scored.wer, 3),
                "errors": int(scored.errors.sum()),
                "words": int(scored.words.sum()),
                "parameters": one.summary["parameters"],
                "train_seconds": one.summary["seconds"],
                "rtf": found.get("rtf"),
                "peak_memory_mb": one.summary["peak_memory_mb"],
            }
            rows.append(row | {key: found[key] for key in EXTRAS if key in found})
    return rows


def to_csv(rows: Sequence[dict]) -> str:
    """Of all rows, with the columns that only some have at the end."""
    columns = [*COLUMNS, *(key for key in EXTRAS if any(key in row for row in rows))]
    text = io.StringIO(newline="")
    writer = csv.DictWriter(text, columns, lineterminator="\n")
    writer.writeheader()
    writer.writerows(rows)
    return text.getvalue()


def summarise(record: dict, results: Sequence[Result], problems: Sequence[dict], baseline: str) -> dict:
    """What summary.json holds: for each mixer and split mean, spread, interval and p against the baseline.

    mean: of the WER over seeds, percent. spread: sample standard deviation, null for fewer than two seeds.
    interval: 95 % bootstrap over utterances of that mean; interval_speakers: over speakers, whose utterances are
    alike; null for fewer than two. p, p_bootstrap: matched pairs and paired bootstrap
    against the baseline, corrected by Holm over the mixers of the split; null for the baseline itself, and
    where one of the two has no finished run. pairs: the same for all pairs of mixers, corrected over them.
    """
    by_name = {name: [one for one in results if one.name == name] for name in record["mixers"]}
    splits = list(dict.fromkeys(split for one in results for split in one.splits))
    mixers = {name: costs(record["mixers"][name], runs) for name, runs in by_name.items()}
    pairs = {}
    for split in splits:
        finished = {name: runs for name, runs in by_name.items() if runs}
        for name, runs in finished.items():
            mixers[name]["splits"][split] = split_summary(split, runs)
        against = [(name, baseline) for name in finished if name != baseline] if baseline in finished else []
        for one in compared(split, finished, against):
            mixers[one["mixers"][0]]["splits"][split] |= {key: one[key] for key in ("p", "p_bootstrap")}
        pairs[split] = compared(split, finished, list(itertools.combinations(finished, 2)))
    return {
        "recipe": record["recipe"],
        "command": record["command"],
        "machines": record["machines"],
        "devices": distinct(one.summary["device"] for one in results),
        "commits": distinct(one.summary["commit"] for one in results),
        "versions": distinct(one.summary["versions"] for one in results),
        "data": record["data"],
        "budget": budget(record, results),
        "baseline": baseline,
        "mixers": mixers,
        "pairs": pairs,
        "problems": list(problems),
    }


def costs(entry: dict, runs: Sequence[Result]) -> dict:
    """What one mixer is, and what it took: means over its runs, the highest of their peak memories."""
    parts = [part for one in runs for part in one.summary["splits"].values() if part.get("decode_seconds")]
    audio = sum(part["audio_seconds"] for part in parts)
    return {
        "mixer": entry["mixer"],
        "settings": entry["settings"],
        "parameters": entry["parameters"],
        MULTIPLY_ADDS: entry[MULTIPLY_ADDS],
        "seeds": [one.seed for one in runs],
        "seeds_asked": entry["seeds"],
        "steps": distinct(one.epochs[-1]["steps"] for one in runs if one.epochs),
        # Of the best epoch: what settings may be chosen by.
        "valid_wer": mean([min(found) for one in runs if (found := valid_wers(one))], 3),
        "train_seconds": mean([one.summary["seconds"] for one in runs], 1),
        "rtf": round(sum(part["decode_seconds"] for part in parts) / audio, 5) if audio else None,
        "peak_memory_mb": max((one.summary["peak_memory_mb"] for one in runs), default=None),
        "splits": {},
    }


def valid_wers(one: Result) -> list[float]:
    return [epoch["valid_wer_greedy_ctc"] for epoch in one.epochs if "valid_wer_greedy_ctc" in epoch]


def split_summary(split: str, runs: Sequence[Result]) -> dict:
    words = runs[0].splits[split].words
    rates = [one.splits[split].wer for one in runs]
    errors = errors_by_run(split, runs)
    _, speaker = np.unique(runs[0].splits[split].speakers, return_inverse=True)
    of_speakers = np.eye(speaker.max() + 1, dtype=int)[speaker]  # [utterances, speakers]
    found = [one.summary["splits"][split] for one in runs]
    deviation = spread(rates)
    return {
        "mean": mean(rates, 3),
        "spread": None if deviation is None else round(deviation, 3),
        "interval": interval_of(errors, words),
        "interval_speakers": interval_of(errors @ of_speakers, words @ of_speakers),
        "speakers": of_speakers.shape[1],
        "p": None,
        "p_bootstrap": None,
        "words": int(words.sum()),
        "utterances": len(words),
        **{key: mean([one[key] for one in found], 3) for key in EXTRAS if known(key, found)},
    }


def interval_of(errors: np.ndarray, words: np.ndarray) -> list[float] | None:
    """Of one utterance or speaker alone there is none."""
    return [round(end, 3) for end in bootstrap_interval(errors, words)] if len(words) > 1 else None


def known(key: str, found: Sequence[dict]) -> bool:
    """A run that recognised no homophone has no share of wrong ones."""
    return all(one.get(key) is not None for one in found)


def compared(split: str, runs: dict[str, list[Result]], pairs: list[tuple[str, str]]) -> list[dict]:
    """Both tests for these pairs of mixers, each corrected by Holm over all of them; none of a single utterance."""
    if any(len(one[0].splits[split].words) < 2 for one in runs.values()):
        return []
    tests = {"p": [], "p_bootstrap": []}
    for pair in pairs:
        a, b = (errors_by_run(split, runs[name]) for name in pair)
        words = runs[pair[0]][0].splits[split].words
        tests["p"].append(matched_pairs(a, b))
        tests["p_bootstrap"].append(paired_bootstrap(a, b, words, samples=SAMPLES))
    corrected = zip(*map(holm, tests.values()), strict=True)
    return [
        {"mixers": list(pair), **{test: float(f"{p:.3g}") for test, p in zip(tests, values, strict=True)}}
        for pair, values in zip(pairs, corrected, strict=True)
    ]


def errors_by_run(split: str, runs: Sequence[Result]) -> np.ndarray:
    return np.stack([one.splits[split].errors for one in runs])


def budget(record: dict, results: Sequence[Result]) -> str:
    """What all mixers had alike, in one sentence."""
    ends = {one.name: one.epochs[-1] for one in results if one.epochs}
    alike = distinct((end["epoch"], end["steps"]) for end in ends.values())
    steps = ", ".join(f"{name} {end['steps']:,}" for name, end in ends.items()) or "none yet"
    if record["seconds"]:
        said = f"Same data, about {record['seconds']:g} seconds of training a run; steps by timing runs: {steps}"
    elif len(alike) == 1:
        said = f"Same data, {alike[0][0]} epoch{'s' * (alike[0][0] > 1)} and {alike[0][1]:,} steps a run"
    else:
        said = f"Same data; steps a run: {steps}"
    if record["match_parameters"]:
        size = f"the parameters of {record['match_parameters']} within {100 * SIZE_TOLERANCE:g} %"
        said += f"; feed-forward layers sized so that each has {size}"
    return f"{said}."


def mean(values: Sequence[float], digits: int) -> float | None:
    return round(float(np.mean(values)), digits) if values else None


# --- writing -----------------------------------------------------------------------------------------------


def write_results(folder: Path, record: dict, baseline: str) -> tuple[dict, list[Result]]:
    """Write runs.csv, summary.json and table.md from what is there. Raises RecipeError where nothing is."""
    results, problems = read_results(folder, record)
    if not results and not any(one["crashed"] for one in problems):
        raise RecipeError(f"{folder}: no finished run yet")
    summary = summarise(record, results, problems, baseline)
    write_atomically(folder / "runs.csv", to_csv(run_rows(results)))
    write_json(folder / "summary.json", summary)
    write_atomically(folder / "table.md", markdown(summary))
    return summary, results
