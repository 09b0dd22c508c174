"""ARPA files of different tools: read, or refused with the true reason in one line."""

import gzip

import pytest

from recipes.decoding import word_lm
from recipes.decoding.arpa import read_words
from recipes.decoding.ngram import load_ngram
from recipes.errors import RecipeError

extra = pytest.mark.skipif(word_lm.kenlm is None, reason="kenlm is not installed (requirements-ngram.txt)")

BIGRAMS = """\\data\\
ngram 1=5
ngram 2=2

\\1-grams:
-1.0\t<unk>
-99\t<s>\t-0.3
-1.0\t</s>
-0.7\tCAFÉ\t-0.3
-0.8\tSTONE\t-0.3

\\2-grams:
-0.5\t<s> CAFÉ
-0.5\tCAFÉ STONE

\\end\\
"""
UNIGRAMS = """\\data\\
ngram 1=5

\\1-grams:
-1.5\t<unk>
-99\t<s>
-1.0\t</s>
-0.7\tCAFÉ
-0.8\tSTONE

\\end\\
"""
BIGRAM_SCORES = {"CAFÉ STONE": -0.5 - 0.5 - 0.3 - 1.0, "STONE": -0.3 - 0.8 - 0.3 - 1.0, "": -0.3 - 1.0}
UNIGRAM_SCORES = {"CAFÉ STONE": -0.7 - 0.8 - 1.0, "STONE": -0.8 - 1.0, "TREE": -1.5 - 1.0, "": -1.0}

READ = {
    "plain": (BIGRAMS.encode(), BIGRAM_SCORES),
    "gzip": (gzip.compress(BIGRAMS.encode()), BIGRAM_SCORES),
    "blank line first (SRILM)": (b"\n" + BIGRAMS.encode(), BIGRAM_SCORES),
    "comments first": (b"# made by a tool\n\n# on a day\n" + BIGRAMS.encode(), BIGRAM_SCORES),
    "text first": (b"This is an n-gram.\n" + BIGRAMS.encode(), BIGRAM_SCORES),
    "Windows lines": (BIGRAMS.replace("\n", "\r\n").encode(), BIGRAM_SCORES),
    "byte order mark": (BIGRAMS.encode("utf-8-sig"), BIGRAM_SCORES),
    "UTF-16": (BIGRAMS.encode("utf-16"), BIGRAM_SCORES),
    "UTF-16, other byte order": ("\ufeff".encode("utf-16-be") + BIGRAMS.encode("utf-16-be"), BIGRAM_SCORES),
    "UTF-16, gzip": (gzip.compress(BIGRAMS.encode("utf-16")), BIGRAM_SCORES),
    "order 1": (UNIGRAMS.encode(), UNIGRAM_SCORES),
    "order 1, gzip": (gzip.compress(UNIGRAMS.encode()), UNIGRAM_SCORES),
    "order 1, UTF-16, blank line first": (("\n" + UNIGRAMS).encode("utf-16"), UNIGRAM_SCORES),
}


@extra
@pytest.mark.parametrize(("content", "scores"), READ.values(), ids=READ)
def test_read(tmp_path, content, scores):
    path = tmp_path / "words.arpa"
    path.write_bytes(content)
    model = load_ngram(str(path))
    for sentence, score in scores.items():
        assert model.score(sentence) == pytest.approx(score, abs=1e-5), sentence
    assert read_words(path) == ["CAFÉ", "STONE"]
    assert [file.name for file in tmp_path.iterdir()] == ["words.arpa"]


NO_ARPA = "{path} is no ARPA file nor KenLM binary, or damaged; write it again"
REFUSED = {
    "empty": (b"", NO_ARPA),
    "text": (b"no n-gram\n", NO_ARPA),
    "header only": (b"\\data\\\n", "{path} is damaged (it ends too early); write it again"),
    "Latin-1": (
        BIGRAMS.encode("latin-1"),
        "{path} is neither UTF-8 nor UTF-16 with a byte order mark: convert it, iconv -f ENCODING -t UTF-8",
    ),
    "cut gzip": (
        gzip.compress(UNIGRAMS.encode())[:-12],
        "{path} is unreadable (Compressed file ended before the end-of-stream marker was reached); write it again",
    ),
    "cut": (BIGRAMS.partition("\n\\end")[0].encode(), "{path} is damaged (it ends too early); write it again"),
    "no sentence start": (
        BIGRAMS.replace("1=5", "1=4").replace("-99\t<s>\t-0.3\n", "").encode(),
        "{path} is damaged (The ARPA file is missing <s>); write it again",
    ),
    "order 1, no sentence end": (
        UNIGRAMS.replace("1=5", "1=4").replace("-1.0\t</s>\n", "").encode(),
        "{path} is damaged (The ARPA file is missing </s>); write it again",
    ),
    "no number": (
        BIGRAMS.replace("-0.8", "many").encode(),
        '{path} is damaged (Could not parse "many" into a float in the 1-gram at byte ',
    ),
    "unknown word": (BIGRAMS.replace("CAFÉ STONE", "CAFÉ TREE").encode(), "{path} is damaged (Word TREE was not seen"),
}


@extra
@pytest.mark.parametrize(("content", "message"), REFUSED.values(), ids=REFUSED)
def test_refused(tmp_path, content, message):
    path = tmp_path / "words.arpa"
    path.write_bytes(content)
    with pytest.raises(RecipeError) as error:
        load_ngram(str(path))
    assert str(error.value).startswith(message.format(path=path)) and "\n" not in str(error.value)


# --- words --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16"])
def test_list_of_words(tmp_path, encoding):
    (tmp_path / "words.txt").write_bytes("CAFÉ\n\n#1\n<s>\nSTONE\n".encode(encoding))
    assert read_words(tmp_path / "words.txt") == ["CAFÉ", "#1", "STONE"]


def test_a_kenlm_binary_does_not_list_its_words(tmp_path):
    path = tmp_path / "words.binary"
    path.write_bytes(b"mmap lm http://kheafield.com/code format version 5\n\x00\xff")
    with pytest.raises(RecipeError) as error:
        read_words(path)
    assert str(error.value) == f"{path} is a KenLM binary, which does not list its words: give words, a file of them"


def test_words_in_another_encoding(tmp_path):
    (tmp_path / "words.txt").write_bytes("CAFÉ\n".encode("latin-1"))
    with pytest.raises(RecipeError, match="is neither UTF-8 nor UTF-16"):
        read_words(tmp_path / "words.txt")
