"""The benchmark of speed on tiny sizes: its rows, peers of the user's own, the tables, and what has become slower."""

import json
import sys

import pytest

from benchmarks.speed import command, modules, programs, report
from benchmarks.speed.command import main
from tests.support.runs import ROOT

TINY = ["d_model=16", "heads=2", "layers=1", "d_ffn=16", "kernel_size=3", "decoder_layers=1", "vocab_size=30"]
SIZES = ["--frames", "6", "--seconds_of_speech", "0.4", "--batches", "1", "--seconds", "0", "--set", *TINY]
AUTHORS = """
from speechbrain.lobes.models.VanillaNN import SIGN
import torch


class SummaryMixing(torch.nn.Linear):
    def __init__(self, *, enc_dim, mode, **sizes):
        super().__init__(enc_dim, enc_dim)
        assert SIGN == "of the checkout" and sizes["nhead"] in (1, 4)
"""


@pytest.fixture(scope="module")
def results(tmp_path_factory):
    folder = tmp_path_factory.mktemp("speed")
    nnet, models = folder / "authors/speechbrain/nnet", folder / "authors/speechbrain/lobes/models"
    for part in (nnet, models):
        part.mkdir(parents=True)
    (nnet / "summary_mixing.py").write_text(AUTHORS)
    (models / "VanillaNN.py").write_text("SIGN = 'of the checkout'\n")
    (folder / "own.py").write_text("import torch\n\n\ndef make(d_model, heads):\n    return torch.nn.Identity()\n")
    peers = ["--reference", str(folder / "authors"), "--peer", f"xnor={folder / 'own.py'}:make"]
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(modules, "ENCODERS", {"conformer_small": ("RelPosMHAXL", ["attention"])})
        patch.setattr(programs, "STEPS", ("conformer_small",))
        patch.setattr(programs, "TRANSCRIBED", ("quickstart",))
        assert main(["--modes", "training", *SIZES, *peers, "--out", str(folder / "speed.json")]) == 0
    return folder / "speed.json"


def test_rows(results):
    written = json.loads(results.read_text())
    assert written["command"].startswith("python -m benchmarks.speed --modes training") and written["commit"]
    rows = {(row["part"], row["name"]): row for row in written["rows"]}
    peers = {name: sorted(row["times_ours"]) for (part, name), row in rows.items() if part == "mixers"}
    assert peers == {
        "summarymixing, 1 head": ["reference"],
        "summarymixing, 4 heads": ["reference"],
        "summarymixing, lite, 4 heads": ["reference"],
        "hypermixing": ["SpeechBrain"],
        "xnor": ["reference"],
        "linear_attention": [],
        "rotary_linear_attention": [],
        "taylor_attention": [],
        "gated_delta": [],
        "attention": ["SpeechBrain"],
        "relpos_attention": ["SpeechBrain"],
    }
    assert set(rows["encoders", "conformer_small"]["times_ours"]) == {"SpeechBrain", "ours, attention"}
    assert set(rows["steps", "conformer_small"]["times_ours"]) == {"SpeechBrain"}
    assert {part for part, _ in rows} == {"mixers", "encoders", "steps", "decoding", "transcription", "streaming"}
    for row in rows.values():
        assert row["seconds"] > 0 and row["rounds"] == 3 and row["threads"] == 1
        assert row["part"] == "decoding" or row["cost"] > 0.9
        assert all(low <= median <= high for median, low, high in row["times_ours"].values())
    assert "reference_summary_mixing" not in sys.modules
    assert not hasattr(sys.modules.get("speechbrain.lobes.models.VanillaNN"), "SIGN")


