"""Figures on the project's pages are those of the results files that they quote."""

import csv
import json
import statistics

import pytest
import scipy.stats

from benchmarks.long_recordings.shown import markdown
from benchmarks.streaming.table import tables as streaming_tables
from tests.support.pages import RESULTS, TEXTS


def read(file: str) -> dict:
    return json.loads((RESULTS / file).read_text(encoding="utf-8"))


def figures():
    """(page, text that must stand there), the text made of a results file."""
    for run in read("quickstart.json")["runs"]:
        test_clean, test_other = (run["splits"][split] for split in ("test-clean", "test-other"))
        rates = [f"{split['wer']:.2f}, {split['wer_greedy_ctc']:.2f}" for split in (test_clean, test_other)]
        sizes = f"{run['parameters'] / 1e6:.2f} M", f"{run['seconds']:.0f} | {run['peak_memory_mb']:,.0f}"
        yield "results/README.md", f"| `{run['command']}` | {sizes[0]} | {rates[0]} | {rates[1]} | {sizes[1]} |"
        if run["command"] == "make quickstart":
            yield "README.md", f"{test_clean['wer']:.2f} % on test-clean, {test_other['wer']:.2f} % on test-other"
            yield "results/README.md", f"The first took {run['total_seconds_after_installation']} seconds"
    context = read("bakeoff_context/summary.json")["mixers"]
    labels = {
        "attention": "attention",
        "summarymixing3+attention1": "3 layers SummaryMixing, 1 attention",
        "xnor": "XNOR",
        "summarymixing": "SummaryMixing",
        "hypermixing": "HyperMixing",
        "local_only": "no mixing over time (`local_only`)",
    }
    for name, label in labels.items():
        split, work = context[name]["splits"]["test-clean"], context[name]["multiply_adds_10s"] / 1e9
        rates = f"{split['mean']:.2f} ± {split['spread']:.2f} | {split['homophone_error']:.1f}"
        yield "README.md", f"| {label} | {work:.2f} | {rates} |"
    rows = {(row["mixer"], row["frames"]): row for row in read("mixers.json")["rows"]}
    for mixer, frames in rows:
        if frames == 1500 and f"| `{mixer}` |" in TEXTS["README.md"]:  # all are in docs/comparisons.md
            row = rows[mixer, frames]
            grows = ", grows" * (mixer in ("attention", "relpos_attention"))
            work = f"{row['multiply_adds_per_frame'] / 1e6:.2f} M".replace("0.00 M", "0")
            state = "cannot stream" if row["state"] is None else f"{row['state']:,}"
            yield "README.md", f"| {work}{grows} | {rows[mixer, 12000]['peak_mb']:,.0f} | {state}{grows} |"
    seconds = {(row["mixer"], row["frames"]): f"{row['step_s']:.2g}" for row in read("context_time.json")["rows"]}
    for mixer in ("attention", "summarymixing", "xnor"):
        listed = " / ".join(seconds[mixer, frames] for frames in (500, 2000, 8000))
        yield "docs/comparisons.md", f"{mixer} {listed}"
    yield from figures_of_the_goal(context)
    yield from figures_of_the_warmup()
    yield from figures_of_the_search()
    yield from figures_of_the_findings()
    yield from figures_of_swapping()
    yield from figures_of_consistency()
    yield from figures_of_consistency_on_the_demo()
    yield from figures_of_transcribing()
    yield from figures_of_preparation()
    yield from figures_of_transducers()
    yield from figures_of_streams()


def wers(comparison: str, mixer: str) -> list[float]:
    """By seed."""
    rows = csv.DictReader((RESULTS / comparison / "runs.csv").read_text().splitlines())
    return [float(row["wer"]) for row in rows if row["mixer"] == mixer]


def spread(values: list[float]) -> str:
    return f"{statistics.mean(values):.2f} ± {statistics.stdev(values):.2f}"


def welch(first: list[float], second: list[float]) -> float:
    return scipy.stats.ttest_ind(first, second, equal_var=False).pvalue


