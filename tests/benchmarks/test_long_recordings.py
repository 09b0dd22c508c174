"""The benchmark of long recordings on a tiny run."""

import json

from benchmarks.long_recordings import main
from tests.support.runs import small_corpus, train


def test_rows(tmp_path):
    assert train(small_corpus(tmp_path / "corpus"), tmp_path / "run") == 0
    command = [
        str(tmp_path / "run"),
        "--minutes",
        "0",
        "0.2",
        "--window",
        "0",
        "3",
        "--out",
        str(tmp_path / "rows.json"),
    ]
    assert main(command) == 0
    rows = json.loads((tmp_path / "rows.json").read_text())["rows"]
    assert [(row["search"], row["window"]) for row in rows[::2]] == [
        ("recipe", 0.0),
        ("recipe", 3.0),
        ("greedy", 0.0),
        ("greedy", 3.0),
    ]
    assert all(row["minutes"] >= 0.2 and row["wer"] >= 0 for row in rows[1::2])
