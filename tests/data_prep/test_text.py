"""Text is spelled once, in the form that the tokenizer gives back."""

import sys
import unicodedata

import pytest
import sentencepiece

from data_prep.text import basic, is_utf8, normalize, printable
from data_prep.tokenizer import NORMALIZATION


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("CAFE\u0301", "CAF\u00c9"),
        ("\uff21\uff22\uff23 \uff11", "ABC 1"),
        ("\ufb01nd", "find"),
        (" A\t B\r\n", "A B"),
        ("A\u00a0B\u200bC\ufeff", "A B C"),
        ("\u2581A", "A"),
        ("PAY $data_root", "PAY $data_root"),
        ("\x07BELL", "BELL"),
        ("", ""),
    ],
)
def test_spelling(text, expected):
    assert normalize(text) == expected
    assert normalize(expected) == expected


def test_every_character_comes_back_from_the_tokenizer_as_it_is_written():
    tokenizer = sentencepiece.SentencePieceNormalizer(rule_name=NORMALIZATION)
    differ = []
    for number in range(1, sys.maxunicode + 1):
        character = chr(number)
        if unicodedata.category(character) in ("Cn", "Co", "Cs"):
            continue  # no characters, private ones, halves of pairs
        text = normalize(f"A{character}B")
        if tokenizer.normalize(text).replace("\u2581", " ").strip() != text:
            differ.append(text)
    assert differ == []


def test_names_of_files_that_are_not_utf8():
    name = b"caf\xe9".decode(errors="surrogateescape")
    assert is_utf8("caf\u00e9") and not is_utf8(name)
    assert printable(name) == "caf\\udce9" and printable("caf\u00e9") == "caf\u00e9"


def test_names_of_files_with_control_characters_stay_on_their_line():
    assert printable("a\nb\x1b[2Jc\u2028.wav") == "a\\nb\\x1b[2Jc\\u2028.wav"
    assert printable("a b\u00a0\u4e2d.wav") == "a b\u00a0\u4e2d.wav"


def test_a_turkish_capital_leaves_no_mark_of_its_own():
    assert basic("İSTANBUL") == "istanbul"