def figures_of_the_goal(context: dict):
    """Probes of a mixer, and its errors on the context corpus where it has been trained there."""
    later = read("bakeoff_linear/summary.json")["mixers"]
    hybrid = "rotary_linear_attention3+taylor_attention1"
    context = {**context, **{name: mixer for name, mixer in later.items() if name != "attention"}}
    plain = read("bakeoff_linear_attention/summary.json")["mixers"]["linear_attention"]
    rows = csv.DictReader((RESULTS / "bakeoff_linear_attention" / "runs.csv").read_text().splitlines())
    seconds_of_runs = [float(row["train_seconds"]) for row in rows if row["mixer"] == "linear_attention"]
    context["linear_attention"] = {**plain, "train_seconds": statistics.median(seconds_of_runs)}  # one run stood still
    ours, beside = wers("bakeoff_linear", hybrid), wers("bakeoff_linear", "attention")
    yield "README.md", f"`context` ({spread(ours)} % WER beside {spread(beside)})"
    six = wers("bakeoff_order", "attention") + wers("bakeoff_order_published", "attention")
    yield "README.md", f"`order` ({spread(wers('bakeoff_order', hybrid))} beside {spread(six)})"
    yield "docs/comparisons.md", f"attention {spread(six)} % in its six runs"
    p = [welch(ours, beside), welch(wers("bakeoff_order", hybrid), six)]
    yield "docs/comparisons.md", f"(Welch's t, p {p[0]:.2f} and {p[1]:.2f})"
    rotary = wers("bakeoff_order", "rotary_linear_attention")
    yield "docs/comparisons.md", f"attention and attention differ on `order` with p {welch(rotary, six):.2f}"
    for folder in ("bakeoff_order", "bakeoff_order_published"):
        yield "docs/comparisons.md", spread(wers(folder, "attention"))
    runs = read("order.json")["runs"]
    for run in (*runs[:2], runs[-1]):  # those between are of other settings, or were stopped
        lowest, highest = run["test-clean"]["interval"]
        yield "docs/comparisons.md", f"{run['test-clean']['wer']:.2f} ({lowest:.2f} to {highest:.2f})"
    accuracy: dict[tuple, list[float]] = {}
    for cell in read("probes.json")["cells"]:
        accuracy.setdefault((cell["mixer"], cell["task"]), []).append(cell["accuracy"])
    names = {
        "attention": ("attention", "attention"),
        "3 layers SummaryMixing, 1 attention": ("summarymixing+attention", "summarymixing3+attention1"),
        "`directional_attention`": ("directional_attention", "directional_attention"),
        "`rotary_linear_attention`": ("rotary_linear_attention", "rotary_linear_attention"),
        "**3 layers `rotary_linear_attention`, 1 `taylor_attention`**": (
            "rotary_linear_attention+taylor_attention",
            hybrid,
        ),
        "HyperMixing": ("hypermixing", "hypermixing"),
        "XNOR": ("xnor", "xnor"),
        "SummaryMixing": ("summarymixing", "summarymixing"),
        "linear attention": ("linear_attention", "linear_attention"),
    }
    for label, (probes, trained) in names.items():
        seeds = [accuracy[probes, task] for task in ("norm", "cue", "order", "recall", "copy", "count")]
        shares = " | ".join(f"{statistics.mean(values):.1f}" for values in seeds)
        split, work = context[trained]["splits"]["test-clean"], context[trained]["multiply_adds_10s"] / 1e9
        p = "baseline" if split["p"] is None else "< 0.001" if split["p"] < 0.001 else f"{split['p']:.3f}"
        wer, seconds = f"{split['mean']:.2f} ± {split['spread']:.2f}", f"{context[trained]['train_seconds']:.0f}"
        yield "docs/comparisons.md", f"| {label} | {shares} | {wer} | {p} | {work:.2f} | {seconds} |"


def figures_of_the_warmup():
    split = read("bakeoff_attention_warmup/summary.json")["mixers"]["attention_w300"]["splits"]["test-clean"]
    for page in ("docs/comparisons.md", "docs/findings.md"):
        yield page, f"{split['mean']:.2f} ± {split['spread']:.2f} %"


