"""The pages: what they name is there, their commands are understood, their figures are those of the results."""

import contextlib
import csv
import json
import re
import runpy
import statistics
import sys
from pathlib import Path

import pytest

from benchmarks.long_recordings.shown import markdown
from benchmarks.streaming.table import tables as streaming_tables
from tests.support.commands import FENCE, check_command, fenced_commands, prepare_folder

ROOT = Path(__file__).parents[1]
RESULTS = ROOT / "results"
PAGES = [
    *(ROOT / name for name in ("README.md", "CONTRIBUTING.md", "results/README.md", "hparams/README.md")),
    *sorted((ROOT / "docs").glob("*.md")),
]
TEXTS = {str(path.relative_to(ROOT)): path.read_text(encoding="utf-8") for path in PAGES}
EXAMPLES = {"mixers/gated_mean.py", "hparams/X.yaml"}  # which a page has its reader write, or stand for any
FOLDERS = "tests|results|docs|hparams|mixers|recipes|data_prep|benchmarks"
IN_BACKTICKS = re.compile(rf"`((?:{FOLDERS})/[\w./+-]*)(?:::(\w+))?`")
LINK = re.compile(r"\]\((?!https?:)([\w./-]*)(?:#([\w-]+))?\)")


# --- what is named --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("page", TEXTS)
def test_named_files_and_tests_are_there(page):
    missing = []
    for file, test in IN_BACKTICKS.findall(TEXTS[page]):
        places = [base / file for base in (ROOT, (ROOT / page).parent)]
        place = next((place for place in places if place.exists()), None)
        if file not in EXAMPLES and (place is None or (test and f"def {test}(" not in place.read_text())):
            missing.append((file, test))
    assert missing == []


@pytest.mark.parametrize("page", TEXTS)
def test_links_lead_somewhere(page):
    broken = []
    for file, anchor in LINK.findall(TEXTS[page]):
        target = ((ROOT / page).parent / file).resolve() if file else ROOT / page
        if not target.exists() or (anchor and anchor not in anchors(target)):
            broken.append((file, anchor))
    assert broken == []


def anchors(page: Path) -> set[str]:
    """The anchors that GitHub gives to the headings of a page."""
    headings = re.findall(r"^#+ (.*)$", FENCE.sub("", page.read_text(encoding="utf-8")), flags=re.MULTILINE)
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", TEXTS)
def test_nothing_is_left_to_be_filled_in(page):
    assert re.findall(r"\bTODO\b|\bTBD\b|\bXXX\b|…{2,}", TEXTS[page]) == []


def test_pages_are_short():
    lengths = {page: len(text.splitlines()) for page, text in TEXTS.items()}
    assert lengths["README.md"] <= 150
    assert max(lengths.values()) <= 400


def test_every_page_is_linked_from_the_readme():
    linked = {(ROOT / file).resolve() for file, _ in LINK.findall(TEXTS["README.md"]) if file}
    assert [page for page in TEXTS if page != "README.md" and ROOT / page not in linked] == []


def test_every_recipe_is_in_the_index():
    index = TEXTS["hparams/README.md"]
    assert [path.stem for path in (ROOT / "hparams").glob("*.yaml") if path.stem not in index] == []


# --- commands -------------------------------------------------------------------------------------------------------

COMMANDS = [(page, command) for page, text in TEXTS.items() for command in fenced_commands(text)]
RUN_LINE = re.compile(r"Run: .*?(python (?:train|train_lm|compare)\.py .*?)(?=, with | [A-Z][a-z]+\W|$)")


def commands_of_recipes() -> list[tuple[str, str]]:
    """Of each recipe's head comment the command after `Run:`, without the words that may follow it."""
    commands = []
    for path in sorted((ROOT / "hparams").glob("*.yaml")):
        comment = re.match(r"(?:#.*\n)+", path.read_text(encoding="utf-8")).group()
        line = " ".join(line.lstrip("# ").removesuffix("\\").strip() for line in comment.splitlines())
        commands += [(path.name, command) for command in RUN_LINE.findall(line)]
    return commands


@pytest.fixture
def checkout(tmp_path, monkeypatch):
    prepare_folder(tmp_path)
    monkeypatch.chdir(tmp_path)


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize(("page", "command"), COMMANDS + commands_of_recipes())
def test_command_is_understood(page, command, checkout, monkeypatch):
    check_command(command, monkeypatch)


def test_the_pages_have_commands():
    assert len(COMMANDS) > 40 and len(commands_of_recipes()) > 20


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize(
    "command",
    [
        "python train.py hparams/quickstart.yaml --data_folder x --mixr attention",
        "python train.py hparams/quickstart.yaml --mixer atention",
        "python evaluate.py RUN --test_search.beem 3",
        "python compare.py hparams/context.yaml --mixers xnor,lrr=1",
        "python -m data_prep.synthesize",
        "python -m benchmarks.memory hparams/conformer.yaml --frame 3 --lengths 4",
        "torchrun --processes 4 train.py hparams/conformer.yaml",
        "make quickstat",
        "pip install -r requirements-all.txt",
    ],
)
def test_a_wrong_command_is_noticed(command, checkout, monkeypatch):
    with pytest.raises((SystemExit, Exception)):
        check_command(command, monkeypatch)


