"""compare.py: entries, what is refused, and the whole way with the real train.py."""

import shutil
from pathlib import Path

import pytest

import compare
from recipes.bakeoff import Comparison
from recipes.bakeoff.entries import Entry, make_seeds, parse_entry
from recipes.bakeoff.plan import make_plan
from recipes.bakeoff.recipe import build
from recipes.bakeoff.runner import is_finished
from recipes.bakeoff.sizes import match_sizes
from recipes.scoring.results import RunSummary
from tests.support.bakeoff_folders import plan_of, refused, shared, tiny_corpus
from tests.support.corpus import write_corpus
from tests.support.runs import RECIPE


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    return tiny_corpus(tmp_path_factory.mktemp("corpus"))


# --- entries and seeds --------------------------------------------------------------------------------------

ENTRIES = {
    "xnor": Entry("", "xnor", {}),
    "xnor,lr=5e-4, warmup_steps=300": Entry("", "xnor", {"lr": "5e-4", "warmup_steps": "300"}),
    "slow=attention,lr=1e-3": Entry("slow", "attention", {"lr": "1e-3"}),
    "summarymixing*3+attention*1": Entry("", "summarymixing*3+attention*1", {}),
    "half=[xnor*2, attention],speeds=[95, 100],model.dropout=0": Entry(
        "half", "[xnor*2, attention]", {"speeds": "[95, 100]", "model.dropout": "0"}
    ),
}


@pytest.mark.parametrize("text", ENTRIES)
def test_entries(text):
    assert parse_entry(text) == ENTRIES[text]


@pytest.mark.parametrize("text", ["", "a=", "xnor,lr", "xnor,=3", "xnor,lr=", "../up=xnor", ".hidden=xnor", ",lr=3"])
def test_what_is_no_entry(text):
    assert refused(parse_entry, text) == (
        f"--mixers: '{text}' is not [NAME=]MIXER[,KEY=VALUE…], such as slow=xnor,lr=5e-4"
    )


def test_entry_with_data_of_its_own():
    assert refused(parse_entry, "xnor,test_splits=dev-clean") == (
        "--mixers: 'xnor,test_splits=dev-clean' sets test_splits, which all entries of a comparison share"
    )


def test_seeds():
    assert make_seeds([3], 1234) == [1234, 1235, 1236]
    assert make_seeds([5, 9], 1234) == [5, 9]
    for bad in ([0], [5, 5]):
        assert refused(make_seeds, bad, 1) == (
            f"--seeds {' '.join(map(str, bad))}: give how many, or several different ones"
        )


def test_runs_and_their_names(corpus, tmp_path):
    plan = plan_of(corpus, tmp_path, "xnor*1+attention*1", "slow=attention,lr=1e-4", "xnor")
    assert [(run.name, run.seed) for run in plan.runs()] == [
        (name, seed) for seed in (1234, 1235) for name in ("xnor1+attention1", "slow", "xnor")
    ]
    slow = plan.runs()[1]
    assert slow.folder == tmp_path / "runs" / "slow" / "1234"
    assert slow.arguments[-5:] == [
        "--mixer=attention",
        "--lr=1e-4",
        "--seed=1234",
        f"--output_folder={slow.folder}",
        "--noprogressbar",
    ]
    assert plan.record.baseline == "xnor1+attention1"


# --- what is refused ----------------------------------------------------------------------------------------

MISTAKES = {
    "unknown mixer": (
        ["atention"],
        {},
        "mixer: no such mixer 'atention'; did you mean 'attention'? mixers: ",
    ),
    "two of a name": (
        ["xnor", "xnor,lr=1"],
        {},
        "--mixers: two entries are named 'xnor': name one otherwise, NAME=xnor,…",
    ),
    "unknown key": (["xnor,lrr=1"], {}, "no such key 'lrr'; did you mean 'lr'?"),
    "baseline": (
        ["xnor", "attention"],
        {"baseline": "atention"},
        ("--baseline: no entry 'atention' in this comparison; did you mean 'attention'? entries: xnor, attention"),
    ),
    "debug": (
        ["xnor"],
        {"options": ["--debug"]},
        "--debug: its runs would be taken for finished ones; leave it out, or use train.py",
    ),
    "no training": (
        ["attention", "xnor,find_batch=true"],
        {},
        "--find_batch true: its runs would train nothing; leave it out, or use train.py",
    ),
    "a seed for a number": (
        ["xnor"],
        {"seeds": (1234,)},
        "--seeds 1234: one number says how many; for one seed, --seed 1234 --seeds 1",
    ),
    "no time": (["xnor"], {"seconds": 0}, "--seconds 0 must be a number above 0"),
    "all time": (["xnor"], {"seconds": float("inf")}, "--seconds inf must be a number above 0"),
    "two budgets": (
        ["xnor"],
        {"seconds": 9, "options": ["--optimizer_step_limit", "5"]},
        "--seconds 9 is one budget too many beside --optimizer_step_limit",
    ),
    "a budget of its own": (
        ["xnor,optimizer_step_limit=5"],
        {"seconds": 9},
        "--seconds 9 is one budget too many beside --optimizer_step_limit",
    ),
    "mixer": (["xnor"], {"options": ["--mixer", "xnor"]}, "a comparison sets --mixer itself: give --mixers"),
    "output folder": (
        ["xnor"],
        {"options": ["--output_folder", "x"]},
        "a comparison sets --output_folder itself: give --out",
    ),
}


