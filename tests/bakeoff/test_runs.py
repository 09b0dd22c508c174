"""Finished runs as they are read: errors of each utterance, and runs that do not fit together."""

import numpy as np
import pytest

from recipes.bakeoff.record import ComparisonRecord
from recipes.bakeoff.results import Problem
from recipes.bakeoff.runs import Crash, read_runs, read_scored, run_folder
from recipes.errors import RecipeError
from recipes.scoring.results import DecodedUtterance
from tests.bakeoff.conftest import UTTERANCES
from tests.support.bakeoff_folders import decoded, write_decoded


def test_errors_by_utterance(tmp_path):
    """Two substitutions and a deletion; none; an insertion; and all words deleted. Ordered by ID."""
    texts = {
        "d": ("A B", ""),
        "a": ("A B C D E", "A X Y D"),
        "b": ("A B", "A B"),
        "c": ("A B", "A Z B"),
    }
    path = tmp_path / "decoded_test.jsonl"
    DecodedUtterance.write_all([decoded(name, "1", *pair) for name, pair in texts.items()], path)
    scored = read_scored(path)
    assert scored.ids == ["a", "b", "c", "d"]
    assert scored.errors.tolist() == [3, 0, 1, 2]
    assert scored.words.tolist() == [5, 2, 2, 2]
    assert scored.wer == pytest.approx(100 * 6 / 11)


def test_damaged_file(tmp_path):
    path = tmp_path / "decoded_test.jsonl"
    path.write_text('{"id": "a", "words": "A"')
    with pytest.raises(RecipeError) as error:
        read_scored(path)
    advice = "remove it, and compare again to decode anew"
    assert str(error.value) == f"{path}, line 1: cut short or damaged: {advice}"


def test_damaged_summary(folder):
    summary = folder / "runs" / "bad" / "2" / "summary.json"
    summary.write_text("{")
    with pytest.raises(RecipeError) as error:
        read_runs(folder, ComparisonRecord.read(folder))
    advice = f"remove {summary.parent}, and compare again to train anew"
    assert str(error.value) == f"{summary}: cut short or damaged: {advice}"


def test_all_that_a_comparison_needs(folder):
    runs, problems = read_runs(folder, ComparisonRecord.read(folder))
    assert problems == []
    assert [(run.name, run.seed) for run in runs] == [(n, s) for n in ("good", "same", "bad") for s in (1, 2, 3)]
    assert [epoch.steps for epoch in runs[0].epochs] == [100, 200]
    assert runs[4].summary.seed == 2 and runs[4].splits["test-clean"].errors.shape == (UTTERANCES,)


def test_crashed_and_unfinished_runs(folder):
    Crash("training has diverged").write(run_folder(folder, "bad", 1))
    (run_folder(folder, "same", 2) / "decoded_test-clean.jsonl").unlink()
    (run_folder(folder, "good", 3) / "summary.json").unlink()
    runs, problems = read_runs(folder, ComparisonRecord.read(folder))
    assert len(runs) == 6
    assert problems == [
        Problem("good", 3, None),
        Problem("same", 2, None),
        Problem("bad", 1, "training has diverged"),
    ]


def test_other_words_of_the_same_utterances(folder):
    path = folder / "runs" / "bad" / "2" / "decoded_test-clean.jsonl"
    path.write_text(path.read_text().replace("YES", "WELL", 3))
    with pytest.raises(RecipeError, match="decoded other utterances of test-clean"):
        read_runs(folder, ComparisonRecord.read(folder))


def test_runs_on_other_utterances(folder):
    write_decoded(folder / "runs" / "bad" / "3" / "decoded_test-clean.jsonl", np.zeros(UTTERANCES - 1, dtype=int))
    with pytest.raises(RecipeError) as error:
        read_runs(folder, ComparisonRecord.read(folder))
    assert str(error.value) == (
        "'good', seed 1, and 'bad', seed 3, decoded other utterances of test-clean: remove the run "
        "folder of one of them, and compare again"
    )