def test_the_layer_runs_as_the_readme_says():
    (block,) = [content for language, content in FENCE.findall(TEXTS["README.md"]) if language == "python"]
    names = {}
    exec(compile(block, "README.md", "exec"), names)
    assert names["mixed"].shape == names["frames"].shape


# --- figures --------------------------------------------------------------------------------------------------------


def tables(text: str) -> list[list[dict[str, str]]]:
    """The tables of a page: rows as cells by the head of their column (a later column of the same head gets a 2)."""
    parsed_tables = []
    for block in re.findall(r"(?:^\|.*\|$\n?)+", text, flags=re.MULTILINE):
        head, _, *rows = [[cell.strip() for cell in line.strip().strip("|").split("|")] for line in block.splitlines()]
        head = [name if name not in head[:place] else f"{name} 2" for place, name in enumerate(head)]
        parsed_tables.append([dict(zip(head, row, strict=True)) for row in rows])
    return parsed_tables


PRINTED_TABLES = {  # by the command that prints a results file as a table, or the file that has it
    "bakeoff_context": RESULTS / "bakeoff_context" / "table.md",
    "bakeoff_linear": RESULTS / "bakeoff_linear" / "table.md",
    "bakeoff_order": RESULTS / "bakeoff_order" / "table.md",
    "bakeoff_order_published": RESULTS / "bakeoff_order_published" / "table.md",
    "bakeoff_real": RESULTS / "bakeoff_real" / "table.md",
    "probes": ("benchmarks.probes", "--table", "results/probes.json"),
    "mixers": ("benchmarks.memory", "--table", "results/mixers.json"),
    "encoder_memory": ("benchmarks.memory", "--table", "results/encoder_memory.json"),
}


@pytest.mark.filterwarnings("ignore:.*found in sys.modules")
@pytest.mark.parametrize("name", PRINTED_TABLES)
def test_a_table_is_the_one_that_its_program_makes(name, checkout, monkeypatch, capsys):
    """Apart from columns that the page leaves out."""
    source = PRINTED_TABLES[name]
    if isinstance(source, Path):
        text = source.read_text(encoding="utf-8")
    else:
        monkeypatch.setattr(sys, "argv", list(source))
        with contextlib.suppress(SystemExit):
            runpy.run_module(source[0], run_name="__main__", alter_sys=True)
        text = capsys.readouterr().out
    (printed,) = tables(text)
    equal_tables = [
        table
        for table in tables(TEXTS["docs/comparisons.md"])
        if len(table) == len(printed)
        and all(ours.items() <= row.items() for ours, row in zip(table, printed, strict=True))
    ]
    assert len(equal_tables) == 1


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
    yield from figures_of_the_search()
    yield from figures_of_the_findings()
    yield from figures_of_swapping()
    yield from figures_of_transcribing()
    yield from figures_of_preparation()
    yield from figures_of_transducers()
    yield from figures_of_streams()


def figures_of_the_goal(context: dict):
    """Probes of a mixer, and its errors on the context corpus where it has been trained there."""
    later = read("bakeoff_linear/summary.json")["mixers"]
    hybrid = "rotary_linear_attention3+taylor_attention1"
    context = {**context, **{name: mixer for name, mixer in later.items() if name != "attention"}}
    plain = read("bakeoff_linear_attention/summary.json")["mixers"]["linear_attention"]
    rows = csv.DictReader((RESULTS / "bakeoff_linear_attention" / "runs.csv").read_text().splitlines())
    seconds_of_runs = [float(row["train_seconds"]) for row in rows if row["mixer"] == "linear_attention"]
    context["linear_attention"] = {**plain, "train_seconds": statistics.median(seconds_of_runs)}  # one run stood still
    order = read("bakeoff_order/summary.json")["mixers"]
    for corpus, mixers in (("context", later), ("order", order)):
        ours, attention = (mixers[name]["splits"]["test-clean"] for name in (hybrid, "attention"))
        p = "< 0.001" if ours["p"] < 0.001 else f"{ours['p']:.3f}"
        yield "README.md", f"`{corpus}` ({ours['mean']:.2f} % WER beside {attention['mean']:.2f}, p {p})"
        for split in (ours, attention):
            yield "docs/comparisons.md", f"{split['mean']:.2f} ± {split['spread']:.2f}"
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
        yield "docs/findings.md", f"{start} {mixers[name]['valid_wer']:.1f} | {split['mean']:.1f} | {error} |"


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