def figures_of_the_search():
    forms = {
        "search.json": "| {} | {} | {} | {:.1f} x | {:.1f} x |",
        "search_beam10.json": "the first row is then {3:.1f} and {4:.1f} x",
    }
    for file, form in forms.items():
        for row in read(file)["rows"]:
            if row["model"] == "run":
                sizes, times = (row["frames"], row["beam"], row["batch"]), row["times_ours"]
                yield "docs/decoding.md", form.format(*sizes, times["stock_full"], times["stock_partial"])


def figures_of_the_findings():
    """Of the rows of a table: dev WER, WER and homophone error of each entry."""
    entries = {
        "attention": "| attention | 3e-3 |",
        "attention_lr6e-3": "| attention | 6e-3 |",
        "summarymixing3+attention1": "| 3 SummaryMixing, 1 attention | 3e-3 |",
        "sm_lr1.5e-3": "| SummaryMixing | 1.5e-3 |",
        "summarymixing": "| SummaryMixing | 3e-3 |",
        "sm_lr6e-3": "| SummaryMixing | 6e-3 |",
        "sm_lr1.2e-2": "| SummaryMixing | 1.2e-2 |",
        "xnor_lr1e-3": "| XNOR | 1e-3, warm-up 300 |",
        "xnor_lr2e-3": "| XNOR | 2e-3, warm-up 300 |",
        "xnor_lr6e-3": "| XNOR | 6e-3 |",
        "hypermixing": "| HyperMixing | 3e-3 |",
        "hypermixing_lr6e-3": "| HyperMixing | 6e-3 |",
    }
    mixers = read("findings_context/summary.json")["mixers"]
    for name, start in entries.items():
        split = mixers[name]["splits"]["test-clean"]
        error = f"{split['homophone_error']:.1f}" if "homophone_error" in split else "none recognised"
        yield "docs/findings_rates.md", f"{start} {mixers[name]['valid_wer']:.1f} | {split['mean']:.1f} | {error} |"


def figures_of_swapping():
    runs = {run["run"]: run for run in read("swap.json")["runs"]}
    for name in ("all", "three", "directional"):
        swapped, scratch = runs[f"swap_{name}"], runs[f"scratch_{name}"]
        interval = " to ".join(f"{end:.2f}" for end in swapped["test_interval"])
        errors = ", ".join(f"{run['test_homophone_error']:.1f}" for run in (swapped, scratch))
        rates = f"{swapped['test_wer']:.2f} ({interval}) | {scratch['test_wer']:.2f} | {errors}"
        by_epoch = ", ".join(f"{rate:.1f}" for rate in swapped["dev_wer_by_epoch"])
        yield "docs/findings.md", f"| `{swapped['mixer']}` | {rates} | {by_epoch} |"
        yield "docs/own_data.md", f"{swapped['test_wer']:.2f}"
    yield "docs/own_data.md", f"Attention came to {runs['attention']['test_wer']:.2f} % WER"


def figures_of_consistency():
    measured = read("consistency.json")
    runs: dict[str, dict[int, dict]] = {}
    for run in measured["runs"]:
        runs.setdefault(run["run"], {})[run["seed"]] = run
    for by_seed in runs.values():
        first = next(iter(by_seed.values()))
        found = [by_seed.get(seed) for seed in measured["seeds"]]
        rates = ", ".join(f"{run['test_wer']:.2f}" if run else "–" for run in found)
        errors = [None if run is None else run["test_homophone_error"] for run in found]
        shown = ", ".join("–" if error is None else f"{error:.1f}" for error in errors)
        views = "yes" if first["consistency_weight"] else "no"
        yield "docs/findings.md", f" | {first['masks_from_epoch']} | {views} | {rates} | {shown} |"


