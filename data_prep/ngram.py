"""Word n-gram language model: `python -m data_prep.ngram TEXT... OUT.arpa --order 3`.

Interpolated modified Kneser-Ney smoothing (Chen and Goodman 1998, "An empirical study of smoothing techniques
for language modeling"; as an article: https://doi.org/10.1006/csla.1999.0128), written as an ARPA file.
The text is read line by line and never held; the counts of all distinct n-grams are, in memory
(about 350 bytes each).
"""

import argparse
import math
import sys
from collections import Counter, defaultdict
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import NamedTuple

from data_prep import lm_text
from data_prep.errors import DataError, command_line
from data_prep.files import write_atomically

BEGIN, END, UNKNOWN = "<s>", "</s>", "<unk>"
RESERVED = {BEGIN, END, UNKNOWN, "<UNK>"}
FALLBACK_DISCOUNTS = (0.5, 1.0, 1.5)

Ngram = tuple[str, ...]


class NgramModel(NamedTuple):
    """A back-off model. The lists hold one dict an order, orders from 1.

    probabilities: p(last word | the words before) of every n-gram; <unk> is among the unigrams.
    backoffs: of every history, the weight of the next lower order after it; the last dict is empty.
    notes: sentences on what the text was too small for.
    """

    probabilities: list[dict[Ngram, float]]
    backoffs: list[dict[Ngram, float]]
    sentences: int
    notes: list[str]


def estimate(sentences: Iterable[str], order: int = 3) -> NgramModel:
    """Model of the given order from sentences of words between spaces; a blank one does not count.

    Every history's probabilities sum to one over the words of the text, </s> and <unk>. Raises DataError for
    an order below 1, no words at all, a word that the format keeps for itself, or sentences too short for the
    order.
    """
    if order < 1:
        raise DataError(f"the order of an n-gram must be 1 or more, not {order}")
    counts, number = count(sentences, order)
    words = len(counts[0]) + 1  # <unk> too; </s> is counted already, and <s> never predicted
    lower = defaultdict(lambda: 1 / words)  # below the unigrams all words are equal
    model = NgramModel([], [], number, [])
    for length, counted in enumerate(counts, 1):
        discounts = estimate_discounts(counted.values())
        if discounts is None:
            discounts = FALLBACK_DISCOUNTS
            model.notes.append(
                f"too little text to estimate the discounts of order {length}: "
                + ", ".join(f"{each:g}" for each in discounts)
            )
        total, spared = defaultdict(int), defaultdict(float)
        for ngram, times in counted.items():
            total[ngram[:-1]] += times
            spared[ngram[:-1]] += discounts[min(times, 3) - 1]
        weight = {history: spared[history] / total[history] for history in total}
        probabilities = {}
        for ngram, times in counted.items():
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

    In the highest order, and where an n-gram begins a sentence, how often it occurs; else how many different
    words stand before it.
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
            raise DataError(f"sentence {number} has the word {word}, which ARPA files keep for themselves: remove it")
        for length in range(2, min(order, len(words) + 1)):
            counts[length - 1][tuple(words[:length])] += 1
        first = 1 if order == 1 else 0  # <s> is given, never predicted
        counts[-1].update(tuple(words[at : at + order]) for at in range(first, len(words) - order + 1))
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
    """What to take from counts of one, two, and three or more (Chen and Goodman, modified Kneser-Ney).

    None where no n-gram was counted once, twice, three or four times, or where a discount would not lie
    between zero and its count.
    """
    of = Counter(each for each in counts if each <= 4)
    if not all(of[times] for times in (1, 2, 3, 4)):
        return None
    y = of[1] / (of[1] + 2 * of[2])
    one, two, three = (times - (times + 1) * y * of[times + 1] / of[times] for times in (1, 2, 3))
    return (one, two, three) if 0 < one < 1 and 0 < two < 2 and 0 < three < 3 else None


def write_arpa(model: NgramModel, path) -> None:
    """Write the model in the ARPA format, whole or not at all; its logarithms are to the base of ten."""
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
            yield _arpa_line("-99", (BEGIN,), backoffs)  # the format's zero: it is never predicted
        for ngram, probability in ngrams.items():
            yield _arpa_line(f"{math.log10(probability):.7f}", ngram, backoffs)
    yield "\n\\end\\\n"


def _arpa_line(probability: str, ngram: Ngram, backoffs: dict[Ngram, float]) -> str:
    backoff = f"\t{math.log10(backoffs[ngram]):.7f}" if ngram in backoffs else ""
    return f"{probability}\t{' '.join(ngram)}{backoff}\n"


@command_line
def main(argv=None):
    parser = argparse.ArgumentParser(
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
    numbers = ", ".join(f"{len(each)} of order {length}" for length, each in enumerate(model.probabilities, 1))
    print(f"{arguments.out}: {model.sentences} sentences; n-grams: {numbers}")


if __name__ == "__main__":
    raise SystemExit(main())
