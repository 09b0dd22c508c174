"""N-grams: every distribution sums to one, arithmetic done by hand, and the same scores in KenLM."""

import gzip
import math
import random
from collections import Counter

import pytest

from data_prep.ngram import BEGIN, END, UNKNOWN, count, estimate, estimate_discounts, main, write_arpa
from tests.support.manifests import to_csv


def grammar(sentences: int, seed: int = 0) -> list[str]:
    """Sentences of uneven words, so that every count from one up occurs."""
    draw = random.Random(seed)
    words = [f"W{number}" for number in range(200)]
    weights = [rank**-1.2 for rank in range(1, 201)]
    return [" ".join(draw.choices(words, weights, k=draw.randint(1, 9))) for _ in range(sentences)]


def read_arpa(path) -> dict[tuple[str, ...], tuple[float, float]]:
    """log10 probability and back-off weight of every n-gram of an ARPA file."""
    entries = {}
    for line in path.read_text().splitlines():
        fields = line.split("\t")
        if len(fields) > 1:
            backoff = float(fields[2]) if len(fields) == 3 else 0.0
            entries[tuple(fields[1].split(" "))] = float(fields[0]), backoff
    return entries


def back_off(entries, history: tuple[str, ...], word: str) -> float:
    """log10 p(word | history), by the format's definition."""
    if (*history, word) in entries:
        return entries[*history, word][0]
    return entries.get(history, (0, 0.0))[1] + back_off(entries, history[1:], word)


def sentence_score(entries, order: int, sentence: str) -> float:
    words = [BEGIN, *sentence.split(), END]
    words = [word if (word,) in entries else UNKNOWN for word in words]
    return sum(
        back_off(entries, tuple(words[max(0, index - order + 1) : index]), words[index])
        for index in range(1, len(words))
    )


# --- the estimate -------------------------------------------------------------------------------------------


@pytest.mark.parametrize("sentences", [3, 200], ids=["fallback", "estimated"])
@pytest.mark.parametrize("order", [1, 2, 3, 5])
def test_every_distribution_sums_to_one(tmp_path, order, sentences):
    model = estimate(["W0 W1 W2 W3 W0", *grammar(sentences)], order)
    assert (len(model.notes) < order) == (sentences == 200), "both ways to discounts are tried"
    write_arpa(model, tmp_path / "lm.arpa")
    entries = read_arpa(tmp_path / "lm.arpa")
    vocabulary = [ngram[0] for ngram in entries if len(ngram) == 1 and ngram != (BEGIN,)]
    assert {END, UNKNOWN, "W0"} <= set(vocabulary)
    histories = {ngram[:-1] for ngram in entries} | {("W1", "UNSEEN"), ("W39", "W38", "W37")}
    for history in histories:
        total = sum(10 ** back_off(entries, history, word) for word in vocabulary)
        assert total == pytest.approx(1, abs=2e-5), history


def test_discounts_by_hand():
    # 8 n-grams seen once, 4 twice, 2 thrice, 1 four times: Y = 8 / (8 + 2*4) = 1/2;
    # D1 = 1 - 2 Y 4/8 = 1/2, D2 = 2 - 3 Y 2/4 = 5/4, D3+ = 3 - 4 Y 1/2 = 2.
    counts = [1] * 8 + [2] * 4 + [3] * 2 + [4] + [9]
    assert estimate_discounts(counts) == pytest.approx((0.5, 1.25, 2.0))
    assert estimate_discounts([1, 2, 3, 3]) is None, "nothing was counted four times"
    # Once 10 times, twice once, 3 once, 4 ten times: Y = 10/12, D3+ = 3 - 4 Y 10/1 is below zero.
    assert estimate_discounts([1] * 10 + [2, 3] + [4] * 10) is None


