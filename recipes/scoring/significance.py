"""How certain a word error rate is, and whether two of them differ by more than chance.

Everything is counted on utterances: `errors` (substitutions, deletions and insertions) and `words` (reference
words) are arrays with one number an utterance, in the same order for all runs that are compared. Several
runs of one model with different seeds may stand as rows, `errors [runs, utterances]`; they count as their
mean.

The seeds are taken as they are: what is uncertain is which utterances happened to be in the test set. So a
significant difference is one between these trained models. It is no proof that one kind of model is better
than another. Two kinds that are equally good, three seeds of each, are called different in about a third of
all cases on 2,600 utterances when the WER spreads by 5 % of itself from seed to seed: see `spread` beside p.

Utterances are the units because each is decoded for itself, from an empty context. Those of one speaker are
still more alike than those of several, which makes intervals too narrow and p too small where speakers are
few. To have speakers as units, add up errors and words of each speaker and pass the sums.
"""

import math
from collections.abc import Sequence

import numpy as np

from data_prep.errors import DataError

BLOCK = 64  # resamples counted at once: fast, and the memory does not grow with their number


def bootstrap_interval(errors, words, *, samples=1000, level=0.95, seed=0) -> tuple[float, float]:
    """Percentile bootstrap interval (low, high) of the word error rate, in percent.

    errors: [utterances], or [runs, utterances] for the mean WER of several runs, whose utterances are drawn
    together; words: [utterances]. From the difference between the errors of two runs it makes the interval of
    the difference in WER. The same seed gives the same interval. DataError for fewer than two utterances (one
    shows no spread), for shapes that do not fit, and where there is no reference word.
    Bisani and Ney 2004, "Bootstrap estimates for confidence intervals in ASR performance evaluation".
    """
    if not 0 < level < 1:
        raise DataError(f"level {level} of a bootstrap interval: give a share between 0 and 1, such as 0.95")
    errors = _runs(errors)
    words = _words(words, errors)
    totals = _resampled(np.stack([errors.sum(0), words], axis=1), samples, seed)
    totals = totals[totals[:, 1] > 0]  # a few utterances without words can leave a resample without a rate
    rates = 100 * totals[:, 0] / (len(errors) * totals[:, 1])
    low, high = np.quantile(rates, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def paired_bootstrap(errors_a, errors_b, words, *, samples=1000, seed=0) -> float:
    """Two-sided p of "a and b have the same word error rate", from utterances drawn for both together.

    Bisani and Ney (2004) report the share of resamples in which one system beats the other, its probability
    of improvement. Here the rarer of the two outcomes is counted, a tie as both, and doubled for two sides:
    p = 2 (1 + min(#(a <= b), #(a >= b))) / (samples + 1), at most 1. The 1 stands for the test set itself, so
    that no number of resamples, however small, gives p = 0; the least is 2 / (samples + 1). Shapes and errors
    as in `bootstrap_interval`; a and b may have different numbers of runs. The words, which a and b share,
    cannot change which of the two is better: they are only checked.
    """
    difference = _difference(errors_a, errors_b)
    _words(words, difference[None])
    totals = _resampled(difference[:, None], samples, seed)
    return float(_two_sided(totals)[0])


def matched_pairs(errors_a, errors_b) -> float:
    """Two-sided p of the matched-pairs sentence-segment word error test (MAPSSWE).

    With m the mean and s the sample standard deviation of the differences in errors over n segments,
    Z = m / (s / sqrt(n)) is held against the standard normal distribution; n should be 50 or more. The test
    needs segments whose errors do not depend on each other. Here they are whole utterances, for no context
    passes from one to the next; NIST's tools also cut within them, where two correct words part the errors.
    No difference in any utterance gives p = 1; the same difference in all leaves Z without a value, and p is
    then the chance that all n fall on one side, 2 ** (1 - n). Shapes and errors as in `bootstrap_interval`.
    Gillick and Cox 1989, "Some statistical issues in the comparison of speech recognition algorithms".
    """
    difference = _difference(errors_a, errors_b)
    count = len(difference)
    if np.ptp(difference) == 0:
        return 1.0 if difference[0] == 0 else 2.0 ** (1 - count)
    z = difference.mean() / (difference.std(ddof=1) / math.sqrt(count))
    return math.erfc(abs(z) / math.sqrt(2))


def holm(p_values: Sequence[float]) -> list[float]:
    """p values corrected for being several, in the order given: Holm's step-down procedure.

    Rejecting where the result is below 0.05 keeps the chance of any false rejection among them below 5 %,
    however the tests depend on each other. DataError for a value that is no probability.
    Holm 1979, "A simple sequentially rejective multiple test procedure".
    """
    for p in p_values:
        if not 0 <= p <= 1:
            raise DataError(f"p value {p} to correct: give numbers from 0 to 1, without those of failed runs")
    adjusted = [0.0] * len(p_values)
    highest = 0.0
    for rank, index in enumerate(sorted(range(len(p_values)), key=lambda index: p_values[index])):
        highest = max(highest, min(1.0, (len(p_values) - rank) * p_values[index]))
        adjusted[index] = float(highest)
    return adjusted


def spread(values: Sequence[float]) -> float | None:
    """Sample standard deviation, as of the WERs of several seeds; None for fewer than two."""
    return float(np.std(values, ddof=1)) if len(values) > 1 else None


def _runs(errors) -> np.ndarray:
    """Errors as float64 [runs, utterances]; whole numbers stay exact in it."""
    try:
        errors = np.asarray(errors, dtype=np.float64)
    except ValueError:  # rows of different lengths
        raise DataError("errors are not one number an utterance and run: test all runs on the same set") from None
    if errors.ndim not in (1, 2) or errors.shape[0] == 0:
        raise DataError(f"errors of shape {list(errors.shape)}: give [utterances] or [runs, utterances]")
    errors = np.atleast_2d(errors)
    if errors.shape[1] < 2:
        raise DataError(f"a test set of {errors.shape[1]} utterance(s): certainty of a WER needs two or more")
    if not np.isfinite(errors).all():
        raise DataError("errors hold a value that is no number: leave out runs that failed")
    return errors


def _words(words, errors: np.ndarray) -> np.ndarray:
    words = np.asarray(words, dtype=np.float64)
    if words.shape != errors.shape[1:]:
        raise DataError(
            f"reference words of shape {list(words.shape)} for {errors.shape[1]} utterances: give one number each"
        )
    if not (words >= 0).all() or words.sum() == 0:
        raise DataError("reference words are all 0, or one of them is below 0: without words there is no WER")
    return words


def _difference(errors_a, errors_b) -> np.ndarray:
    """[utterances]: mean errors of a minus those of b, times both numbers of runs so that counts stay whole.

    A multiple is as good as the difference itself to every test here, and ties stay ties.
    """
    errors_a, errors_b = _runs(errors_a), _runs(errors_b)
    if errors_a.shape[1] != errors_b.shape[1]:
        raise DataError(
            f"runs of {errors_a.shape[1]} and of {errors_b.shape[1]} utterances: compare runs on the same test set"
        )
    return errors_a.sum(0) * len(errors_b) - errors_b.sum(0) * len(errors_a)


def _resampled(columns: np.ndarray, samples: int, seed: int) -> np.ndarray:
    """Sums [samples, columns] over utterances drawn with replacement from columns [utterances, columns]."""
    if samples < 100:
        raise DataError(f"{samples} bootstrap samples say nothing about rare outcomes: ask for 100 or more")
    generator = np.random.default_rng(seed)
    utterances = len(columns)
    totals = []
    for done in range(0, samples, BLOCK):
        block = min(BLOCK, samples - done)
        drawn = generator.integers(utterances, size=(block, utterances))
        drawn += utterances * np.arange(block)[:, None]
        times = np.bincount(drawn.ravel(), minlength=block * utterances).reshape(block, utterances)
        totals.append(times.astype(np.float64) @ columns)
    return np.concatenate(totals)


def _two_sided(totals: np.ndarray) -> np.ndarray:
    """p [comparisons] of differences resampled as [samples, comparisons]: see `paired_bootstrap`."""
    rarer = np.minimum((totals <= 0).sum(0), (totals >= 0).sum(0))
    return np.minimum(1.0, 2 * (1 + rarer) / (len(totals) + 1))
