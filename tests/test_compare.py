"""compare.py: what it refuses, what it runs, and how it goes on."""

import json
import os
import shutil
import sys
import time
from pathlib import Path

import pytest

import compare
from recipes import bakeoff
from recipes.arguments import parse_arguments
from recipes.bakeoff import Progress, Running, locked, run_all, steps_within, time_steps
from recipes.bakeoff_plan import (
    Entry,
    Plan,
    Run,
    build,
    hash_of,
    make_plan,
    make_seeds,
    match_sizes,
    parse_entry,
)
from recipes.bakeoff_record import read_record
from recipes.bakeoff_results import read_json, write_results
from recipes.config import flatten
from tests.corpus import write_corpus
from tests.runs import RECIPE, TINY, small_corpus


@pytest.fixture(scope="module")
def corpus(tmp_path_factory) -> Path:
    """A small corpus, and beside it the tiny recipe written out, which is faster than merging it each time."""
    folder = small_corpus(tmp_path_factory.mktemp("corpus"))
    (folder / "tiny.yaml").write_text(flatten(RECIPE, parse_arguments([str(RECIPE), *TINY]).overrides))
    return folder


def shared(data: Path, *options: str) -> list[str]:
    return [str(data / "tiny.yaml"), "--data_folder", str(data), "--device", "cpu", *options]


def plan_of(data: Path, folder: Path, *mixers: str, seeds=(2,), options=(), **budget) -> Plan:
    return make_plan(shared(data, *options), mixers, seeds, folder=folder, **budget)


def refused(function, *arguments, **options) -> str:
    with pytest.raises(ValueError) as error:
        function(*arguments, **options)
    assert "\n" not in str(error.value)
    return str(error.value)


# --- entries and seeds ------------------------------------------------------------------------------------------

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


@pytest.mark.parametrize(
    "text", ["", "a=", "xnor,lr", "xnor,=3", "xnor,lr=", "../up=xnor", ".hidden=xnor", ",lr=3"]
)
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
        "--mixer=attention", "--lr=1e-4", "--seed=1234", f"--output_folder={slow.folder}", "--noprogressbar"
    ]  # fmt: skip
    assert plan.record["baseline"] == "xnor1+attention1"


# --- what is refused --------------------------------------------------------------------------------------------

MISTAKES = {
    "unknown mixer": (["atention"], {}, "mixer: no such mixer 'atention'; did you mean 'attention'? mixers: "),
    "two of a name": (["xnor", "xnor,lr=1"], {}, "--mixers: two entries are named 'xnor': name one otherwise, NAME=xnor,…"),
    "unknown key": (["xnor,lrr=1"], {}, "no such key 'lrr'; did you mean 'lr'?"),
    "baseline": (["xnor", "attention"], {"baseline": "atention"}, "--baseline: no entry 'atention' in this comparison; "
                 "did you mean 'attention'? entries: xnor, attention"),
    "no time": (["xnor"], {"seconds": 0}, "--seconds 0 must be above 0"),
    "two budgets": (["xnor"], {"seconds": 9, "options": ["--optimizer_step_limit", "5"]},
                    "--seconds 9 is one budget too many beside --optimizer_step_limit"),
    "mixer": (["xnor"], {"options": ["--mixer", "xnor"]}, "a comparison sets --mixer itself: give --mixers"),
    "output folder": (["xnor"], {"options": ["--output_folder", "x"]}, "a comparison sets --output_folder itself: give --out"),
}  # fmt: skip


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
    "no mixers": ([], "no mixers to compare: give --mixers ENTRY …, such as --mixers summarymixing attention"),
    "no jobs": (["--mixers", "xnor", "--jobs", "0"], "--jobs must be 1 or more, not 0"),
    "no comparison": (["--table", "--out", "nowhere"], "nowhere: no comparison there; give --out, or leave out --table to run one"),
}  # fmt: skip


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
        (folder / "runs" / name).mkdir(parents=True)
    return folder


def test_another_recipe_in_the_folder(corpus, begun):
    said = refused(plan_of, corpus, begun, "xnor", options=["--lr", "0.5", "--number_of_epochs", "3"])
    assert said == (
        f"{begun} holds a comparison of another recipe (it differs in lr: 0.002 there, 0.5 here, number_of_epochs: "
        "1 there, 3 here): give another --out, or remove that folder"
    )


def test_another_budget_in_the_folder(corpus, begun):
    said = refused(plan_of, corpus, begun, "xnor", seconds=20)
    assert (
        f"{begun} holds a comparison of another recipe (it differs in seconds: None there, 20 here): " in said
    )