def figures_of_consistency_on_the_demo():
    runs: dict[str, list[dict]] = {}
    for run in read("consistency_quickstart.json")["runs"]:
        runs.setdefault(run["run"], []).append(run)
    for of_seeds in runs.values():
        columns = [[run[key][test] for run in of_seeds] for key in ("wer", "wer_greedy_ctc") for test in (0, 1)]
        rates = " | ".join(", ".join(f"{rate:.2f}" for rate in column) for column in columns)
        yield "docs/findings.md", f" | {'yes' if of_seeds[0]['consistency_weight'] else 'no'} | {rates} |"


def figures_of_transcribing():
    searches = {"recipe": "its own", "greedy": "greedy CTC"}
    for row in read("timestamps.json")["rows"]:
        start, end = (f"{row[f'{edge}_median_ms']:.0f} ms, {row[f'{edge}_p90_ms']:.0f} ms" for edge in ("start", "end"))
        yield "docs/use.md", f"| {row['split']} | {searches[row['search']]} | {row['words']} | {start} | {end} |"
    long_form = read("long_form.json")
    rates: dict[tuple[str, str, str], list[float]] = {}
    for row in long_form["accuracy"]["rows"]:
        recipe, _, run = row["run"].split("/")
        name = recipe if run.isdigit() else run
        rates.setdefault((name, row["search"], row["mode"]), []).append(row["wer"])
    for (recipe, search, mode), wers in rates.items():
        cells = " | ".join(f"{wer:.2f}" for wer in (wers if len(wers) > 1 else wers * 3))
        yield "docs/long_recordings.md", f"| {recipe} | {searches[search]} | {mode} | {cells} |"
    for line in markdown(long_form["cost"]["rows"]).splitlines():
        yield "docs/long_recordings.md", line
    server = read("server.json")
    times = f"{server['word_latency_p50_ms']:,} ms in the median, {server['word_latency_p95_ms']:,} ms for 95 %"
    yield "docs/streaming.md", times


def figures_of_preparation():
    """Of a corpus of LibriSpeech's size."""
    found = read("preparation.json")
    seconds = {name: found[name]["seconds"] for name in ("first", "again", "first_batch", "restart")}
    memory = {name: found[name]["peak_mb"] for name in ("first", "again")}
    yield (
        "results/README.md",
        f"took {seconds['first']} s and {memory['first']} MB, again {seconds['again']} s and {memory['again']} MB",
    )
    yield (
        "results/README.md",
        f"{seconds['first_batch']} s with everything to be made, {seconds['restart']} s with manifests",
    )
    yield "docs/data.md", f"take {seconds['first']:.0f} seconds if the headers are in memory"


def figures_of_transducers():
    runs, names = read("transducer.json")["runs"], {"LSTMPrediction": "LSTM", "StatelessPrediction": "stateless"}
    for run in runs:
        splits = [run["splits"][split] for split in ("test-clean", "test-other")]
        for key, text_from in (("wer", ", beam 4"), ("wer_greedy_ctc", ": its CTC head, greedy")):
            rates = " | ".join(f"{split[key]:.2f}" for split in splits)
            yield "results/README.md", f"| {names[run['prediction']]} prediction{text_from} | {rates} |"
    (wer,) = {f"{run['epochs'][-1]['valid_wer']:.2f}" for run in runs}
    yield "results/README.md", f"both have {wer} %"
    heads = " and ".join(f"{run['epochs'][-1]['valid_wer_greedy_ctc']:.2f}" for run in runs)
    yield "results/README.md", f"the same runs {heads}"


def figures_of_streams():
    found = read("streaming.json")
    for line in streaming_tables(found).splitlines():
        if line.startswith("| "):
            yield "docs/streaming.md", " ".join(line.split())
    for row in read("inference.json")["streams"]["rows"]:
        size = f" {row['file_mb']} MB " if "file_mb" in row else " "
        yield "docs/streaming.md", f"| {row['engine']} | {row['chunk_cpu_ms']:.1f} ms |{size}|"
        if "state_kb" in row:
            yield "docs/streaming.md", f"The state of a stream is {row['state_kb']} kB"


@pytest.mark.parametrize(("page", "text"), list(figures()))
def test_a_figure_is_that_of_the_results(page, text):
    assert text in " ".join(TEXTS[page].split())
