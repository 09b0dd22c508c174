"""Batches by duration: bounded, complete, the same after a stop, shared out fairly among processes."""

import pickle
from collections import Counter

import numpy as np
import pytest

from recipes.asr.batches import DurationBatches

DURATIONS = np.random.default_rng(0).uniform(0.5, 15.0, size=203)


def batches(**options) -> DurationBatches:
    return DurationBatches(DURATIONS, options.pop("batch_seconds", 60.0), **{"buckets": 10, "seed": 1, **options})


@pytest.mark.parametrize("buckets", [1, 2, 10, 60, 1000])
def test_every_utterance_once_and_no_batch_too_long(buckets):
    plan = batches(buckets=buckets).batches()
    assert Counter(utterance for batch in plan for utterance in batch) == Counter(range(len(DURATIONS)))
    assert all(len(batch) * DURATIONS[batch].max() <= 60.0 for batch in plan)


@pytest.mark.parametrize("buckets", [1, 2, 10, 60, 1000])
def test_batches_are_full_however_many_buckets(buckets):
    plan = batches(buckets=buckets).batches()
    assert sum(len(batch) == 1 for batch in plan) <= 1
    seconds = [len(batch) * DURATIONS[batch].max() for batch in plan]
    assert np.median(seconds) > 0.7 * 60.0


def test_more_buckets_pad_less():
    paddings = [batches(buckets=buckets).padding() for buckets in (1, 4, 20, 200)]
    assert paddings == sorted(paddings, reverse=True)
    assert paddings[-1] < 0.05 < paddings[0]


def test_an_utterance_longer_than_a_batch_is_one_of_its_own():
    sampler = DurationBatches([50.0, 1.0, 1.0, 1.0], 10.0, buckets=1, seed=0)
    assert [0] in sampler.batches()
    assert Counter(map(len, sampler.batches())).total() <= 3


def test_epochs_differ_and_the_same_epoch_does_not():
    first, again, other = batches(), batches(), batches(seed=2)
    assert first.batches() == again.batches() != other.batches()
    again.epoch = 1
    assert first.batches() != again.batches()
    again.epoch = 0
    assert first.batches() == again.batches()


def test_evaluation_is_sorted_the_longest_first():
    plan = batches(seed=None).batches()
    flat = DURATIONS[[utterance for batch in plan for utterance in batch]]
    assert (np.diff(flat) <= 0).all()


def test_a_pass_goes_on_behind_what_is_done():
    sampler, whole = batches(), list(batches())
    sampler.skip = 3
    assert list(sampler) == whole[3:]
    assert len(sampler) == len(whole) - 3
    assert sampler.total() == len(whole)


@pytest.mark.parametrize("skip", [0, 5])
@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_processes_that_train_share_the_batches_in_turn(ranks, skip):
    everything = batches().batches()
    samplers = [batches(rank=rank, ranks=ranks, even=True) for rank in range(ranks)]
    for sampler in samplers:
        sampler.skip = skip
    own = [list(sampler) for sampler in samplers]
    assert {len(part) for part in own} == {len(sampler) for sampler in samplers} == {len(own[0])}
    in_turn = [part[step] for step in range(len(own[0])) for part in own]
    left = everything[skip:]
    assert in_turn[: len(left)] == left
    assert all(batch == everything[0] for batch in in_turn[len(left) :])


@pytest.mark.parametrize("ranks", [2, 3, 7])
def test_processes_that_evaluate_share_without_repeating(ranks):
    samplers = [batches(seed=None, rank=rank, ranks=ranks) for rank in range(ranks)]
    shared = [batch for sampler in samplers for batch in sampler]
    assert sorted(shared) == sorted(batches(seed=None).batches())
    assert [len(sampler) for sampler in samplers] == [len(list(sampler)) for sampler in samplers]


def test_more_processes_than_batches():
    durations = [1.0, 2.0]
    training = DurationBatches(durations, 10.0, seed=0, rank=2, ranks=3, even=True)
    assert list(training) == training.batches()[:1]
    evaluating = DurationBatches(durations, 10.0, rank=2, ranks=3)
    assert list(evaluating) == [] and len(evaluating) == 0


def test_it_can_be_sent_to_another_process():
    sampler = batches()
    sampler.epoch = 4
    assert list(pickle.loads(pickle.dumps(sampler))) == list(sampler)