def test_other_data_in_the_folder(corpus, begun, tmp_path):
    other = tmp_path / "other"
    write_corpus(other, {"train-clean-5": (2, 12), "dev-clean": (1, 3), "test-clean": (1, 4)}, seed=1)
    shutil.copy(corpus / "tiny.yaml", other)
    said = refused(plan_of, other, begun, "xnor")
    assert said == (
        f"{begun} holds a comparison on other data (it differs in train-clean-5, dev-clean, test-clean): "
        "give another --out, or remove that folder"
    )


def test_same_data_elsewhere(corpus, begun, tmp_path):
    moved = tmp_path / "moved"
    shutil.copytree(corpus, moved)
    assert plan_of(moved, begun, "xnor").record["mixers"].keys() == {"xnor", "slow"}


def test_entry_with_other_settings(corpus, begun):
    advice = f"name the new ones otherwise, as in slow_2=…, or remove {begun / 'runs' / 'slow'}"
    for entry, difference in (
        ("slow=xnor", "lr: 0.0001 there, 0.002 here"),
        ("slow=attention,lr=1e-4", "mixer, mixers)"),
    ):
        said = refused(plan_of, corpus, begun, entry)
        assert said.startswith(
            f"{begun} holds runs of 'slow' with other settings (they differ in {difference}"
        )
        assert said.endswith(advice)
    (begun / "runs" / "slow").rmdir()
    assert plan_of(corpus, begun, "slow=attention,lr=1e-4").record["mixers"].keys() == {"xnor", "slow"}


def test_more_entries_and_seeds_join(corpus, begun):
    plan = plan_of(corpus, begun, "xnor", "attention", seeds=(1235, 7))
    assert {name: one["seeds"] for name, one in plan.record["mixers"].items()} == {
        "xnor": [7, 1234, 1235], "slow": [1234, 1235], "attention": [7, 1235]
    }  # fmt: skip


# --- equal sizes ------------------------------------------------------------------------------------------------


def test_matched_parameters(corpus):
    arguments = shared(corpus)
    entries = [parse_entry(f"{name}={name}") for name in ("attention", "conv_only", "hypermixing")]
    matched = match_sizes(arguments, entries, "attention")
    wanted = build((*arguments, "--mixer=attention")).parameters
    assert matched[0] == entries[0]
    for one in matched[1:]:
        assert one.settings.keys() == {"model.encoder.d_ffn"}
        assert build((*arguments, *one.arguments)).parameters == pytest.approx(wanted, rel=0.005)
    assert int(matched[1].settings["model.encoder.d_ffn"]) > 32
    said = refused(match_sizes, [*arguments, "--d_ffn", "2"], entries, "conv_only")
    assert said.startswith("--match_parameters: 'attention' has ") and "choose another --baseline" in said


# --- running, with a program that only pretends to train ------------------------------------------------------------

STUB = """
import json, os, sys, time
from pathlib import Path
here = Path(__file__).parent
options = dict(one[2:].split("=", 1) for one in sys.argv[1:] if "=" in one)
folder = Path(options["output_folder"])
with open(here / "calls", "a") as calls:
    calls.write(f"{folder.parent.name} {folder.name} {os.environ['OMP_NUM_THREADS']} {os.getpid()}\\n")
folder.mkdir(parents=True, exist_ok=True)
behaviour = json.loads((here / "behaviour.json").read_text()).get(folder.parent.name, "")
if behaviour == "sleep":
    time.sleep(60)
if behaviour:
    print("Traceback (most recent call last):")
    sys.exit(behaviour)
line = {"id": "1", "words": "A B", "hypothesis": "A"}
for number in "12":
    with open(folder / "decoded_test-clean.jsonl", "a") as file:
        file.write(json.dumps({**line, "id": number}) + "\\n")
steps = int(options.get("optimizer_step_limit", 17))
splits = {} if "test_splits" in options else {"test-clean": {"wer": 50.0}}
hashes = json.loads((here / "hashes.json").read_text())
(folder / "summary.json").write_text(json.dumps({
    "splits": splits, "recipe_hash": hashes.get(str(folder), "?"), "seconds": 2 + steps / 2, "parameters": 1, "device": "cpu",
    "peak_memory_mb": 1, "commit": None, "versions": {},
}))
"""