def test_tables_and_plot(results, tmp_path, capsys):
    assert main(["--table", str(results)]) == 0
    text = capsys.readouterr().out
    assert "| mixers | xnor | training | 0.24 | 1 | 1 |" in text
    assert "| mixers | summarymixing, 1 head | training | 0.24 | 1 | 1 | its own products | 1.1 x | " in text
    assert "| SummaryMixing trains up to 28 % faster" not in text  # its encoder was not timed
    assert main(["--plot", str(results), str(tmp_path / "speed.svg")]) == 0
    drawing = (tmp_path / "speed.svg").read_text()
    assert drawing.startswith("<svg") and "hypermixing" in drawing
    rows = json.loads(results.read_text())["rows"]
    others = [row | size for row in rows for size in ({"threads": 2}, {"batch": 4})]
    assert report.plot([*rows, *others]) == report.plot(rows), "one thread and one utterance, as it says"


def test_what_became_slower():
    row = {"part": "mixers", "name": "xnor", "mode": "training", "frames": 6, "cost": 1.2, "times_ours": {}}
    search = {"part": "decoding", "name": "search", "times_ours": {"SpeechBrain": [8.0, 7.0, 9.0]}}
    assert report.slower([row, search], [row, search]) == []
    worse = [row | {"cost": 1.5}, search | {"times_ours": {"SpeechBrain": [4.0, 3.0, 5.0]}}]
    assert report.slower(worse, [row, search]) == [
        "slower: mixers xnor training 6: 25 % against its own products",
        "slower: decoding search: 100 % against SpeechBrain",
    ]
    assert report.slower(worse, []) == []


@pytest.mark.parametrize(("messages", "status"), [(["slower: mixers xnor"], 1), ([], 0)])
def test_what_became_slower_is_the_exit_status(messages, status, tmp_path, monkeypatch, capsys):
    (tmp_path / "old.json").write_text('{"rows": []}')
    monkeypatch.setattr(command, "run", lambda options, argv: [])
    monkeypatch.setattr(command.report, "slower", lambda rows, committed: messages)
    assert main(["--check", str(tmp_path / "old.json")]) == status
    assert capsys.readouterr().out.splitlines() == messages


def test_below_target_and_claims():
    sizes = {"frames": 750, "batch": 4, "threads": 1, "seconds": 0.1, "cost": 1.5}
    rows = [
        {"part": "mixers", "name": "hypermixing", "mode": "inference", "times_ours": {"SpeechBrain": [1.5, 1, 2]}},
        {"part": "encoders", "name": "hyperconformer_8M", "mode": "inference",
         "times_ours": {"ours, relpos_attention": [2.0, 1, 3]}},
    ]  # fmt: skip
    text = report.tables([row | sizes for row in rows])
    assert "| mixers | hypermixing | inference | 30 | 4 | 1 | SpeechBrain | 1.7 | 1.5 |" in text
    assert "| 30 | 4 | 1 | 50 % less time than ours, relpos_attention |" in text


@pytest.mark.parametrize(
    "arguments, message",
    [
        (["--peer", "xnor=nothing"], "--peer xnor=nothing: write MIXER=FILE.py:FUNCTION"),
        (["--peer", "xnor=none.py:make"], "none.py is no Python file"),
        (["--peer", f"xnor={__file__}:nothing"], "has no function nothing"),
        (["--reference", "none"], "summary_mixing.py is no Python file"),
        (["--frames", "0"], "--frames must be above 0"),
        (["--set", "d_model"], "--set d_model: write KEY=VALUE"),
        (["--check", "none.json"], "none.json cannot be read"),
        (["--table", f"{ROOT}/results/search.json"], "results/search.json is no results file of benchmarks.speed"),
    ],
)
def test_errors_are_one_line(arguments, message, capsys):
    assert main(["--parts", "mixers", *arguments]) == 2
    error = capsys.readouterr().err
    assert message in error and error.count("\n") == 1


def test_the_page_is_made_of_the_file():
    rows = json.loads((ROOT / "results/speed_cpu.json").read_text(encoding="utf-8"))["rows"]
    assert report.tables(rows) in (ROOT / "docs/speed.md").read_text(encoding="utf-8")
