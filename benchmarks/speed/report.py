"""The tables, the plot and the comparison of results of `benchmarks.speed`."""

from collections.abc import Iterable, Sequence

SLOWER = 1.10
KEY = ("part", "name", "mode", "frames", "seconds_of_speech", "batch", "threads")
FRAME_SECONDS = 0.04
TARGETS = {  # part, row, peer: how many times as fast the project wants to be
    ("mixers", "summarymixing, 1 head", "reference"): 1.3,
    ("mixers", "summarymixing, 4 heads", "reference"): 1.3,
    ("mixers", "summarymixing, lite, 4 heads", "reference"): 1.3,
    ("mixers", "xnor", "reference"): 1.5,
    ("mixers", "hypermixing", "SpeechBrain"): 1.7,
    ("mixers", "attention", "SpeechBrain"): 1.0,
    ("mixers", "relpos_attention", "SpeechBrain"): 1.0,
    ("encoders", "hyperconformer_8M", "SpeechBrain"): 1.4,
    ("encoders", "conformer_small", "SpeechBrain"): 1.4,
    ("steps", "hyperconformer_8M", "SpeechBrain"): 1.4,
    ("steps", "conformer_small", "SpeechBrain"): 1.4,
}
COSTS = {("mixers", f"summarymixing, {form}"): 1.1 for form in ("1 head", "4 heads", "lite, 4 heads")}  # at most
LONG = 10**9
FROM_FRAMES = {"hypermixing": 750, "xnor": 250}  # the targets of these are for utterances as long
CLAIMS = (  # what a paper says; the row, mode and peer that measure it
    ("SummaryMixing trains up to 28 % faster ([2307.07421](https://arxiv.org/abs/2307.07421))",
     "conformer_summarymixing_100h", "training", "ours, relpos_attention"),
    ("HyperConformer's encoder is 38 % faster at medium and 56 % at great length "
     "([2305.18281](https://arxiv.org/abs/2305.18281))",
     "hyperconformer_8M", "inference", "ours, relpos_attention"),
)  # fmt: skip


def line(row: dict) -> str:
    """A row for the screen."""
    ratios = ", ".join(f"{peer} {median:g}x" for peer, (median, *_) in row["times_ours"].items())
    sizes = " ".join(f"{key} {row[key]}" for key in KEY[2:] if key in row)
    cost = f", {row['cost']:g} of its products" if "cost" in row else ""
    return f"{row['part']:14}{row['name']:34}{sizes}: {1000 * row['seconds']:g} ms{cost}; {ratios}"


def length(row: dict) -> str:
    """The length of a row's utterances, in seconds of speech."""
    return f"{row['seconds_of_speech'] if 'seconds_of_speech' in row else row['frames'] * FRAME_SECONDS:g}"


def which(row: dict) -> str:
    """The cells that tell a row from others."""
    return " | ".join(map(str, (row["part"], row["name"], row["mode"], length(row), row["batch"], row["threads"])))


def tables(rows: Sequence[dict]) -> str:
    """Markdown: all rows, what is below its target, and the papers' claims."""
    out = ["| part | what | mode | s of speech | batch | threads | ms | of own products | beside peers |"]
    out.append("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        ratios = [f"{peer} {median:g} ({low:g}–{high:g})" for peer, (median, low, high) in row["times_ours"].items()]
        cells = [which(row), f"{1000 * row['seconds']:,.3g}", f"{row['cost']:.2f} x" if "cost" in row else "–"]
        out.append("| " + " | ".join([*cells, "; ".join(ratios) or "–"]) + " |")
    below = [
        f"| {which(row)} | {peer} | {target:g} | {row['times_ours'][peer][0]:g} |"
        for (part, name, peer), target in TARGETS.items()
        for row in rows
        if (row["part"], row["name"]) == (part, name)
        and row["times_ours"].get(peer, [target])[0] < target
        and row.get("frames", LONG) >= FROM_FRAMES.get(name, 0)
    ]
    below += [
        f"| {which(row)} | its own products | {most:g} x | {row['cost']:.2f} x |"
        for row in rows
        if (most := COSTS.get((row["part"], row["name"]), LONG)) < row.get("cost", 0)
    ]
    if below:
        out += ["", "| part | below target | mode | s of speech | batch | threads | beside | wanted | measured |"]
        out += ["|---|---|---|---|---|---|---|---|---|", *below]
    claims = [
        f"| {claim} | {length(row)} | {row['batch']} | {row['threads']} "
        f"| {100 - 100 / row['times_ours'][peer][0]:.0f} % less time than {peer} |"
        for claim, name, mode, peer in CLAIMS
        for row in rows
        if (row["part"], row["name"], row["mode"]) == ("encoders", name, mode) and peer in row["times_ours"]
    ]
    if claims:
        out += ["", "| claimed | s of speech | batch | threads | measured: the encoder takes |"]
        out += ["|---|---|---|---|---|", *claims]
    return "\n".join(out)


def slower(rows: Iterable[dict], committed: Iterable[dict]) -> list[str]:
    """What costs over 10 % more than in the committed file, in units of the machine's products.

    Where no multiply-adds were counted: beside the same peer. Rows that one of the two lacks are left out.
    """
    before = {key(row): row for row in committed}
    messages = []
    for row in rows:
        old = before.get(key(row))
        if old is None:
            continue
        changes = {}
        if "cost" in row and "cost" in old:
            changes["its own products"] = row["cost"] / old["cost"]
        else:
            shared = row["times_ours"].keys() & old["times_ours"].keys()
            changes = {peer: old["times_ours"][peer][0] / row["times_ours"][peer][0] for peer in sorted(shared)}
        name = " ".join(f"{part}" for part in key(row) if part is not None)
        messages += [
            f"slower: {name}: {100 * change - 100:.0f} % against {yardstick}"
            for yardstick, change in changes.items()
            if change > SLOWER
        ]
    return messages


def key(row: dict) -> tuple:
    return tuple(row.get(name) for name in KEY)


def plot(rows: Iterable[dict]) -> str:
    """An SVG file: the mixers' training steps on one thread against the length of the utterance, one at a time."""
    from recipes.reports.plots import Series, line_plot
    from recipes.reports.svg import standalone

    points: dict[str, list[tuple[float, float]]] = {}
    for row in rows:
        alone = (row["mode"], row["batch"], row["threads"]) == ("training", 1, 1)
        if row["part"] == "mixers" and alone and row["frames"] <= 6000:
            seconds = row["seconds"] / (row["frames"] * FRAME_SECONDS)
            points.setdefault(row["name"], []).append((row["frames"] * FRAME_SECONDS, 1000 * seconds))
    series = [Series(name, *zip(*sorted(of_mixer), strict=True)) for name, of_mixer in points.items()]
    label = "ms for a second of speech"
    title = "Training step of one mixer, d_model 512, one thread"
    return standalone(line_plot(series, title=title, x_label="seconds of speech", y_label=label, zero_y=True))
