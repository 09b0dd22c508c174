"""The corpus of the preparation's benchmark is prepared whole, measured and removed."""

import json

from benchmarks.preparation import SPLITS, main, write_corpus
from data_prep.librispeech import prepare_split
from data_prep.manifest import read_manifest


def test_preparation_is_measured_and_the_corpus_removed(tmp_path, capsys):
    assert main(["--utterances", "300", "--folder", str(tmp_path)]) == 0
    figures = json.loads(capsys.readouterr().out)
    assert figures["utterances"] == 300
    for run in (figures["first"], figures["again"]):
        assert run["seconds"] > 0 and run["cpu_seconds"] > 0 and run["peak_mb"] > 10
    assert list(tmp_path.iterdir()) == []


def test_splits_have_the_shares_of_librispeech(tmp_path):
    assert sum(SPLITS.values()) == 281_241
    write_corpus(tmp_path, 200)
    sizes = {
        split: len(list(read_manifest(prepare_split(tmp_path / "LibriSpeech", split, tmp_path, progress=False))))
        for split in SPLITS
    }
    assert sizes == {"train-clean-100": 20, "train-clean-360": 74, "train-other-500": 106}
