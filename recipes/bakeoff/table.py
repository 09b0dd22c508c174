"""The table of a comparison as texts: every entry's errors with their certainty, its costs, and notes."""

from collections.abc import Sequence

from recipes.bakeoff.record import SECONDS
from recipes.bakeoff.results import Comparison, MixerSummary, Problem

HOMOPHONE_HEADS = {
    "merged_wer": "merged WER %",
    "homophone_error": "homophone error %",
    "homophones_seen": "seen %",
}


def markdown(comparison: Comparison) -> str:
    """The table and its notes."""
    heads, rows = table_cells(comparison)
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in (heads, ["---"] * len(heads), *rows)]
    table = "\n".join(f"| {line} |" for line in lines)
    return f"{table}\n\n" + "\n".join(f"- {note}" for note in notes(comparison)) + "\n"


def table_cells(comparison: Comparison) -> tuple[list[str], list[list[str]]]:
    """Heads and rows."""
    scores = {split: homophone_scores(comparison, split) for split in comparison.pairs}
    heads = ["mixer", "parameters", f"10⁹ multiply-adds, {SECONDS} s"]
    for split, names in scores.items():
        heads += [f"{split} WER %", "p", *(HOMOPHONE_HEADS[name] for name in names)]
    heads += ["dev WER %", "training s", "RTF", "peak MB"]
    rows = []
    for name, mixer in comparison.mixers.items():
        row = [name, f"{mixer.parameters / 1e6:.2f} M", f"{mixer.multiply_adds_10s / 1e9:.2f}"]
        for split, names in scores.items():
            row += split_cells(comparison, name, split, names)
        row += [
            number_text(mixer.valid_wer, ".2f"),
            number_text(mixer.train_seconds, ".0f"),
            number_text(mixer.rtf, ".4f"),
            number_text(mixer.peak_memory_mb, ".0f"),
        ]
        rows.append(row)
    return heads, rows


def homophone_scores(comparison: Comparison, split: str) -> list[str]:
    """The scores that an entry has on this split."""
    results = [mixer.splits[split] for mixer in comparison.mixers.values() if split in mixer.splits]
    return [name for name in HOMOPHONE_HEADS if any(getattr(result, name) is not None for result in results)]


def split_cells(comparison: Comparison, name: str, split: str, scores: Sequence[str]) -> list[str]:
    mixer = comparison.mixers[name]
    result = mixer.splits.get(split)
    if result is None:
        crashed = any(problem.mixer == name and problem.crashed for problem in comparison.problems)
        return ["crashed" if crashed else "not finished", "–", *("–" for _ in scores)]
    wer = f"{result.mean:.2f}" + (f" ± {result.spread:.2f}" if result.spread is not None else "")
    wer += interval_text(result.interval)
    if len(mixer.seeds) < len(mixer.seeds_asked):
        wer += f" ({len(mixer.seeds)} of {len(mixer.seeds_asked)} seeds)"
    p = "–" if result.p is None else f"{p_text(result.p)} / {p_text(result.p_bootstrap)}"
    p = "baseline" if name == comparison.baseline else p
    return [wer, p, *(number_text(getattr(result, score), ".1f") for score in scores)]


# --- notes --------------------------------------------------------------------------------------------------


def notes(comparison: Comparison) -> list[str]:
    """What must be known to read the table."""
    mixers, baseline = comparison.mixers, comparison.baseline
    if mixers[baseline].seeds:
        p_note = (
            f"p against {baseline}: matched pairs / paired bootstrap, corrected by Holm over the mixers. "
            "Both ask whether these trained models differ on such utterances; whether other seeds would, the "
            "spread hints at."
        )
    else:
        p_note = f"No p: the baseline {baseline} has no finished run."
    return [
        comparison.budget,
        "WER: mean over seeds ± sample standard deviation [95 % bootstrap interval over utterances].",
        p_note,
        *speaker_notes(baseline, mixers[baseline]),
        "dev WER: greedy CTC of the best epoch, mean over seeds. Choose settings by it, not by the test sets.",
        *homophone_notes(comparison),
        *entry_notes(comparison),
        "Training seconds and RTF are those of a machine that may have had other work beside the runs.",
        *origin_notes(comparison),
        *map(problem_note, comparison.problems),
    ]


def speaker_notes(name: str, baseline: MixerSummary) -> list[str]:
    """How much wider the baseline's interval is when speakers are drawn: their utterances are alike."""
    return [
        f"{split} has {result.speakers} speakers; drawing these and not utterances, the interval of "
        f"{name} is{interval_text(result.interval_speakers)}."
        for split, result in baseline.splits.items()
        if result.interval_speakers
    ]


def homophone_notes(comparison: Comparison) -> list[str]:
    if not any("homophone_error" in homophone_scores(comparison, split) for split in comparison.pairs):
        return []
    return [
        "homophone error: wrong spellings among the homophones recognised as either; 50 is guessing. "
        "merged WER: both spellings count as one word."
    ]


def entry_notes(comparison: Comparison) -> list[str]:
    """Which entries have a single seed, whether all have the same, and which have settings of their own."""
    texts, finished = [], {name: mixer.seeds for name, mixer in comparison.mixers.items() if mixer.seeds}
    if len(set(map(tuple, map(sorted, finished.values())))) > 1:
        own = "; ".join(f"{name} {', '.join(map(str, seeds))}" for name, seeds in finished.items())
        texts.append(f"Not all entries have the same seeds, and each mean is over its own: {own}.")
    if single := [name for name, mixer in comparison.mixers.items() if len(mixer.seeds) == 1]:
        texts.append(f"Fewer than two seeds, so no spread over seeds can be given: {', '.join(single)}.")
    settings = [
        f"{name} {', '.join(f'{key}={value}' for key, value in mixer.settings.items())}"
        for name, mixer in comparison.mixers.items()
        if mixer.settings
    ]
    if settings:
        texts.append(f"Settings of their own: {'; '.join(settings)}.")
    return texts


def origin_notes(comparison: Comparison) -> list[str]:
    seeds = dict.fromkeys(seed for mixer in comparison.mixers.values() for seed in mixer.seeds)
    machines = "; ".join(comparison.machines)
    texts = [f"Seeds: {', '.join(map(str, seeds)) or 'none finished'}. Run on: {machines}."]
    if len(comparison.commits) > 1:
        texts.append(f"Runs are of several commits of the code: {', '.join(map(str, comparison.commits))}.")
    return texts


def problem_note(problem: Problem) -> str:
    state = f"crashed: {problem.crashed}" if problem.crashed else "is not finished"
    return f"{problem.mixer}, seed {problem.seed} {state}."


def interval_text(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def number_text(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:,{form}}"
