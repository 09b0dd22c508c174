"""The short form of the benchmark of accidents, but for the kills."""

import json

import pytest

from benchmarks.reliability.bad_inputs import ROWS
from benchmarks.reliability.command import main


def short_form(tmp_path, *options: str) -> dict:
    """The results of these parts of the benchmark."""
    out = tmp_path / "reliability.json"
    assert main(["--parts", *options, "--folder", str(tmp_path), "--out", str(out)]) == 0
    assert list(tmp_path.iterdir()) == [out], "the temporary folder is removed"
    return json.loads(out.read_text())


@pytest.mark.timeout(300)
def test_bad_inputs(tmp_path):
    results = short_form(tmp_path, "bad_inputs", "--every", "30")["bad_inputs"]
    assert results["tried"] == results["clear"] == -(-len(ROWS) // 30)


def test_manifests(tmp_path):
    results = short_form(tmp_path, "manifests", "--no_start", "--utterances", "20000")["manifests"]
    assert results["utterances"] == 20000 and 10 < results["peak_mb"] < 200


@pytest.mark.timeout(300)
def test_soak(tmp_path):
    results = short_form(tmp_path, "soak", "--epochs", "8")["soak"]
    assert results["epochs"] == 8 and results["rss_growth_mb"] < 200