class Stub:
    """Pretends to be train.py; remembers how it was called."""

    def __init__(self, folder: Path):
        self.folder = folder
        folder.mkdir()
        (folder / "train.py").write_text(STUB)
        self.behave()

    def behave(self, **by_entry: str) -> None:
        (self.folder / "behaviour.json").write_text(json.dumps(by_entry))

    def know(self, plan: Plan) -> None:
        hashes = {str(run.folder): hash_of(run.arguments) for run in plan.runs()}
        (self.folder / "hashes.json").write_text(json.dumps(hashes))

    def run(self, plan: Plan, jobs: int = 2) -> int:
        self.know(plan)
        plan.record |= {"command": "…", "machines": ["…"]}
        with locked(plan.folder) as lock:
            plan.save()
            return run_all(plan, jobs, lock, self.program)

    @property
    def program(self) -> list[str]:
        return [sys.executable, "-S", str(self.folder / "train.py")]

    def calls(self) -> list[list[str]]:
        """Entry, seed, threads and process of each call since the last time."""
        file = self.folder / "calls"
        lines = file.read_text().splitlines() if file.exists() else []
        file.unlink(missing_ok=True)
        return [line.split() for line in lines]


@pytest.fixture
def stub(tmp_path) -> Stub:
    return Stub(tmp_path / "stub")


def test_only_what_is_missing_runs(corpus, tmp_path, stub, capsys):
    plan = plan_of(corpus, tmp_path / "out", "xnor", "attention")
    assert stub.run(plan) == 0
    assert sorted(call[:2] for call in stub.calls()) == [
        [name, seed] for name in ("attention", "xnor") for seed in ("1234", "1235")
    ]
    said = capsys.readouterr().out
    assert (
        "4 runs: 0 done before, 4 to do, 2 at a time with 1 thread each\n" in said
        or (os.cpu_count() or 1) > 3
    )
    assert "[4/4] " in said and "test-clean 50.00 % WER, 00:00" in said
    (tmp_path / "out" / "runs" / "xnor" / "1235" / "decoded_test-clean.jsonl").unlink()
    summary = tmp_path / "out" / "runs" / "attention" / "1234" / "summary.json"
    summary.write_text(json.dumps({**read_json(summary), "recipe_hash": "another"}))
    more = plan_of(corpus, tmp_path / "out", "xnor", "attention", "conv_only", seeds=(1234, 1235))
    assert stub.run(more) == 0
    assert sorted(call[:2] for call in stub.calls()) == [
        ["attention", "1234"], ["conv_only", "1234"], ["conv_only", "1235"], ["xnor", "1235"]
    ]  # fmt: skip
    assert stub.run(more) == 0
    assert stub.calls() == []


def test_cores_are_divided(corpus, tmp_path, stub, monkeypatch):
    monkeypatch.setattr(bakeoff.os, "sched_getaffinity", lambda _: range(6), raising=False)
    assert stub.run(plan_of(corpus, tmp_path / "out", "xnor", seeds=(1,)), jobs=3) == 0
    assert stub.calls()[0][2] == "2"


def test_crash_stops_nothing_and_is_tried_again(corpus, tmp_path, stub, capsys):
    folder = tmp_path / "out"
    plan = plan_of(corpus, folder, "xnor", "attention")
    stub.behave(xnor="error: training has diverged")
    assert stub.run(plan) == 2
    said = capsys.readouterr().out
    log = folder / "runs" / "xnor" / "1234.log"
    assert f"xnor, seed 1234: crashed: training has diverged (see {log})" in said
    assert "Traceback" in log.read_text()
    summary, results = write_results(folder, read_record(folder), "attention")
    assert [one.name for one in results] == ["attention", "attention"]
    assert [(one["seed"], one["crashed"]) for one in summary["problems"]] == [
        (1234, "training has diverged"), (1235, "training has diverged")
    ]  # fmt: skip
    stub.calls()
    stub.behave()
    assert stub.run(plan) == 0
    assert sorted(call[:2] for call in stub.calls()) == [["xnor", "1234"], ["xnor", "1235"]]
    assert write_results(folder, read_record(folder), "attention")[0]["problems"] == []


def test_interruption_stops_the_runs(corpus, tmp_path, stub, capsys, monkeypatch):
    plan = plan_of(corpus, tmp_path / "out", "xnor", "attention", seeds=(1,))
    stub.behave(xnor="sleep")
    summary = tmp_path / "out" / "runs" / "attention" / "1234" / "summary.json"
    pressed = []

    def sleep(seconds, real=time.sleep):
        real(seconds)
        started = (stub.folder / "calls").exists() and "xnor" in (stub.folder / "calls").read_text()
        if summary.exists() and started and not pressed:
            pressed.append("Ctrl-C")
            raise KeyboardInterrupt

    monkeypatch.setattr(bakeoff.time, "sleep", sleep)
    with pytest.raises(KeyboardInterrupt):
        stub.run(plan)
    assert "runs done: give the same command again to go on\n" in capsys.readouterr().err
    for *_, process in stub.calls():
        with pytest.raises(ProcessLookupError):
            os.kill(int(process), 0)
    monkeypatch.undo()
    stub.behave()
    assert stub.run(plan) == 0
    assert ["xnor", "1234"] in [call[:2] for call in stub.calls()]


