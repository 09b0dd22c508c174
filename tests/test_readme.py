"""The pages: what they name is there, their commands are understood, their figures are those of the results."""

import contextlib
import re
import runpy
import sys
from pathlib import Path

import pytest

from tests.support.commands import FENCE, check_command, fenced_commands, prepare_folder
from tests.support.pages import RESULTS, ROOT, TEXTS

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
