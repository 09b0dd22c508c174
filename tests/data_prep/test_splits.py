"""Which folder is the corpus, and which of its splits serve for what."""

import pytest

from data_prep.errors import DataError
from data_prep.splits import available_splits, choose_splits, find_corpus
from tests.support.corpus import write_corpus

SPLIT = "train-clean-5"


def test_corpus_is_located_by_its_folder_and_by_its_parent(tmp_path):
    write_corpus(tmp_path / "LibriSpeech", {SPLIT: (1, 1)})
    (tmp_path / "test").mkdir()  # another folder beside LibriSpeech/ must not win
    assert find_corpus(tmp_path) == find_corpus(tmp_path / "LibriSpeech") == tmp_path / "LibriSpeech"


@pytest.mark.parametrize(
    ("folder", "message"),
    [
        ("nowhere", "no data folder {}: give the folder that holds LibriSpeech's splits, or its parent"),
        (
            "tests",
            "no LibriSpeech in {}: expected folders train*, dev* (or valid*) or test* there or in its LibriSpeech/",
        ),
        ("dev-clean", "; dev-clean is a split itself, give its parent"),
    ],
    ids=["missing", "without-splits", "a-split-itself"],
)
def test_wrong_data_folder_is_named(tmp_path, folder, message):
    for name in ("tests/testing", "dev-clean/84"):
        (tmp_path / name).mkdir(parents=True)
    with pytest.raises(DataError) as error:
        find_corpus(tmp_path / folder)
    assert message.format(tmp_path / folder) in str(error.value)


FULL = "train-clean-100 train-clean-360 train-other-500 dev-clean dev-other test-clean test-other".split()


@pytest.mark.parametrize(
    ("available", "wanted", "expected"),
    [
        (FULL, {}, (FULL[:3], ["dev-clean"], ["test-clean", "test-other"])),
        ([SPLIT, "dev-clean-2"], {}, ([SPLIT], ["dev-clean-2"], ["dev-clean-2"])),
        ([SPLIT, "dev-other"], {"test": []}, ([SPLIT], ["dev-other"], [])),
        (["test-other"], {"train": [], "valid": ""}, ([], [], ["test-other"])),
        (["test", "train", "valid"], {}, (["train"], ["valid"], ["test"])),
        (["train", "validation"], {}, (["train"], ["validation"], ["validation"])),
        (["dev", "train", "val"], {}, (["train"], ["dev"], ["dev", "val"])),
        (["train_a", "val_a"], {"valid": "val_a"}, (["train_a"], ["val_a"], ["val_a"])),
        (
            FULL,
            {"train": "train-clean-360, train-clean-100 train-clean-360", "valid": ["dev-other"]},
            (["train-clean-360", "train-clean-100"], ["dev-other"], ["test-clean", "test-other"]),
        ),
    ],
    ids=["full", "mini", "no-test-asked", "test-only", "valid", "validation", "dev-and-val", "val", "named"],
)
def test_splits_by_use(available, wanted, expected):
    roles = choose_splits(available, **wanted)
    assert tuple(roles[:3]) == expected
    assert bool(roles.note) == (expected[1] != [] and set(expected[1]) <= set(expected[2]))


@pytest.mark.parametrize(
    ("wanted", "message"),
    [
        ({"train": "train-1"}, "no split 'train-1' among: dev-clean, test, train-100; did you mean 'train-100'?"),
        ({"test": ["zebra"]}, "no split 'zebra' among: dev-clean, test, train-100"),
    ],
    ids=["near", "far"],
)
def test_missing_split_is_named_with_those_available(wanted, message):
    with pytest.raises(DataError) as error:
        choose_splits(["test", "dev-clean", "train-100"], **wanted)
    assert str(error.value) == message


@pytest.mark.parametrize(("gone", "pattern"), [("train", "train*"), ("dev", "dev* or valid*")])
def test_auto_that_finds_nothing_is_an_error(gone, pattern):
    with pytest.raises(DataError) as error:
        choose_splits([name for name in ("train-clean-5", "dev-clean-2") if not name.startswith(gone)])
    assert str(error.value).startswith(f"no {pattern} split among: ")


def test_home_folder_of_nobody_is_a_single_line():
    with pytest.raises(DataError) as error:
        find_corpus("~nobody-of-this-name/corpus")
    assert str(error.value) == "no home folder for ~nobody-of-this-name: give the folder's whole path"


@pytest.mark.parametrize("name", ["train", "dev", "valid", "validation", "val", "test", "train-clean-100", "val_a"])
def test_names_of_splits(tmp_path, name):
    (tmp_path / name).mkdir()
    (tmp_path / f"my{name}").mkdir()
    assert available_splits(tmp_path) == [name]
