"""Word n-gram language model: `python -m data_prep.ngram TEXT... OUT.arpa --order 3`.

Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, "An empirical study of smoothing techniques
for language modeling"; as an article: https://doi.org/10.1006/csla.1999.0128), written as an ARPA file.
The text is read line by line; the counts of all distinct n-grams are kept in memory, about 350 bytes per n-gram.
"""

import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from data_prep import lm_text
from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError, command_line
from data_prep.files import write_atomically

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
RESERVED = {BEGIN, END, UNKNOWN, "<UNK>"}
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)
HIGHEST_ORDER = 6  # that KenLM reads as it is published

Ngram = tuple[str, ...]


class NgramModel(NamedTuple):
    """A back-off model. The lists hold a dict per order, from order 1.

    probabilities: p(last word | the words before) of every n-gram; <unk> is among the unigrams.
    backoffs: of every history, the weight of the next lower order; the last dict is empty.
    notes: sentences on what could not be estimated from so little text.
    """

    probabilities: list[dict[Ngram, float]]
    backoffs: list[dict[Ngram, float]]
    sentences: int
    notes: list[str]


def estimate(sentences: Iterable[str], order: int = 3) -> NgramModel:
    """Model of order `order` from sentences of words between spaces; empty sentences do not count.

    Every history's probabilities sum to one over the words of the text, </s> and <unk>. Raises DataError for
    an order below 1 or above what KenLM reads, no words at all, a word that the format reserves, or sentences too
    short for the order.
    """
    if not 1 <= order <= HIGHEST_ORDER:
        raise DataError(f"the order of an n-gram must be from 1 to {HIGHEST_ORDER}, as KenLM reads it, not {order}")
    counts, number = count(sentences, order)
    words = len(counts[0]) + 1  # <unk> too; </s> is among the counts, and <s> is never predicted
    lower = defaultdict(lambda: 1 / words)  # below the unigrams all words are equal
    model = NgramModel([], [], number, [])
    for length, ngrams in enumerate(counts, 1):
        discounts = estimate_discounts(ngrams.values())
        if discounts is None:
            discounts = FALLBACK_DISCOUNTS
            model.notes.append(
                f"too little text to estimate the discounts of order {length}: "
                + ", ".join(f"{discount:g}" for discount in discounts)
            )
        total, discounted = defaultdict(int), defaultdict(float)
        for ngram, times in ngrams.items():
            total[ngram[:-1]] += times
            discounted[ngram[:-1]] += discounts[min(times, 3) - 1]
        weight = {history: discounted[history] / total[history] for history in total}
        probabilities = {}
        for ngram, times in ngrams.items():
            history, discount = ngram[:-1], discounts[min(times, 3) - 1]
            probabilities[ngram] = (times - discount) / total[history] + weight[history] * lower[ngram[1:]]
        if length == 1:
            probabilities[UNKNOWN,] = weight[()] / words
        else:
            model.backoffs.append(weight)
        model.probabilities.append(probabilities)
        lower = probabilities
    model.backoffs.append({})
    return model


def count(sentences: Iterable[str], order: int) -> tuple[list[Counter[Ngram]], int]:
    """Kneser-Ney's counts of the n-grams of each order from 1, and the number of sentences.

    In the highest order, and for an n-gram that begins a sentence: how often it occurs. For all others: how many
    different words occur before it.
    """
    counts: list[Counter[Ngram]] = [Counter() for _ in range(order)]
    number = longest = 0
    for sentence in sentences:
        words = [BEGIN, *map(sys.intern, sentence.split()), END]
        if len(words) == 2:
            continue
        number, longest = number + 1, max(longest, len(words))
        if not RESERVED.isdisjoint(words[1:-1]):
            word = min(RESERVED.intersection(words[1:-1]))
            raise DataError(f"sentence {number} has the word {word}, which ARPA files reserve: remove it")
        for length in range(2, min(order, len(words) + 1)):
            counts[length - 1][tuple(words[:length])] += 1
        first = 1 if order == 1 else 0  # <s> is never predicted
        counts[-1].update(tuple(words[start : start + order]) for start in range(first, len(words) - order + 1))
    if not number:
        raise DataError("no words to estimate an n-gram from: the text is empty")
    if longest < order:
        raise DataError(
            f"no n-gram of order {order}: the longest sentence has {longest} words with its begin and end;"
            f" give order {longest} or less"
        )
    for shorter, longer in zip(counts[-2::-1], counts[:0:-1], strict=True):
        shorter.update(ngram[1:] for ngram in longer)
    return counts, number


