"""The spelling of all text, in which transcripts, hypotheses and language models are compared."""

import re
import unicodedata

# Control characters, marks without width, and SentencePiece's own blank "▁": the tokenizer drops them.
INVISIBLE = dict.fromkeys(
    [*range(0x20), *range(0x7F, 0xA0), 0x61C, 0x200B, 0x200C, 0x200E, 0x200F, 0x2581, 0xFEFF, 0xFFFD], " "
)

CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029]")  # they would end a line, or move the cursor
APOSTROPHE = "'"
OUTER_APOSTROPHE = re.compile(r"(?<!\w)'|'(?!\w)")  # not between letters


def is_utf8(path: str) -> bool:
    """Whether the bytes of a path are UTF-8. Python keeps other bytes as lone surrogates."""
    try:
        return path.isascii() or bool(path.encode())
    except UnicodeEncodeError:
        return False


def printable(path: str) -> str:
    """The path on one line: bytes that are not UTF-8, and control characters, as backslash sequences."""
    if path.isascii() and path.isprintable():
        return path
    return CONTROL.sub(lambda match: ascii(match[0])[1:-1], path.encode(errors="backslashreplace").decode())


def normalize(text: str) -> str:
    """The text in Unicode's composed form NFKC, its words separated by single blanks.

    NFC alone would keep full-width letters and ligatures, which the tokenizer (SentencePiece's nmt_nfkc) folds: a
    reference with them could never be recognised. ASCII text loses superfluous blanks and control characters.
    """
    text = " ".join(text.split())
    if text.isascii() and text.isprintable():
        return text
    return " ".join(unicodedata.normalize("NFKC", text).translate(INVISIBLE).split())


def basic(text: str) -> str:
    """As `normalize`, in small letters, with a blank for every punctuation mark and symbol (Unicode's P and S).

    An apostrophe between letters stays: "Don't!" gives "don't", "the dogs' well-kept" gives "the dogs well kept".
    """
    text = normalize(text).lower().replace("\N{RIGHT SINGLE QUOTATION MARK}", APOSTROPHE)
    text = text.replace("i\N{COMBINING DOT ABOVE}", "i")  # what lower() makes of a Turkish İ
    kept = (" " if _is_mark(character) and character != APOSTROPHE else character for character in text)
    return normalize(OUTER_APOSTROPHE.sub(" ", "".join(kept)))


def upper(text: str) -> str:
    """As `basic`, in capital letters: how LibriSpeech writes."""
    return normalize(basic(text).upper())


NORMALIZERS = {"none": normalize, "upper": upper, "basic": basic}


def _is_mark(character: str) -> bool:
    return unicodedata.category(character)[0] in "PS"
