"""Intervals and tests of word error rates: against scipy, by hand, and by how often they are right."""

import numpy as np
import pytest
from scipy import stats

from data_prep.errors import DataError
from recipes.scoring import significance
from recipes.scoring.significance import bootstrap_interval, holm, matched_pairs, paired_bootstrap, spread

UTTERANCES = 2600  # about as many as LibriSpeech's test sets have


def simulated(trials, wer_a, wer_b, utterances=UTTERANCES, seed=1):
    """Errors [trials, utterances] of two systems, and the words [utterances] that both read.

    Sentences are of 2 to 60 words. Most have no error, some have many; what is hard for one system tends to
    be hard for the other.
    """
    generator = np.random.default_rng(seed)
    words = np.clip(generator.lognormal(2.85, 0.55, utterances), 2, 60).astype(int)
    difficulty = generator.gamma(0.6, 1 / 0.6, (trials, utterances))

    def errors(wer):
        rate = wer / 100 * difficulty * generator.gamma(3, 1 / 3, difficulty.shape)
        return generator.poisson(rate * words)

    return errors(wer_a), errors(wer_b), words


@pytest.fixture(scope="module")
def pair():
    errors_a, errors_b, words = simulated(1, 6.0, 5.7, utterances=800)
    return errors_a[0], errors_b[0], words


def wer(errors, words, axis=-1):
    return 100 * errors.sum(axis) / words.sum(axis)


def test_interval_is_scipys(pair):
    errors, _, words = pair
    theirs = stats.bootstrap(
        (errors, words), wer, paired=True, vectorized=True, method="percentile", n_resamples=5000, rng=3
    ).confidence_interval
    low, high = bootstrap_interval(errors, words, samples=5000)
    assert low < wer(errors, words) < high
    assert (low, high) == pytest.approx((theirs.low, theirs.high), abs=0.04 * (high - low))


def test_lower_level_is_narrower(pair):
    errors, _, words = pair
    low, high = bootstrap_interval(errors, words)
    inner_low, inner_high = bootstrap_interval(errors, words, level=0.5)
    assert low < inner_low < inner_high < high
    # of a normal distribution: 0.674 against 1.960 standard errors
    assert (inner_high - inner_low) / (high - low) == pytest.approx(0.344, rel=0.15)


def test_same_seed_same_answer(pair):
    errors_a, errors_b, words = pair
    assert bootstrap_interval(errors_a, words, seed=5) == bootstrap_interval(errors_a, words, seed=5)
    assert bootstrap_interval(errors_a, words, seed=5) != bootstrap_interval(errors_a, words, seed=6)
    first = paired_bootstrap(errors_a, errors_b, words, seed=5)
    assert first == paired_bootstrap(errors_a, errors_b, words, seed=5)
    assert first != paired_bootstrap(errors_a, errors_b, words, seed=6)


def test_lists_do_as_well_as_arrays():
    low, high = bootstrap_interval([1, 0, 2], [4, 5, 6])
    assert 0 <= low <= 20 <= high <= 100 * 2 / 6 + 1e-9
    assert isinstance(low, float) and isinstance(high, float)


def test_interval_covers_the_true_rate():
    """About 95 of 100 intervals hold the WER that the errors were drawn with."""
    errors, _, words = simulated(400, 6.0, 6.0, utterances=500)
    covered = 0
    for run in errors:
        low, high = bootstrap_interval(run, words, samples=300)
        covered += low <= 6.0 <= high
    assert 0.90 <= covered / len(errors) <= 0.98


def test_interval_of_several_runs_is_of_their_mean(pair):
    """Equal runs teach nothing new; runs that err in other places make the mean more certain."""
    errors_a, errors_b, words = pair
    alone = bootstrap_interval(errors_a, words)
    assert bootstrap_interval([errors_a] * 3, words) == pytest.approx(alone)
    both = bootstrap_interval([errors_a, errors_b], words)
    assert both == pytest.approx(bootstrap_interval((errors_a + errors_b) / 2, words))
    assert both[1] - both[0] < alone[1] - alone[0]


def test_resamples_without_a_word_are_left_out():
    """One in four resamples of these two holds nothing but the utterance whose reference is empty."""
    low, high = bootstrap_interval([1, 0], [4, 0])
    assert (low, high) == (25.0, 25.0)


def test_matched_pairs_by_hand():
    """Differences 2, 0, 1, -1, 1, 3: mean 1, squared deviations 1 1 0 4 0 4, variance 10 / 5 = 2."""
    z = 1 / np.sqrt(2 / 6)
    assert matched_pairs([3, 1, 2, 0, 4, 3], [1, 1, 1, 1, 3, 0]) == pytest.approx(2 * stats.norm.sf(z), rel=1e-9)


def test_matched_pairs_is_scipys_paired_statistic(pair):
    errors_a, errors_b, _ = pair
    z = stats.ttest_rel(errors_a, errors_b).statistic
    assert 0.001 < matched_pairs(errors_a, errors_b) == pytest.approx(2 * stats.norm.sf(abs(z)), rel=1e-9)


