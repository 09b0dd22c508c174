"""Transcripts as files: each format by what it must say, and what stands in none of them twice."""

import json

import pytest

from recipes.errors import RecipeError
from recipes.inference.transcripts.formats import FORMATS, LINE, cues, write_transcript
from recipes.inference.transcripts.transcript import Transcript, Word
from recipes.inference.transcripts.unspaced import columns
from recipes.scoring import ScoredText

WORDS = [Word("SALT", 0.5, 0.9, 0.91), Word("&", 1.0, 1.1, 0.5), Word("PEPPER", 3661.25, 3662.0, 1.0)]
TRANSCRIPT = Transcript("my talk", "SALT & PEPPER", 3700.0, WORDS, -1.5, [ScoredText("SALT & PEPPER", -1.5)], "a.flac")


def test_text_is_one_line():
    assert FORMATS["txt"](TRANSCRIPT) == "SALT & PEPPER\n"


def test_json_holds_everything():
    line = FORMATS["json"](TRANSCRIPT)
    assert line.count("\n") == 1
    assert json.loads(line) == {
        "id": "my talk",
        "text": "SALT & PEPPER",
        "duration": 3700.0,
        "words": [
            {"text": word.text, "start": word.start, "end": word.end, "confidence": word.confidence} for word in WORDS
        ],
        "score": -1.5,
        "nbest": [{"text": "SALT & PEPPER", "score": -1.5}],
        "audio": "a.flac",
    }


def test_subtitles():
    assert FORMATS["srt"](TRANSCRIPT) == (
        "1\n00:00:00,500 --> 00:00:01,100\nSALT &\n\n2\n01:01:01,250 --> 01:01:02,000\nPEPPER\n"
    )
    assert FORMATS["vtt"](TRANSCRIPT) == (
        "WEBVTT\n\n00:00:00.500 --> 00:00:01.100\nSALT &amp;\n\n01:01:01.250 --> 01:01:02.000\nPEPPER\n"
    )


def test_ctm_has_six_fields_a_word():
    assert FORMATS["ctm"](TRANSCRIPT).splitlines() == [
        "my_talk 1 0.50 0.40 SALT 0.910",
        "my_talk 1 1.00 0.10 & 0.500",
        "my_talk 1 3661.25 0.75 PEPPER 1.000",
    ]


@pytest.mark.parametrize("form", FORMATS)
def test_nothing_recognised_is_a_file_too(form, tmp_path):
    path = write_transcript(Transcript("deep/quiet", "", 1.0), tmp_path, form)
    assert path == tmp_path / "deep" / f"quiet.{form}" and path.is_file()


def test_cues_are_short_and_lose_no_word():
    words = [Word("WORD" * (1 + number % 3), 0.3 * number, 0.3 * number + 0.25, 1.0) for number in range(200)]
    groups = list(cues(words))
    assert [word for cue in groups for word in cue] == words
    assert max(cue[-1].end - cue[0].start for cue in groups) <= 6.0
    assert max(len(" ".join(word.text for word in cue)) for cue in groups) <= 2 * LINE + 1


def test_a_word_longer_than_a_line_stands_alone():
    long = Word("X" * 200, 0.0, 9.0, 1.0)
    assert list(cues([WORDS[0], long])) == [[WORDS[0]], [long]]


def test_subtitles_of_writing_without_blanks():
    """Twenty-one wide characters fill a line; a sign that is held for long stands for six seconds."""
    words = [Word(character, 0.1 * place, 0.1 * place + 0.05, 1.0) for place, character in enumerate("他们在这里" * 12)]
    groups = list(cues(words))
    assert [len(cue) for cue in groups] == [42, 18]
    srt = FORMATS["srt"](Transcript("x", "", 9.0, [*words, Word("啊", 20.0, 29.0, 1.0)]))
    first = "他们在这里" * 4 + "他"
    assert f"00:00:00,000 --> 00:00:04,150\n{first}\n" in srt
    assert "00:00:20,000 --> 00:00:26,000\n啊\n" in srt
    mixed = [
        Word("用", 0.0, 0.1, 1.0),
        Word("TAXI", 0.2, 0.3, 1.0),
        Word("我", 0.4, 0.5, 1.0),
        Word("们", 0.6, 0.7, 1.0),
    ]
    assert "\n用 TAXI 我们\n" in FORMATS["srt"](Transcript("x", "", 1.0, mixed))


def test_marks_above_and_below_letters_take_no_column():
    assert [columns(text) for text in ("กิน", "e\u0301", "他们", "AB")] == [2, 1, 4, 2]


def test_no_place_to_write(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(RecipeError, match=r"file/deep/quiet.txt cannot be written: Not a directory; give another"):
        write_transcript(Transcript("deep/quiet", "", 1.0), tmp_path / "file", "txt")