def test_unigram_by_hand():
    # One sentence: 7 words once, 4 twice, 2 thrice, 1 four times, and </s> once: the discounts above.
    # 26 events; 14 words, </s> and <unk> make 16.
    # What the discounts take away: (8 * 0.5 + 4 * 1.25 + 3 * 2) / 26 = 15/26, a 16th to each.
    once, twice, thrice = "ABCDEFG", "HIJK", "LM"
    sentence = " ".join(once + 2 * twice + 3 * thrice + 4 * "N")
    probabilities = estimate([sentence], order=1).probabilities[0]
    shared = 15 / 26 / 16
    assert probabilities[(UNKNOWN,)] == pytest.approx(shared)
    assert probabilities[("A",)] == probabilities[(END,)] == pytest.approx(0.5 / 26 + shared)
    assert probabilities[("H",)] == pytest.approx(0.75 / 26 + shared)
    assert probabilities[("L",)] == pytest.approx(1 / 26 + shared)
    assert probabilities[("N",)] == pytest.approx(2 / 26 + shared)
    assert (BEGIN,) not in probabilities


def test_bigram_by_hand():
    # "A B" twice and "A A": bigrams <s>A 3, AB 2, B</s> 2, AA 1, A</s> 1. Too little: discounts 1/2, 1, 3/2.
    # Different words before A: <s>, A; before B: A; before </s>: B, A. Together 5.
    # Taken from the unigrams: (1 + 1/2 + 1)/5 = 1/2, an eighth to each of A, B, </s>, <unk>.
    model = estimate(["A B", "A A", "A B"], order=2)
    unigrams, bigrams = model.probabilities
    assert unigrams[("A",)] == unigrams[(END,)] == pytest.approx((2 - 1) / 5 + 1 / 8)  # 13/40
    assert unigrams[("B",)] == pytest.approx((1 - 1 / 2) / 5 + 1 / 8)  # 9/40
    assert unigrams[(UNKNOWN,)] == pytest.approx(1 / 8)
    # After A: 4 events; taken away (1 + 1/2 + 1/2)/4 = 1/2.
    assert model.backoffs[0][("A",)] == pytest.approx(1 / 2)
    assert bigrams["A", "B"] == pytest.approx((2 - 1) / 4 + 1 / 2 * 9 / 40)
    assert bigrams["A", "A"] == pytest.approx((1 - 1 / 2) / 4 + 1 / 2 * 13 / 40)
    # After <s>: three times A; taken away (3/2)/3.
    assert bigrams[BEGIN, "A"] == pytest.approx((3 - 3 / 2) / 3 + 1 / 2 * 13 / 40)
    assert model.sentences == 3
    assert len(model.notes) == 2
    assert model.notes[1] == "too little text to estimate the discounts of order 2: 0.5, 1, 1.5"


def test_counts_are_of_different_words_before():
    """Against the definition, from the raw text."""
    text, order = grammar(60), 4
    counts, number = count(text, order)
    padded = [(BEGIN, *sentence.split(), END) for sentence in text]
    assert number == 60
    for length in range(1, order + 1):
        raw, before = Counter(), {}
        for words in padded:
            for start in range(len(words) - length + 1):
                ngram = words[start : start + length]
                raw[ngram] += 1
                if start:
                    before.setdefault(ngram, set()).add(words[start - 1])
        exact = {
            ngram: times if length == order or ngram[0] == BEGIN else len(before[ngram])
            for ngram, times in raw.items()
            if ngram != (BEGIN,)
        }
        assert counts[length - 1] == exact


# --- the file -----------------------------------------------------------------------------------------------


@pytest.mark.parametrize("order", [2, 3, 4])
def test_kenlm_scores_as_the_file_says(tmp_path, order):
    kenlm = pytest.importorskip("kenlm", reason="kenlm is not installed (requirements-ngram.txt)")
    path = tmp_path / "lm.arpa"
    write_arpa(estimate(grammar(300), order), path)
    model, entries = kenlm.Model(str(path)), read_arpa(path)
    assert model.order == order
    for sentence in [*grammar(100, seed=1), "W0", "", "NEVER SEEN W1", "W39 W38 W37 W36 W35"]:
        expected = sentence_score(entries, order, sentence)
        assert model.score(sentence) == pytest.approx(expected, abs=1e-4), sentence