def test_one_comparison_at_a_time(tmp_path):
    def again():
        with locked(tmp_path):
            pass

    with locked(tmp_path):
        assert refused(again) == f"{tmp_path}: another comparison is running there; wait for it, or stop it"
    again()


def test_equal_seconds(corpus, tmp_path, stub):
    """A pretended run takes 2 seconds and half a second a step, so that 50 seconds are 96 steps."""
    plan = plan_of(corpus, tmp_path / "out", "xnor", "attention", seeds=(1,), seconds=50)
    stub.behave(attention="error: no space")
    stub.folder.joinpath("hashes.json").write_text("{}")
    with locked(plan.folder) as lock:
        plan.save()
        assert refused(time_steps, plan, 1, lock, stub.program) == (
            "--seconds: the timing run of 'attention' failed: no space"
        )
        stub.behave()
        time_steps(plan, 1, lock, stub.program)
    assert {one["steps"] for one in plan.record["mixers"].values()} == {96}
    assert [call[:2] for call in stub.calls()] == [["xnor", "10"], ["xnor", "40"], ["attention", "10"],
                                                   ["attention", "10"], ["attention", "40"]]  # fmt: skip
    assert not (plan.folder / "timing" / "xnor").exists()
    assert plan.runs()[0].arguments[-2:] == ["--optimizer_step_limit=96", "--number_of_epochs=96"]
    assert stub.run(plan) == 0
    again = plan_of(corpus, tmp_path / "out", "xnor", "attention", seeds=(1,), seconds=50)
    assert {one["steps"] for one in again.record["mixers"].values()} == {96}
    stub.calls()
    assert stub.run(again) == 0
    assert stub.calls() == []


def test_steps_within():
    assert steps_within(20, (7, 22), "xnor") == 36
    assert refused(steps_within, 1, (7, 22), "xnor") == "--seconds 1: too few for a single step of 'xnor'"
    assert "the machine is too busy: try again" in refused(steps_within, 20, (7, 7), "xnor")


def test_time_left():
    progress = Progress(9, 0, jobs=2)
    progress.count(100)
    progress.count(140)
    one, other = (Running(Run("a", 1, Path(), []), None, started) for started in (1000.0, 1090.0))
    assert progress.seconds_left([one, other], 4, now=1100.0) == (20 + 110 + 4 * 120) / 2
    assert progress.seconds_left([other], 0, now=1100.0) == 110
    assert progress.seconds_left([one], 0, now=1900.0) == 0


# --- the real program -------------------------------------------------------------------------------------------


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
    with pytest.raises(SystemExit) as left:
        compare.main([*shared(corpus), *command])
    assert left.value.code == 1
    said = capsys.readouterr().out
    assert "wild, seed 1234: crashed: training has diverged: in epoch 1 " in said
    assert (out / "runs" / "summarymixing" / "1234" / "averaged.ckpt").is_file()
    assert (
        compare.main(["--table", "--out", str(out), "--results", str(results), "--baseline", "summarymixing"])
        == 0
    )
    assert {path.name for path in results.iterdir()} == {
        "runs.csv", "summary.json", "table.md", "wer_test-clean.svg"
    }  # fmt: skip
    summary = read_json(results / "summary.json")
    run = read_json(out / "runs" / "summarymixing" / "1234" / "summary.json")
    found = summary["mixers"]["summarymixing"]
    assert found["splits"]["test-clean"]["mean"] == run["splits"]["test-clean"]["wer"]
    assert found["parameters"] == run["parameters"]
    assert summary["problems"][0]["mixer"] == "wild"
    assert summary["budget"].startswith("Same data, 1 epoch and ")
    table = (results / "table.md").read_text()
    assert "| wild | " in table and "| crashed | – |" in table
    assert "- wild, seed 1234 crashed: training has diverged" in table
    assert (out / "report.html").is_file()
    plan = make_plan(shared(corpus), ["summarymixing", "wild=attention,lr=1e30"], [1], folder=out)
    assert [bakeoff.is_finished(run) for run in plan.runs()] == [True, False]
