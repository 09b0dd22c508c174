"""Scores of homophones on alignments made by hand, and the file that lists the pairs."""

import pytest

from data_prep.errors import DataError
from data_prep.synthetic import KINDS, homophones_text
from recipes.scoring.homophones import homophone_scores, read_pairs

PAIRS = [("NIGHT", "KNIGHT"), ("SEA", "SEE"), ("SUN", "SON")]

# (reference, hypothesis), then merged_wer, homophone_error, homophones_seen
CASES = {
    "all right": ([("THE NIGHT AND SEE", "THE NIGHT AND SEE")], 0.0, 0.0, 100.0),
    "one of two misspelled": ([("THE NIGHT AND SEE", "THE KNIGHT AND SEE")], 0.0, 50.0, 100.0),
    "both misspelled": ([("THE NIGHT AND SEE", "THE KNIGHT AND SEA")], 0.0, 100.0, 100.0),
    "not recognised is not misspelled": ([("THE NIGHT AND SEE", "THE KITE AND SEE")], 25.0, 0.0, 50.0),
    "another pair's word is no spelling of it": ([("THE NIGHT AND SEE", "THE SEA AND SEE")], 25.0, 0.0, 50.0),
    "left out": ([("NIGHT AND SEE SUN", "NIGHT AND SON")], 25.0, 50.0, 66.667),
    # Three errors as spelled, whichever of the two the KNIGHT is; two with spellings merged, if it is the first.
    "alignment does not follow spelling": ([("NIGHT A KNIGHT", "KNIGHT X")], 66.667, 100.0, 50.0),
    "a homophone too many": ([("THE NIGHT", "THE NIGHT SEA")], 50.0, 0.0, 100.0),
    "no word of it heard": ([("THE NIGHT", "")], 100.0, None, 0.0),
    "no homophones in the reference": ([("THE KING", "THE NIGHT")], 50.0, None, None),
    "over all sentences": ([("NIGHT", "KNIGHT"), ("SEE SUN A B", "SEE SUN A B")], 0.0, 33.333, 100.0),
    "no reference words": ([("", "NIGHT")], None, None, None),
    "no sentences": ([], None, None, None),
}


@pytest.mark.parametrize(("sentences", "merged", "error", "seen"), CASES.values(), ids=CASES)
def test_scores(sentences, merged, error, seen):
    scores = homophone_scores(PAIRS, [words for words, _ in sentences], [hypothesis for _, hypothesis in sentences])
    assert scores == {"merged_wer": merged, "homophone_error": error, "homophones_seen": seen}


def test_without_pairs_the_merged_rate_is_the_plain_one():
    scores = homophone_scores([], ["THE NIGHT"], ["THE KNIGHT"])
    assert scores == {"merged_wer": 50.0, "homophone_error": None, "homophones_seen": None}


def test_sets_of_different_size_are_refused():
    with pytest.raises(ValueError):
        homophone_scores(PAIRS, ["NIGHT", "SUN"], ["NIGHT"])


def test_corpus_without_the_file_has_no_pairs(tmp_path):
    assert read_pairs(tmp_path) == []


def test_pairs_are_read_in_order(tmp_path):
    (tmp_path / "HOMOPHONES.TXT").write_text("NIGHT KNIGHT\n\nSEA\tSEE \nSUN SON")
    assert read_pairs(tmp_path) == PAIRS


@pytest.mark.parametrize("kind", ["context", "order"])
def test_what_the_synthesis_writes_is_read(kind, tmp_path):
    (tmp_path / "HOMOPHONES.TXT").write_text(homophones_text(KINDS[kind]))
    pairs = read_pairs(tmp_path)
    assert len(pairs) == 8 and pairs[0] == ("NIGHT", "KNIGHT") and pairs[-1] == ("SAIL", "SALE")


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ("SUN", "line 2: not two different words, such as NIGHT KNIGHT: 'SUN'"),
        ("SUN SON SONNE", "line 2: not two different words, such as NIGHT KNIGHT: 'SUN SON SONNE'"),
        ("SUN SUN", "line 2: not two different words, such as NIGHT KNIGHT: 'SUN SUN'"),
        ("SEE C", "line 2: SEE stands in two pairs; leave one of them"),
    ],
    ids=["one word", "three words", "the same word", "word in two pairs"],
)
def test_line_that_is_no_pair_is_named(tmp_path, line, complaint):
    file = tmp_path / "HOMOPHONES.TXT"
    file.write_text(f"SEA SEE\n{line}\n")
    with pytest.raises(DataError) as caught:
        read_pairs(tmp_path)
    assert str(caught.value) == f"{file}, {complaint}"