@pytest.mark.parametrize("test", [matched_pairs, paired_bootstrap])
def test_which_is_called_a_does_not_matter(pair, test):
    errors_a, errors_b, words = pair
    shared = [words] if test is paired_bootstrap else []
    assert test(errors_a, errors_b, *shared) == test(errors_b, errors_a, *shared) < 1


def test_no_difference_is_not_significant(pair):
    errors, _, words = pair
    assert matched_pairs(errors, errors) == 1.0
    assert paired_bootstrap(errors, errors, words) == 1.0


def test_the_same_difference_everywhere():
    """No variance, so no Z: certainty then comes from the number of utterances alone."""
    assert matched_pairs([1, 2], [0, 1]) == 0.5
    assert matched_pairs(np.full(11, 3), np.full(11, 1)) == pytest.approx(1 / 1024)


def test_paired_bootstrap_by_hand():
    """Of (3, 3), (3, -1), (-1, 3), (-1, -1) one in four falls below 0, so p is 1/2; with ties shared, 1."""
    assert paired_bootstrap([3, 0], [0, 1], [9, 9], samples=20_000) == pytest.approx(0.5, abs=0.02)
    assert paired_bootstrap([1, 0], [0, 1], [9, 9]) == 1.0


def test_paired_bootstrap_is_never_0():
    assert paired_bootstrap([2, 3, 4], [0, 0, 1], [9, 9, 9], samples=999) == pytest.approx(2 / 1000)


def test_paired_bootstrap_counts_scipys_resamples(pair):
    errors_a, errors_b, words = pair
    theirs = stats.bootstrap(
        (errors_a, errors_b, words),
        lambda a, b, words, axis: wer(a, words, axis) - wer(b, words, axis),
        paired=True,
        vectorized=True,
        method="percentile",
        n_resamples=10_000,
        rng=3,
    )
    above = (theirs.bootstrap_distribution >= 0).mean()
    expected = 2 * min(above, 1 - above)
    assert 0.01 < paired_bootstrap(errors_a, errors_b, words, samples=10_000) == pytest.approx(expected, abs=0.03)


def test_p_agrees_with_the_interval_of_the_difference():
    """p below 0.05 where the 95 % interval of the difference leaves out 0, but for borderline cases."""
    errors_a, errors_b, words = simulated(60, 6.0, 5.5, utterances=400)
    significant = 0
    for a, b in zip(errors_a, errors_b, strict=True):
        low, high = bootstrap_interval(a - b, words)
        p = paired_bootstrap(a, b, words)
        assert (p < 0.05) == (low > 0 or high < 0) or 0.04 < p < 0.06
        significant += p < 0.05
    assert 5 < significant < 55


@pytest.mark.parametrize("test", [matched_pairs, paired_bootstrap])
def test_runs_count_as_their_mean(pair, test):
    errors_a, errors_b, words = pair
    shared = [words] if test is paired_bootstrap else []
    alone = test(errors_a, errors_b, *shared)
    assert test([errors_a] * 3, [errors_b] * 2, *shared) == pytest.approx(alone)
    assert test([errors_a, errors_b], errors_b, *shared) == pytest.approx(alone)  # half of the same difference


def test_equal_means_of_runs_are_ties():
    """Thirds are not exact in binary: no trace of rounding may be taken for a difference without variance."""
    errors_a, errors_b = [[1, 0, 2], [1, 1, 0], [2, 0, 0]], [[2, 1, 0], [1, 0, 0], [1, 0, 2]]
    assert matched_pairs(errors_a, errors_b) == 1.0
    assert paired_bootstrap(errors_a, errors_b, [5, 5, 5]) == 1.0
    one_more = np.array(errors_b) + np.array([[1], [0], [0]])
    assert matched_pairs(one_more, errors_a) == 0.25


def test_speakers_as_units():
    """Twenty equal utterances of each speaker: sums per speaker show that they are only five witnesses."""
    errors, words = np.array([4, 0, 1, 7, 2]), np.full(5, 20)
    low, high = bootstrap_interval(np.repeat(errors, 20), np.repeat(words, 20))
    speaker_low, speaker_high = bootstrap_interval(20 * errors, 20 * words)
    assert speaker_low < low < 14 < high < speaker_high


@pytest.mark.parametrize(
    "p_values, adjusted",
    [
        pytest.param([0.01, 0.04, 0.03, 0.005], [0.03, 0.06, 0.06, 0.02], id="later-never-below-earlier"),
        pytest.param([0.2, 0.6, 0.9], [0.6, 1.0, 1.0], id="at-most-1"),
        pytest.param([0.02, 0.02], [0.04, 0.04], id="equal"),
        pytest.param([0.03], [0.03], id="one"),
        pytest.param([], [], id="none"),
    ],
)
def test_holm_by_hand(p_values, adjusted):
    assert holm(p_values) == pytest.approx(adjusted)


def test_holm_keeps_false_alarms_rare():
    """Six comparisons without a difference: one or more is called different in about 5 % of the cases."""
    p_values = np.random.default_rng(4).uniform(size=(2000, 6))
    assert 0.03 < np.mean([min(holm(values)) < 0.05 for values in p_values]) < 0.07
    assert np.mean(p_values.min(1) < 0.05) > 0.2


