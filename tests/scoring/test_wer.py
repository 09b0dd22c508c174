"""Word error rates, and the table of a run."""

import subprocess
import sys
from dataclasses import replace

import pytest

from recipes.errors import RecipeError
from recipes.scoring import (
    ScoredText,
    SplitResult,
    Transcription,
    align_words,
    errors_by_utterance,
    score_normalizer,
    score_split,
    table,
)


def transcription(name: str, words: str, hypothesis: str, greedy: str) -> Transcription:
    return Transcription(name, words, [ScoredText(hypothesis, -1.5), ScoredText("WORSE", -2.5)], greedy)


# 2 substitutions, 1 deletion and 1 insertion in 11 words; greedy CTC: 3 deletions.
TRANSCRIPTIONS = [
    transcription("1-1-0000", "THE QUEEN WALKED SLOWLY", "THE QUEEN WALKED SLOWLY", "THE QUEEN WALKED"),
    transcription("1-1-0001", "A BOX OF STONES", "A FOX STONES", "A BOX"),
    transcription("1-1-0002", "DON'T JUMP OVER", "DONE JUMP OVER IT", "DON'T JUMP OVER"),
]


def test_errors_of_a_split():
    result = score_split(TRANSCRIPTIONS)
    low, high = result.interval
    assert 0 <= low < 36.364 < high <= 75, "of the utterances one is right, one has two errors in three words"
    assert replace(result, interval=None) == SplitResult(
        wer=36.364,
        interval=None,
        substitutions=2,
        deletions=1,
        insertions=1,
        utterances=3,
        words=11,
        wer_greedy_ctc=27.273,
        cer=16.981,  # F for B, "OF " left out, E for two characters, " IT" inserted: 9 of 53
    )
    assert result.errors == 4


def test_character_errors_count_blanks():
    assert score_split([transcription("a", "AB CD", "ABCD", "AB CD")]).cer == 20.0
    assert score_split([transcription("a", "AB", "", "AB"), transcription("b", "CD", "CD", "")]).cer == 50.0


def test_text_without_spaces_is_named():
    spoken = score_split(
        [transcription("a", "今日は雨です", "今日は雪です", "今日は雨です"), transcription("b", "はい", "はい", "はい")]
    )
    assert (spoken.wer, spoken.cer, spoken.has_spaces) == (50.0, 12.5, False)
    note = "note: no transcript of yes has a space: WER counts utterances, compare the CER"
    assert table({"yes": spoken, "no": score_split(TRANSCRIPTIONS)}).split("\n")[3:] == [note]


def test_errors_by_utterance():
    words = [item.words for item in TRANSCRIPTIONS]
    assert errors_by_utterance(align_words(words, [item.hypothesis for item in TRANSCRIPTIONS])) == [0, 2, 2]
    assert errors_by_utterance(align_words(words, ["", "", ""])) == [4, 4, 3]


def test_as_many_references_as_hypotheses():
    with pytest.raises(ValueError):
        align_words(["ONE", "TWO"], ["ONE"])


def test_wer_is_of_the_whole_set_and_may_pass_100():
    """Errors by words of the set, not the mean over utterances; nothing is normalised."""
    first, second = transcription("a", "ONE", "one two three", ""), transcription("b", "A B C", "A B C", "A B C")
    result = score_split([first, second])
    assert (result.wer, result.substitutions, result.insertions) == (75.0, 1, 2)
    assert result.wer_greedy_ctc == 25.0
    assert score_split([transcription("a", "ONE", "A B C", "ONE")]).wer == 300.0


def test_a_single_utterance_has_no_interval():
    assert score_split(TRANSCRIPTIONS[:1]).interval is None


def test_empty_hypotheses_are_deletions():
    result = score_split([transcription("a", "ONE TWO", "", "")])
    assert (result.wer, result.deletions, result.words) == (100.0, 2, 2)


def test_homophones_are_scored_where_the_corpus_names_them():
    transcriptions = [transcription("a", "THE KNIGHT AND NIGHT", "THE NIGHT AND NIGHT", "")]
    result = score_split(transcriptions, [("NIGHT", "KNIGHT")])
    assert (result.wer, result.merged_wer) == (25.0, 0.0)
    assert (result.homophone_error, result.homophones_seen) == (50.0, 100.0)
    assert score_split(transcriptions).merged_wer is None


def test_table():
    result = score_split(TRANSCRIPTIONS)
    long_name = replace(result, wer=100.0, words=52576, utterances=2620)
    header, first, second = table({"test-clean": result, "test-clean-and-other": long_name}).split("\n")
    assert header.split() == "WER % 95 % interval CER % greedy CTC sub del ins words utterances".split()
    low, high = result.interval
    interval = [f"{low:.2f}", "-", f"{high:.2f}"]
    assert first.split() == ["test-clean", "36.36", *interval, "16.98", "27.27", "2", "1", "1", "11", "3"]
    assert second.split() == [
        "test-clean-and-other",
        "100.00",
        *interval,
        "16.98",
        "27.27",
        "2",
        "1",
        "1",
        "52576",
        "2620",
    ]
    assert len(first) == len(second) == len(header)
    for column in ("WER %", "95 % interval", "CER %", "greedy CTC", "sub", "del", "ins", "words", "utterances"):
        end = header.index(column) + len(column)
        assert first[end - 1] != " " and first[end : end + 1].strip() == "", f"{column} is not right-aligned"


def test_table_of_a_single_utterance_has_a_dash_for_the_interval():
    assert table({"dev": score_split(TRANSCRIPTIONS[1:2])}).split("\n")[1].split()[:3] == ["dev", "50.00", "-"]


def test_scoring_loads_neither_torch_nor_speechbrain():
    """Tables of results are shown in less than a second, also where torch is not installed."""
    program = "import sys, recipes.scoring; print(*sorted({'torch', 'speechbrain', 'torchaudio'} & {*sys.modules}))"
    done = subprocess.run([sys.executable, "-c", program], text=True, capture_output=True, check=True)
    assert done.stdout.strip() == ""


def test_a_second_wer_of_normalised_texts_is_named_in_the_table():
    """The plain one stays as it is."""
    items = [
        transcription("a", "Don't stop, Mr. Smith!", "don't stop mister smith", ""),
        transcription("b", "A", "a", ""),
        transcription("c", "B C D E F", "B C D E F", ""),
    ]
    plain, result = score_split(items), score_split(items, normalizer="basic")
    assert (plain.wer, result.wer, result.normalizer, result.normalized_wer) == (50.0, 50.0, "basic", 10.0)
    header, first, second = table({"test": result, "plain": plain}).split("\n")
    assert header.endswith("   utterances   basic WER %") and first.endswith(" 3         10.00") and second[-1] == "-"
    assert len(header) == len(first) == len(second)


def test_english_is_normalised_as_for_whisper():
    pytest.importorskip("whisper_normalizer")
    item = transcription("a", "Mr. Smith paid $25, didn't he?", "MISTER SMITH PAID TWENTY FIVE DOLLARS DID NOT HE", "")
    assert score_split([item], normalizer="english").normalized_wer == 0.0
    assert score_split([item], normalizer="basic").normalized_wer > 50


def test_normalising_may_leave_no_word():
    assert score_split([transcription("a", "?!", "", "")], normalizer="basic").normalized_wer is None


def test_the_english_normalizer_that_is_not_installed(monkeypatch):
    monkeypatch.setitem(sys.modules, "whisper_normalizer.english", None)
    with pytest.raises(RecipeError, match=r"needs a package: pip install -r requirements-english\.txt"):
        score_normalizer("english")
