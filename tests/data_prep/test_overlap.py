"""Utterances and speakers that are in the training data and in a held-out split."""

from data_prep.corpus import Corpus
from data_prep.overlap import overlaps
from tests.support.corpus import write_corpus
from tests.support.manifests import to_csv


def manifest(path, *ids, spk_id=None):
    path.write_bytes(to_csv([name, 1.0, "x.flac", spk_id or name.rsplit("-", 1)[0], "GO"] for name in ids))
    return path


def test_shared_utterances_and_speakers_are_counted(tmp_path):
    train = [manifest(tmp_path / "a.csv", "1-1-0", "1-1-1", "2-1-0"), manifest(tmp_path / "b.csv", "3-1-0")]
    dev = manifest(tmp_path / "dev.csv", "1-1-1", "1-2-0", "4-1-0")
    test = manifest(tmp_path / "test.csv", "5-1-0", "3-7-0", "2-2-0", "1-3-0")
    assert overlaps(train, {"dev": dev, "test": test}) == [
        "note: 1 of the 3 utterances of dev are in the training data too: 1-1-1",
        "note: 1 of the 2 speakers of dev are in the training data too: 1",
        "note: 3 of the 4 speakers of test are in the training data too: 1, 2, 3",
    ]


def test_a_corpus_without_speakers_shares_none(tmp_path):
    train = manifest(tmp_path / "a.csv", "x1", "x2", spk_id="unknown")
    dev = manifest(tmp_path / "dev.csv", "x3", spk_id="unknown")
    assert overlaps([train], {"dev": dev}) == []


def test_preparation_shows_it(tmp_path, capsys):
    write_corpus(tmp_path, {"train": (1, 4), "dev": (1, 2)})
    (tmp_path / "train" / "101").rename(tmp_path / "dev" / "101")
    write_corpus(tmp_path, {"train": (1, 5)})
    Corpus(tmp_path).prepare(tmp_path / "out", progress=False)
    lines = [line for line in capsys.readouterr().out.splitlines() if line.startswith("note: ")]
    assert lines == [
        "note: 4 of the 6 utterances of dev are in the training data too: 101-1101-0000, 101-1101-0001,"
        " 101-1101-0002, …",
        "note: 1 of the 2 speakers of dev are in the training data too: 101",
    ]


def test_preparation_of_separate_splits_shows_nothing(tmp_path, capsys):
    write_corpus(tmp_path, {"train": (1, 4), "dev": (1, 2), "test": (1, 2)})
    Corpus(tmp_path).prepare(tmp_path / "out", progress=False)
    assert "note:" not in capsys.readouterr().out