def test_more_context_predicts_new_text_of_the_same_kind_better(tmp_path):
    """Sentences in which every word follows from the one before, but for some noise."""
    draw = random.Random(1)

    def draw_sentence():
        words = [draw.randrange(20)]
        while len(words) < 8:
            words.append((7 * words[-1] + 3) % 20 if draw.random() < 0.9 else draw.randrange(20))
        return " ".join(f"W{word}" for word in words)

    train, new = [draw_sentence() for _ in range(300)], [draw_sentence() for _ in range(50)]
    scores = {}
    for order in (1, 2):
        write_arpa(estimate(train, order), tmp_path / "lm.arpa")
        entries = read_arpa(tmp_path / "lm.arpa")
        scores[order] = sum(sentence_score(entries, order, sentence) for sentence in new) / (9 * 50)
    assert scores[2] > scores[1] + math.log10(3)


# --- the command --------------------------------------------------------------------------------------------


def write_text(path, sentences):
    content = "".join(f"{sentence}\n" for sentence in sentences).encode()
    if path.suffix == ".csv":
        rows = [[f"1-1-{number}", 1.0, "x.flac", "1-1", words] for number, words in enumerate(sentences)]
        content = to_csv(rows)
    path.write_bytes(gzip.compress(content) if path.suffix == ".gz" else content)
    return str(path)


def test_command_reads_manifests_and_texts_together(tmp_path, capsys):
    text = grammar(90)
    files = [
        write_text(tmp_path / name, text[start : start + 30])
        for name, start in (("a.csv", 0), ("b.txt", 30), ("c.txt.gz", 60))
    ]
    out = tmp_path / "new" / "lm.arpa"
    assert main([*files, str(out), "--order", "2"]) == 0
    model = estimate(text, 2)
    write_arpa(model, tmp_path / "at_once.arpa")
    assert out.read_bytes() == (tmp_path / "at_once.arpa").read_bytes()
    unigrams, bigrams = map(len, model.probabilities)
    assert capsys.readouterr().out.splitlines()[-1] == (
        f"{out}: 90 sentences; n-grams: {unigrams} of order 1, {bigrams} of order 2"
    )
    assert [file.name for file in out.parent.iterdir()] == ["lm.arpa"]


@pytest.mark.parametrize(
    "text, options, message",
    [
        (["A B"], ["--order", "0"], "the order of an n-gram must be from 1 to 6, as KenLM reads it, not 0"),
        (["A B"], ["--order", "7"], "the order of an n-gram must be from 1 to 6, as KenLM reads it, not 7"),
        ([], [], "no words to estimate an n-gram from: the text is empty"),
        (["  ", ""], [], "no words to estimate an n-gram from: the text is empty"),
        (
            ["A B", "A"],
            ["--order", "5"],
            "no n-gram of order 5: the longest sentence has 4 words with its begin and end;" + " give order 4 or less",
        ),
        (
            ["A", "B <unk> C"],
            [],
            "sentence 2 has the word <unk>, which ARPA files reserve: remove it",
        ),
    ],
    ids=["order 0", "order 7", "empty", "blank", "too_short", "reserved"],
)
def test_errors(tmp_path, capsys, text, options, message):
    out = tmp_path / "lm.arpa"
    out.write_text("the old file")
    assert main([write_text(tmp_path / "text.txt", text), str(out), *options]) == 2
    assert capsys.readouterr().err == f"error: {message}\n"
    assert out.read_text() == "the old file"


def test_a_forgotten_output_overwrites_no_text(tmp_path, capsys):
    first, second = (write_text(tmp_path / f"{name}.txt", ["A B"]) for name in "ab")
    assert main([first, second]) == 2
    assert capsys.readouterr().err == (
        f"error: the file to write comes last and ends in .arpa, which {second} does not\n"
    )


@pytest.mark.parametrize("name", ["missing.txt", "plain.gz"])
def test_unreadable_texts_are_named(tmp_path, capsys, name):
    (tmp_path / "plain.gz").write_text("not compressed\n")
    assert main([str(tmp_path / name), str(tmp_path / "lm.arpa")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and str(tmp_path / name) in error and error.count("\n") == 1
    assert not (tmp_path / "lm.arpa").exists()
