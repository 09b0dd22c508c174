"""Learning-rate schedules: the share of the highest rate at each step."""

import pytest

from recipes.training.schedule import linear, noam, note_of_rise


def test_noam_by_hand():
    shares = [noam(step, 1000, warmup_steps=100) for step in (1, 50, 100, 400, 10_000)]
    assert shares == pytest.approx([0.01, 0.5, 1.0, 0.5, 0.1])


def test_noam_is_the_published_one():
    """Equation 3 of arXiv 1706.03762 but for its constant."""
    for step in (1, 7, 100, 101, 5000):
        published = min(step**-0.5, step * 100**-1.5)
        assert noam(step, 1, warmup_steps=100) == pytest.approx(published * 100**0.5)


def test_linear_by_hand():
    shares = [linear(step, 100, warmup_steps=20) for step in (1, 10, 20, 60, 99, 100, 120)]
    assert shares == pytest.approx([0.05, 0.5, 1.0, 0.5, 0.0125, 0.0, 0.0])


@pytest.mark.parametrize("schedule", [linear, noam])
@pytest.mark.parametrize("warmup_steps, total", [(10, 100), (99, 100), (150, 30), (1, 2), (1, 1)], ids=str)
def test_rates_rise_once_to_the_highest_and_fall(schedule, warmup_steps, total):
    """Also when the warm-up is as long as the run or longer."""
    shares = [schedule(step, total, warmup_steps=warmup_steps) for step in range(1, total + 1)]
    top = shares.index(max(shares))
    assert shares[: top + 1] == sorted(shares[: top + 1])
    assert shares[top:] == sorted(shares[top:], reverse=True)
    assert min(shares) >= 0 and max(shares) <= 1


@pytest.mark.parametrize("schedule", [linear, noam])
def test_no_warmup_starts_at_the_top(schedule):
    shares = [schedule(step, 10, warmup_steps=0) for step in range(1, 11)]
    assert shares[0] == max(shares) and shares == sorted(shares, reverse=True)


def test_a_rate_that_rises_again_is_said():
    assert note_of_rise(1e-3, 1.1e-3, 50) is None and note_of_rise(1e-3, 9e-4, 50) is None
    assert note_of_rise(0.0, 1e-3, 50).startswith("note: the learning rate rises again, from 0 to 0.001, for its ")
