"""The one table of a comparison, as texts: every mixer's errors with their certainty, and its costs."""

from collections.abc import Sequence

from recipes.bakeoff.plan import SECONDS

EXTRAS = {"merged_wer": "merged WER %", "homophone_error": "homophone error %", "homophones_seen": "seen %"}
MULTIPLY_ADDS = f"multiply_adds_{SECONDS}s"


def notes(summary: dict) -> list[str]:
    """What must be known to read the table."""
    mixers, baseline = summary["mixers"], summary["baseline"]
    said = [
        summary["budget"],
        "WER: mean over seeds ± sample standard deviation [95 % bootstrap interval over utterances].",
    ]
    if mixers[baseline]["seeds"]:
        said.append(
            f"p against {baseline}: matched pairs / paired bootstrap, corrected by Holm over the mixers. "
            "Both ask whether these trained models differ on such utterances; whether other seeds would, the "
            "spread hints at."
        )
    else:
        said.append(f"No p: the baseline {baseline} has no finished run.")
    said += speaker_notes(summary)
    said.append("dev WER: greedy CTC of the best epoch, mean over seeds. Choose settings by it, not by the test sets.")
    if any("homophone_error" in one for mixer in mixers.values() for one in mixer["splits"].values()):
        said.append(
            "homophone error: wrong spellings among the homophones recognised as either; 50 is guessing. "
            "merged WER: both spellings count as one word."
        )
    few = [name for name, one in mixers.items() if len(one["seeds"]) == 1]
    if few:
        said.append(f"Fewer than two seeds, so no spread over seeds can be given: {', '.join(few)}.")
    changed = [
        f"{name} {', '.join(f'{key}={value}' for key, value in one['settings'].items())}"
        for name, one in mixers.items()
        if one["settings"]
    ]
    if changed:
        said.append(f"Settings of their own: {'; '.join(changed)}.")
    seeds = distinct(seed for one in mixers.values() for seed in one["seeds"])
    said.append("Training seconds and RTF are those of a machine that may have had other work beside the runs.")
    said.append(f"Seeds: {', '.join(map(str, seeds)) or 'none finished'}. Run on: {'; '.join(summary['machines'])}.")
    if len(summary["commits"]) > 1:
        said.append(f"Runs are of several commits of the code: {', '.join(map(str, summary['commits']))}.")
    for one in summary["problems"]:
        state = f"crashed: {one['crashed']}" if one["crashed"] else "is not finished"
        said.append(f"{one['mixer']}, seed {one['seed']} {state}.")
    return said


def speaker_notes(summary: dict) -> list[str]:
    """How much wider the baseline's interval is when speakers are drawn: their utterances are alike."""
    said = []
    for split, found in summary["mixers"][summary["baseline"]]["splits"].items():
        if found["interval_speakers"]:
            said.append(
                f"{split} has {found['speakers']} speakers; drawing these and not utterances, the interval of "
                f"{summary['baseline']} is{between(found['interval_speakers'])}."
            )
    return said


def table_cells(summary: dict) -> tuple[list[str], list[list[str]]]:
    """Heads and rows of the one table, as texts."""
    splits = list(summary["pairs"])
    extras = {
        split: [key for key in EXTRAS if any(key in one["splits"].get(split, {}) for one in summary["mixers"].values())]
        for split in splits
    }
    heads = ["mixer", "parameters", f"10⁹ multiply-adds, {SECONDS} s"]
    for split in splits:
        heads += [f"{split} WER %", "p", *(EXTRAS[key] for key in extras[split])]
    heads += ["dev WER %", "training s", "RTF", "peak MB"]
    rows = []
    for name, one in summary["mixers"].items():
        row = [name, f"{one['parameters'] / 1e6:.2f} M", f"{one[MULTIPLY_ADDS] / 1e9:.2f}"]
        for split in splits:
            row += split_cells(summary, name, split, extras[split])
        row += [
            number(one["valid_wer"], ".2f"),
            number(one["train_seconds"], ".0f"),
            number(one["rtf"], ".4f"),
            number(one["peak_memory_mb"], ".0f"),
        ]
        rows.append(row)
    return heads, rows


def split_cells(summary: dict, name: str, split: str, extras: Sequence[str]) -> list[str]:
    one = summary["mixers"][name]
    found = one["splits"].get(split)
    if found is None:
        crashed = any(each["mixer"] == name and each["crashed"] for each in summary["problems"])
        return ["crashed" if crashed else "not finished", "–", *("–" for _ in extras)]
    wer = f"{found['mean']:.2f}" + (f" ± {found['spread']:.2f}" if found["spread"] is not None else "")
    wer += between(found["interval"])
    missing = len(one["seeds_asked"]) - len(one["seeds"])
    wer += f" ({len(one['seeds'])} of {len(one['seeds_asked'])} seeds)" if missing else ""
    p = "–" if found["p"] is None else f"{p_text(found['p'])} / {p_text(found['p_bootstrap'])}"
    p = "baseline" if name == summary["baseline"] else p
    return [wer, p, *(number(found.get(key), ".1f") for key in extras)]


def between(interval: Sequence[float] | None) -> str:
    return "" if interval is None else f" [{interval[0]:.2f}, {interval[1]:.2f}]"


def p_text(p: float) -> str:
    return "< 0.001" if p < 0.001 else f"{p:.3f}"


def number(value: float | None, form: str) -> str:
    return "–" if value is None else f"{value:,{form}}"


def markdown(summary: dict) -> str:
    """The table and its notes."""
    heads, rows = table_cells(summary)
    lines = [" | ".join(cell.replace("|", "\\|") for cell in row) for row in (heads, ["---"] * len(heads), *rows)]
    table = "\n".join(f"| {line} |" for line in lines)
    return f"{table}\n\n" + "\n".join(f"- {note}" for note in notes(summary)) + "\n"


def distinct(values) -> list:
    found = []
    for value in values:
        if value not in found:
            found.append(value)
    return found