@pytest.mark.parametrize("mistake", MISTAKES)
def test_mistakes(corpus, tmp_path, mistake):
    mixers, options, message = MISTAKES[mistake]
    assert message in refused(plan_of, corpus, tmp_path / "out", *mixers, **options)
    assert not (tmp_path / "out").exists()


def test_no_data_folder(tmp_path, capsys):
    options = ["--mixers", "xnor", "--out", str(tmp_path / "out")]
    assert compare.main([str(RECIPE), "--data_folder", str(tmp_path / "none"), *options]) == 2
    assert capsys.readouterr().err == (
        f"error: no data folder {tmp_path / 'none'}: give the folder that holds LibriSpeech's splits, or its parent\n"
    )
    assert compare.main([str(RECIPE), *options]) == 2
    assert "data_folder is not set: give --data_folder PATH" in capsys.readouterr().err


COMMANDS = {
    "no mixers": (
        [],
        "no mixers to compare: give --mixers ENTRY …, such as --mixers summarymixing attention",
    ),
    "no jobs": (["--mixers", "xnor", "--jobs", "0"], "--jobs must be 1 or more, not 0"),
    "no comparison": (
        ["--table", "--out", "nowhere"],
        "nowhere: no comparison there; give --out, or leave out --table to run one",
    ),
    "table with a misspelt option": (
        ["--table", "--out", "nowhere", "--basline", "xnor"],
        "--basline: --table trains nothing, it takes --out, --baseline, --results, --benchmark",
    ),
    "table of other mixers": (
        ["--table", "--out", "nowhere", "--mixers", "xnor"],
        "--mixers: --table trains nothing, it takes --out, --baseline, --results, --benchmark",
    ),
}