def test_spread_over_seeds():
    assert spread([5.0, 7.0]) == pytest.approx(2**0.5)
    assert spread([1.0, 2.0, 3.0]) == pytest.approx(1.0)
    assert spread([5.0]) is None and spread([]) is None


ONE = "a test set of 1 utterance(s): certainty of a WER needs two or more"
RAGGED = "errors are not one number an utterance and run: test all runs on the same set"


@pytest.mark.parametrize(
    "call, message",
    [
        pytest.param(lambda: bootstrap_interval([1], [5]), ONE, id="one-utterance"),
        pytest.param(lambda: bootstrap_interval([[1], [2]], [5]), ONE, id="one-utterance-two-runs"),
        pytest.param(lambda: matched_pairs([1], [2]), ONE, id="one-utterance-matched-pairs"),
        pytest.param(
            lambda: bootstrap_interval([1, 2], [0, 0]),
            "reference words are all 0, or one of them is below 0: without words there is no WER",
            id="no-words",
        ),
        pytest.param(
            lambda: paired_bootstrap([1, 2], [2, 2], [3]),
            "reference words of shape [1] for 2 utterances: give one number each",
            id="words-of-another-set",
        ),
        pytest.param(
            lambda: matched_pairs([1, 2, 3], [1, 2]),
            "runs of 3 and of 2 utterances: compare runs on the same test set",
            id="another-set",
        ),
        pytest.param(lambda: bootstrap_interval([[1, 2, 3], [1, 2]], [5, 5, 5]), RAGGED, id="seeds-on-other-sets"),
        pytest.param(
            lambda: bootstrap_interval([], []),
            "errors of shape [0]: give [utterances] or [runs, utterances]",
            id="no-runs",
        ),
        pytest.param(
            lambda: bootstrap_interval([1, float("nan")], [5, 5]),
            "errors hold a value that is no number: leave out runs that failed",
            id="failed-run",
        ),
        pytest.param(
            lambda: bootstrap_interval([1, 2], [5, 5], samples=1),
            "1 bootstrap samples say nothing about rare outcomes: ask for 100 or more",
            id="one-sample",
        ),
        pytest.param(
            lambda: bootstrap_interval([1, 2], [5, 5], level=95),
            "level 95 of a bootstrap interval: give a share between 0 and 1, such as 0.95",
            id="level-in-percent",
        ),
        pytest.param(
            lambda: holm([0.1, float("nan")]),
            "p value nan to correct: give numbers from 0 to 1, without those of failed runs",
            id="no-probability",
        ),
    ],
)
def test_what_cannot_be_computed(call, message):
    with pytest.raises(DataError) as error:
        call()
    assert str(error.value) == message


def p_of_trials(errors_a, errors_b, words):
    """p [trials] of both tests. The paired bootstraps share their draws here, as equal seeds do anyway."""
    difference = errors_a - errors_b
    bootstrap = significance._two_sided(significance._resampled(difference.T.astype(float), 1000, seed=0))
    for trial in range(0, len(difference), len(difference) // 4):
        assert bootstrap[trial] == paired_bootstrap(errors_a[trial], errors_b[trial], words)
    matched = [matched_pairs(a, b) for a, b in zip(errors_a, errors_b, strict=True)]
    return {"paired bootstrap": bootstrap, "matched pairs": np.array(matched)}


def test_equal_systems_are_called_different_in_5_percent():
    errors_a, errors_b, words = simulated(1000, 6.0, 6.0)
    assert 19 < words.mean() < 22
    assert errors_a.var() > 2 * errors_a.mean()  # some sentences go wrong as a whole
    assert 0.3 < np.mean([np.corrcoef(a, b)[0, 1] for a, b in zip(errors_a, errors_b, strict=True)]) < 0.8
    for name, p in p_of_trials(errors_a, errors_b, words).items():
        assert 0.03 <= np.mean(p < 0.05) <= 0.075, name
        assert 0.4 <= np.mean(p < 0.5) <= 0.6, name


@pytest.mark.parametrize("rate", [5.0, 10.0], ids="WER={}".format)
def test_a_gain_of_10_percent_is_found(rate):
    errors_a, errors_b, words = simulated(200, rate, 0.9 * rate)
    for name, p in p_of_trials(errors_a, errors_b, words).items():
        better = errors_b.sum(1) < errors_a.sum(1)
        assert np.mean((p < 0.05) & better) > 0.5, name


def test_spread_between_seeds_is_not_covered():
    """What the module warns of: equal kinds of model, three seeds of each, WERs that spread by 5 %."""
    generator = np.random.default_rng(2)
    _, _, words = simulated(1, 6.0, 6.0)

    def runs(expected):
        luck = 1 + 0.05 * generator.standard_normal((3, 1))
        return generator.poisson(luck * expected * generator.gamma(3, 1 / 3, (3, UTTERANCES)))

    called = 0
    for _ in range(200):
        expected = 0.06 * words * generator.gamma(0.6, 1 / 0.6, UTTERANCES)
        called += matched_pairs(runs(expected), runs(expected)) < 0.05
    assert 0.25 < called / 200 < 0.45