def estimate_discounts(counts: Iterable[int]) -> tuple[float, float, float] | None:
    """Discounts of the counts 1, 2, and 3 or more (Chen and Goodman, modified Kneser-Ney).

    None when no n-gram has a count of 1, 2, 3 or 4, or when a discount would not lie between zero and its count.
    """
    number = Counter(count for count in counts if count <= 4)  # of n-grams, by their count
    if not all(number[count] for count in (1, 2, 3, 4)):
        return None
    y = number[1] / (number[1] + 2 * number[2])
    d1, d2, d3 = (count - (count + 1) * y * number[count + 1] / number[count] for count in (1, 2, 3))
    return (d1, d2, d3) if 0 < d1 < 1 and 0 < d2 < 2 and 0 < d3 < 3 else None


def write_arpa(model: NgramModel, path) -> None:
    """Write the model in the ARPA format (logarithms to base 10), completely or not at all."""
    path = Path(path)
    path.parent.mkdir(parents=True, exist_ok=True)
    write_atomically(path, b"".join(line.encode() for line in _arpa_lines(model)))


def _arpa_lines(model: NgramModel) -> Iterator[str]:
    yield "\\data\\\n"
    for length, ngrams in enumerate(model.probabilities, 1):
        yield f"ngram {length}={len(ngrams) + (length == 1)}\n"
    for length, (ngrams, backoffs) in enumerate(zip(model.probabilities, model.backoffs, strict=True), 1):
        yield f"\n\\{length}-grams:\n"
        if length == 1:
            yield _arpa_line("-99", (BEGIN,), backoffs)  # the format's zero: <s> is never predicted
        for ngram, probability in ngrams.items():
            yield _arpa_line(f"{math.log10(probability):.7f}", ngram, backoffs)
    yield "\n\\end\\\n"


def _arpa_line(probability: str, ngram: Ngram, backoffs: dict[Ngram, float]) -> str:
    backoff = f"\t{math.log10(backoffs[ngram]):.7f}" if ngram in backoffs else ""
    return f"{probability}\t{' '.join(ngram)}{backoff}\n"


@command_line
def main(argv=None):
    parser = ArgumentParser(
        prog="python -m data_prep.ngram",
        description="Estimate a word n-gram, interpolated modified Kneser-Ney, and write it as an ARPA file.",
    )
    parser.add_argument(
        "texts",
        nargs="+",
        metavar="TEXT",
        help="manifest (.csv), text with a sentence a line (plain or .gz), run folder or corpus folder",
    )
    parser.add_argument("out", metavar="OUT.arpa", help="the file to write")
    parser.add_argument("--order", type=int, default=3, help="longest n-gram, in words (default: 3)")
    arguments = parser.parse_args(argv)
    if not arguments.out.endswith(".arpa"):  # or a forgotten OUT would overwrite the last TEXT
        raise DataError(f"the file to write comes last and ends in .arpa, which {arguments.out} does not")
    files = lm_text.text_files(arguments.texts, "train")
    model = estimate(lm_text.sentences(files), arguments.order)
    write_arpa(model, arguments.out)
    for note in model.notes:
        print(f"note: {note}")
    numbers = ", ".join(f"{len(ngrams)} of order {order}" for order, ngrams in enumerate(model.probabilities, 1))
    print(f"{arguments.out}: {model.sentences} sentences; n-grams: {numbers}")


if __name__ == "__main__":
    raise SystemExit(main())