@pytest.mark.parametrize("command", COMMANDS)
def test_commands_that_cannot_be(capsys, command):
    options, message = COMMANDS[command]
    assert compare.main([str(RECIPE), *options]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"


def test_folder_with_other_files(corpus, tmp_path):
    (tmp_path / "thesis.txt").write_text("years of work")
    message = f"{tmp_path} holds other files than a comparison: give another --out"
    assert refused(plan_of, corpus, tmp_path, "xnor") == message


@pytest.fixture
def begun(corpus, tmp_path) -> Path:
    """A folder in which two entries have runs."""
    folder = tmp_path / "out"
    plan_of(corpus, folder, "xnor", "slow=xnor,lr=1e-4").save()
    for name in ("xnor", "slow"):
        (folder / "runs" / name).mkdir(parents=True, exist_ok=True)
    return folder


def test_another_recipe_in_the_folder(corpus, begun):
    message = refused(plan_of, corpus, begun, "xnor", options=["--lr", "0.5", "--number_of_epochs", "3"])
    assert message == (
        f"{begun} holds a comparison of another recipe (it differs in lr: 0.002 there, 0.5 here, "
        "number_of_epochs: 1 there, 3 here): give another --out, or remove that folder"
    )


def test_another_budget_in_the_folder(corpus, begun):
    message = refused(plan_of, corpus, begun, "xnor", seconds=20)
    assert f"{begun} holds a comparison of another recipe (it differs in seconds: None there, 20 here): " in message


def test_other_data_in_the_folder(corpus, begun, tmp_path):
    corpus_2 = tmp_path / "corpus_2"
    write_corpus(corpus_2, {"train-clean-5": (2, 12), "dev-clean": (1, 3), "test-clean": (1, 4)}, seed=1)
    shutil.copy(corpus / "tiny.yaml", corpus_2)
    message = refused(plan_of, corpus_2, begun, "xnor")
    assert message == (
        f"{begun} holds a comparison on other data (it differs in train-clean-5, dev-clean, test-clean): "
        "give another --out, or remove that folder"
    )


def test_same_data_elsewhere(corpus, begun, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    assert plan_of(moved, begun, "xnor").record.mixers.keys() == {"xnor", "slow"}


def test_entry_with_other_settings(corpus, begun):
    advice = f"name the new ones otherwise, as in slow_2=…, or remove {begun / 'runs' / 'slow'}"
    for entry, difference in (
        ("slow=xnor", "lr: 0.0001 there, 0.002 here"),
        ("slow=attention,lr=1e-4", "mixer, mixers)"),
    ):
        message = refused(plan_of, corpus, begun, entry)
        assert message.startswith(f"{begun} holds runs of 'slow' with other settings (they differ in {difference}")
        assert message.endswith(advice)
    (begun / "runs" / "slow").rmdir()
    assert plan_of(corpus, begun, "slow=attention,lr=1e-4").record.mixers.keys() == {"xnor", "slow"}


def test_more_entries_and_seeds_join(corpus, begun):
    plan = plan_of(corpus, begun, "xnor", "attention", seeds=(1235, 7))
    assert {name: entry.seeds for name, entry in plan.record.mixers.items()} == {
        "xnor": [7, 1234, 1235],
        "slow": [1234, 1235],
        "attention": [7, 1235],
    }


# --- equal sizes --------------------------------------------------------------------------------------------


def test_matched_parameters(corpus):
    arguments = shared(corpus)
    entries = [parse_entry(f"{name}={name}") for name in ("attention", "conv_only", "hypermixing")]
    matched = match_sizes(arguments, entries, "attention")
    wanted = build((*arguments, "--mixer=attention")).parameters
    assert matched[0] == entries[0]
    for entry in matched[1:]:
        assert entry.settings.keys() == {"model.encoder.d_ffn"}
        assert build((*arguments, *entry.arguments)).parameters == pytest.approx(wanted, rel=0.005)
    assert int(matched[1].settings["model.encoder.d_ffn"]) > 32
    message = refused(match_sizes, [*arguments, "--d_ffn", "2"], entries, "conv_only")
    assert message.startswith("--match_parameters: 'attention' has ") and "choose another --baseline" in message


# --- the real program ---------------------------------------------------------------------------------------


@pytest.mark.timeout(300)
def test_from_end_to_end(corpus, tmp_path, capsys):
    """Two runs of train.py, of which one diverges; then the tables again, without it."""
    out, results = tmp_path / "out", tmp_path / "results"
    command = [
        "--mixers",
        "summarymixing",
        "wild=attention,lr=1e30",
        "--seeds",
        "1",
        "--jobs",
        "2",
        "--out",
        str(out),
    ]
    with pytest.raises(SystemExit) as exit_status:
        compare.main([*shared(corpus), *command])
    assert exit_status.value.code == 1
    assert "wild, seed 1234: crashed: training has diverged: " in capsys.readouterr().out
    assert (out / "runs" / "summarymixing" / "1234" / "averaged.ckpt").is_file()
    assert compare.main(["--table", "--out", str(out), "--results", str(results), "--baseline", "summarymixing"]) == 0
    assert {path.name for path in results.iterdir()} == {"runs.csv", "summary.json", "table.md", "wer_test-clean.svg"}
    comparison = Comparison.read(results)
    run = RunSummary.read(out / "runs" / "summarymixing" / "1234")
    mixer = comparison.mixers["summarymixing"]
    assert mixer.splits["test-clean"].mean == run.splits["test-clean"].wer
    assert mixer.parameters == run.parameters
    assert comparison.problems[0].mixer == "wild"
    assert comparison.budget.startswith("Same data, 1 epoch and ")
    table = (results / "table.md").read_text()
    assert "| wild | " in table and "| crashed | – |" in table
    assert "- wild, seed 1234 crashed: training has diverged" in table
    assert (out / "report.html").is_file()
    plan = make_plan(shared(corpus), ["summarymixing", "wild=attention,lr=1e30"], [1], folder=out)
    assert [is_finished(run) for run in plan.runs()] == [True, False]
