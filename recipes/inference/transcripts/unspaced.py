"""Writing without blanks between words (Chinese, Japanese, Thai, Lao, Burmese, Khmer): a token stands for a word."""

import re
import unicodedata

_RANGES = (
    ("\u0e00", "\u0eff"),  # Thai, Lao
    ("\u1000", "\u109f"),  # Burmese
    ("\u1780", "\u17ff"),  # Khmer
    ("\u3000", "\u312f"),  # punctuation, kana, Bopomofo
    ("\u31a0", "\u31ff"),
    ("\u3400", "\u4dbf"),  # Han
    ("\u4e00", "\u9fff"),
    ("\uf900", "\ufaff"),
    ("\uff01", "\uff9f"),  # wide and narrow forms
    ("\U00020000", "\U0003ffff"),
)
UNSPACED = re.compile(f"[{''.join(f'{first}-{last}' for first, last in _RANGES)}]")


def begins_word(piece: str, before: str) -> bool:
    """Whether a piece of text begins a word although no blank stands before it. before: the text that it follows.

    Punctuation, and marks that combine with a letter, belong to what stands before them.
    """
    if not piece or unicodedata.category(piece[0])[0] in "MP":
        return False
    return bool(UNSPACED.match(piece) or UNSPACED.match(before[-1:]))


def glue(before: str, after: str) -> str:
    """What stands between two words: nothing where both are of such writing, else a blank."""
    return "" if UNSPACED.match(before[-1:]) and UNSPACED.match(after) else " "


def columns(text: str) -> int:
    """The width on a screen: Chinese characters take two columns, marks above and below a letter none."""
    return sum(
        0 if unicodedata.category(character) in ("Mn", "Me") else 1 + (unicodedata.east_asian_width(character) in "WF")
        for character in text
    )
