"""The benchmarks of long recordings: errors on a tiny run, time and memory of a tiny model."""

import json
import resource

import pytest

from benchmarks.long_recordings import cost
from benchmarks.long_recordings.accuracy import main
from benchmarks.long_recordings.results import read_part
from recipes.scoring import DecodedUtterance, decoded_file
from tests.support.runs import small_corpus, train

SIZES = ["--set", "d_model=32", "heads=4", "d_ffn=64", "layers=2", "decoder_layers=1", "vocab_size=20"]


def test_errors_of_the_same_words_in_recordings_of_several_lengths(tmp_path):
    assert train(small_corpus(tmp_path / "corpus"), tmp_path / "run") == 0
    out = tmp_path / "rows.json"
    options = ["--minutes", "0.1", "0.2", "--window", "3", "--context", "8:2", "--out"]
    assert main([str(tmp_path / "run"), *options, str(out)]) == 0
    rows = read_part(out, "accuracy")["rows"]
    modes = ["utterances apart", "one pass", "windows of 3 s", "cut at silences", "chunks of 8, 2 to the left"]
    assert [(row["search"], row["mode"]) for row in rows if row.get("minutes") != 0.2] == [
        *(("recipe", mode) for mode in modes[:-1]),
        *(("greedy", mode) for mode in modes),
    ]
    lengths = [(row["minutes"], row["recordings"]) for row in rows if row["mode"] == "one pass"]
    assert lengths == [(0.1, 2), (0.2, 1)] * 2
    decoded = DecodedUtterance.read_all(decoded_file(tmp_path / "run", "test-clean"))
    assert sum(utterance.duration for utterance in decoded) < 12  # so that they are said again
    assert main([str(tmp_path / "run"), "--context", "16:all"]) == 2


@pytest.fixture
def own_limits():
    """The benchmark limits its process, which is the tests' own here."""
    limits = {kind: resource.getrlimit(kind) for kind in (resource.RLIMIT_AS, resource.RLIMIT_CPU)}
    yield
    for kind, limit in limits.items():
        resource.setrlimit(kind, limit)


def test_time_and_memory_of_every_mode(tmp_path, own_limits, monkeypatch, capsys):
    """The same tokens in one pass and in windows that hold all of it; a stream that keeps the same at any length."""
    monkeypatch.setattr(cost, "WARM_SECONDS", 1)
    monkeypatch.setattr(cost, "in_own_process", lambda options, row: cost.measure(single(options, row)))

    def single(options, row):
        command = [str(options.recipe), "--mixers", row["mixer"], "--modes", row["mode"], *SIZES]
        return cost.arguments([*command, "--minutes", str(row["minutes"])])

    out = tmp_path / "rows.json"
    out.write_text(json.dumps({"accuracy": {"rows": []}}))
    for modes in (["pass", "windows"], ["stream"]):
        command = ["hparams/conformer.yaml", "--minutes", "0.1", "0.2", "--out", str(out), "--modes", *modes]
        assert cost.main(command) == 0
    rows = read_part(out, "cost")["rows"]
    assert len(rows) == 6 and read_part(out, "accuracy") == {"rows": []}
    assert rows[0]["tokens"] == rows[2]["tokens"] > 0
    assert rows[0]["state"] == rows[1]["state"] > 0 and all(row["cpu_seconds"] >= 0 for row in rows)
    longer = ["hparams/conformer.yaml", "--minutes", "0.1", "--modes", "windows", "--window", "60", "--out", str(out)]
    assert cost.main(longer) == 0 and len(read_part(out, "cost")["rows"]) == 7
    capsys.readouterr()
    assert cost.main(["--table", str(out), "--plot", str(tmp_path / "plots")]) == 0
    table = capsys.readouterr().out
    assert "| summarymixing, stream, chunks of 16 |" in table and "| summarymixing, windows of 30 s |" in table
    assert len(list((tmp_path / "plots").glob("long_form_*.svg"))) == 2


def test_what_does_not_fit_says_so_in_the_table(tmp_path, capsys):
    rows = [
        {
            "recipe": "r",
            "mixer": "attention",
            "mode": "pass",
            "minutes": 1.0,
            "cpu_seconds": 2.0,
            "memory_mb": 70.0,
            "state": 3000,
        },
        {"recipe": "r", "mixer": "attention", "mode": "pass", "minutes": 60.0, "problem": cost.DOES_NOT_FIT},
    ]
    (tmp_path / "rows.json").write_text(json.dumps({"cost": {"rows": rows}}))
    assert cost.main(["--table", str(tmp_path / "rows.json")]) == 0
    assert capsys.readouterr().out.splitlines()[-1] == (
        "| attention, one pass | 2.00 | does not fit | 70 | does not fit | 3,000 | 3,000 |"
    )
    assert cost.main(["--table", str(tmp_path / "none.json")]) == 2
