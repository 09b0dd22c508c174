"""The contexts of dynamic chunk training."""

from collections import Counter

import pytest
import torch

from mixers.base import Context
from recipes.models import DynamicChunks


def drawn(chunks: DynamicChunks, seed: int = 0, batches: int = 2000) -> list[Context | None]:
    torch.manual_seed(seed)
    return [chunks.draw() for _ in range(batches)]


def test_shares_and_ranges_are_those_asked_for():
    contexts = drawn(DynamicChunks(probability=0.6, chunk=[8, 12], left_chunks=[2, 4], left_probability=0.75))
    limited = Counter(context and context.left_chunks is not None for context in contexts)
    assert limited[None] / 2000 == pytest.approx(0.4, abs=0.03)
    assert limited[True] / (limited[True] + limited[False]) == pytest.approx(0.75, abs=0.03)
    sizes = Counter(context.chunk for context in contexts if context)
    assert sorted(sizes) == [8, 9, 10, 11, 12] and min(sizes.values()) > 180
    lefts = Counter(context.left_chunks for context in contexts if context)
    assert {*lefts} == {None, 2, 3, 4}


def test_never_and_always():
    assert drawn(DynamicChunks(probability=0), batches=50) == [None] * 50
    always = DynamicChunks(probability=1, chunk=[5, 5], left_chunks=[3, 3], left_probability=1)
    assert set(drawn(always, batches=50)) == {Context(5, 3)}
    assert set(drawn(DynamicChunks(chunk=[5, 9]).smallest(), batches=50)) == {Context(5, None)}


def test_they_follow_from_the_seed():
    """That training gives to every batch, so that a resumed run draws what the unbroken one does."""
    assert drawn(DynamicChunks(), seed=3, batches=40) == drawn(DynamicChunks(), seed=3, batches=40)
    assert drawn(DynamicChunks(), seed=3, batches=40) != drawn(DynamicChunks(), seed=4, batches=40)


@pytest.mark.parametrize(
    "options",
    [{"probability": 1.5}, {"chunk": [0, 4]}, {"chunk": [4, 3]}, {"left_chunks": 3}, {"left_probability": -1}],
)
def test_wrong_options_are_named(options):
    (name,) = options
    with pytest.raises(ValueError, match=f"DynamicChunks: {name} must be "):
        DynamicChunks(**options)
