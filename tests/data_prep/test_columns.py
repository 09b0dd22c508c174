"""Manifests as columns."""

import pickle

import pytest

from data_prep.columns import TextColumn, read_columns
from data_prep.errors import DataError
from tests.support.manifests import to_csv

TEXTS = ["PAY $data_root OR $5", "", "ZÜGE", "\N{GRINNING FACE} A", "B"]
ROWS = [["a", 1.5, "$data_root/x/$b.flac", "1-2", TEXTS[0]], ["b", 2, "c.flac", "1-2", TEXTS[2]]]


def test_texts_come_back_as_they_are():
    column = TextColumn(TEXTS)
    for same in (column, pickle.loads(pickle.dumps(column))):
        assert list(same) == TEXTS and len(same) == 5
        assert [same[place] for place in (0, 3, -1, -5)] == [TEXTS[place] for place in (0, 3, -1, -5)]
        assert same[1:4] == TEXTS[1:4] and same[::-2] == TEXTS[::-2]
        for place in (5, -6):
            with pytest.raises(IndexError):
                same[place]
    assert list(TextColumn()) == []


def test_columns_are_those_of_the_manifest(tmp_path):
    (tmp_path / "train.csv").write_bytes(to_csv(ROWS))
    columns = read_columns(tmp_path / "train.csv")
    assert list(columns.ids) == ["a", "b"] and list(columns.paths) == ["$data_root/x/$b.flac", "c.flac"]
    assert list(columns.words) == [TEXTS[0], TEXTS[2]] and columns.durations.tolist() == [1.5, 2.0]


def test_utterance_twice_in_a_manifest_is_refused(tmp_path):
    (tmp_path / "train.csv").write_bytes(to_csv([*ROWS, ROWS[1]]))
    with pytest.raises(DataError) as error:
        read_columns(tmp_path / "train.csv")
    assert str(error.value) == f"{tmp_path}/train.csv: utterance b is in it twice; prepare it again"


@pytest.mark.parametrize("seconds", ["x", "", "nan", "-1.5", "inf"])
def test_a_duration_that_is_none_is_refused(tmp_path, seconds):
    (tmp_path / "train.csv").write_bytes(to_csv([ROWS[0], ["b", seconds, *ROWS[1][2:]]]))
    with pytest.raises(DataError) as error:
        read_columns(tmp_path / "train.csv")
    assert str(error.value) == (
        f"{tmp_path}/train.csv: utterance b has the duration '{seconds}', no seconds; prepare it again"
    )
