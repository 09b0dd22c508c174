"""ARPA files as different tools write them: the words in them, and a form of them that KenLM can read.

KenLM refuses text before `\\data\\`, byte order marks, UTF-16, and models of order 1; such files are rewritten into
a temporary one.
"""

import codecs
import contextlib
import gzip
import io
import itertools
import tempfile
import zlib
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any, BinaryIO, TextIO, cast

from recipes.errors import RecipeError

KENLM_BINARY, GZIP = b"mmap lm ", b"\x1f\x8b"  # first bytes of such files
ENCODINGS = {codecs.BOM_UTF8: "utf-8-sig", codecs.BOM_UTF16_LE: "utf-16", codecs.BOM_UTF16_BE: "utf-16"}
NOT_WORDS = {"<s>", "</s>", "<unk>", "<UNK>"}
DATA, UNIGRAMS, END = "\\data\\", "\\1-grams:", "\\end\\"  # lines that begin the parts of an ARPA file
LONGEST_HEAD = 1000  # lines in which DATA and the counts must stand


def read_words(path: str | Path) -> list[str]:
    """The words of an ARPA file's unigrams, or of a plain list, one a line; either may be gzip.

    Raises RecipeError for a missing or unreadable file, and for a KenLM binary.
    """
    if not Path(path).is_file():
        raise RecipeError(f"no list of words {path}: write one, a word a line")
    if is_binary(path):
        raise RecipeError(f"{path} is a KenLM binary, which does not list its words: give words, a file of them")
    with open_text(path) as lines:
        head = [line.strip() for line in itertools.islice(lines, LONGEST_HEAD)]
        text = itertools.chain(head, map(str.strip, lines))
        words = list(unigrams(text) if DATA in head else text)
    return [word for word in words if word and word not in NOT_WORDS]


def unigrams(lines: Iterable[str]) -> Iterator[str]:
    """The words of the unigrams in the stripped lines of an ARPA file."""
    section = itertools.dropwhile(lambda line: line != UNIGRAMS, lines)
    fields = map(str.split, itertools.islice(section, 1, None))
    return (word for _, word, *_ in itertools.takewhile(lambda line: len(line) > 1, fields))


@contextlib.contextmanager
def readable_by_kenlm(path: str | Path) -> Iterator[Path]:
    """The path of a file with the same n-gram that KenLM can read: ``path`` itself, or a temporary one.

    Raises RecipeError for a file that is neither an ARPA file nor a KenLM binary.
    """
    path = Path(path)
    if is_binary(path):
        yield path
        return
    with open_text(path) as lines:
        head = [line.strip() for line in itertools.islice(lines, LONGEST_HEAD)]
        utf8 = lines.encoding == "utf-8"
    if DATA not in head:
        raise RecipeError(f"{path} is no ARPA file nor KenLM binary, or damaged; write it again")
    before, counts = head[: head.index(DATA)], itertools.takewhile(lambda line: line != UNIGRAMS, head)
    order = sum(line.startswith("ngram ") for line in counts)
    if utf8 and order != 1 and all(line.startswith("#") for line in before if line):
        yield path
        return
    with tempfile.TemporaryDirectory() as folder:
        copy = Path(folder) / "ngram.arpa"
        with open_text(path) as lines, open(copy, "w", encoding="utf-8") as file:
            body = itertools.dropwhile(lambda line: line.strip() != DATA, lines)
            file.writelines(as_bigrams(body) if order == 1 else body)
        yield copy


def as_bigrams(lines: Iterable[str]) -> Iterator[str]:
    """A unigram model as a bigram model that gives the same probabilities: its only bigram is <s> </s>."""
    end = "-99"  # KenLM says what is wrong with a file without </s>
    for line in lines:
        fields = line.split()
        if len(fields) > 1 and fields[1] == "</s>":
            end = fields[0]
        if line.strip() == END:
            yield f"\\2-grams:\n{end}\t<s> </s>\n\n"
        yield line
        if line.startswith("ngram 1"):
            yield "ngram 2=1\n"


def is_binary(path: str | Path) -> bool:
    with open(path, "rb") as file:
        return file.read(len(KENLM_BINARY)) == KENLM_BINARY


@contextlib.contextmanager
def open_text(path: str | Path) -> Iterator[TextIO]:
    """The text of a file, plain or gzip, in UTF-8, or in UTF-16 with a byte order mark.

    Raises RecipeError, also while it is read, for a file that is damaged or in another encoding.
    """
    with open(path, "rb") as file:
        compressed = file.read(len(GZIP)) == GZIP
    opener: Callable[..., BinaryIO] = cast(Any, gzip.open) if compressed else open
    try:
        with opener(path, "rb") as binary:
            start = binary.read(3)
            binary.seek(0)
            encoding = next((name for mark, name in ENCODINGS.items() if start.startswith(mark)), "utf-8")
            with io.TextIOWrapper(binary, encoding=encoding) as text:
                yield text
    except UnicodeDecodeError:
        hint = "convert it, iconv -f ENCODING -t UTF-8"
        raise RecipeError(f"{path} is neither UTF-8 nor UTF-16 with a byte order mark: {hint}") from None
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise RecipeError(f"{path} is unreadable ({error}); write it again") from None
