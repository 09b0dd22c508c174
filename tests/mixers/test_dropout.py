"""Dropout with cheap draws: the share of zeros, the mean, the gradient, and attention with dropped weights."""

import pytest
import torch

from mixers.dropout import Dropout, dropout
from mixers.scaled_dot_product import scaled_dot_product_attention


@pytest.mark.parametrize("p", [0.1, 0.5, 0.93])
def test_share_of_zeros_and_mean(p):
    torch.manual_seed(0)
    y = dropout(torch.ones(101, 9901), p, training=True)
    assert (y == 0).double().mean() == pytest.approx(p, abs=0.002)  # five standard deviations
    assert y.double().mean() == pytest.approx(1, abs=0.02)
    kept = y[y > 0]
    assert torch.equal(kept, torch.full_like(kept, kept[0].item())) and kept[0] == pytest.approx(1 / (1 - p), rel=1e-3)


def test_neighbours_are_independent():
    """Four elements share 64 random bits."""
    torch.manual_seed(0)
    zeros = dropout(torch.ones(400_000), 0.3, training=True).view(-1, 4) == 0
    covariance = torch.cov(zeros.T.double())
    assert (covariance - torch.diag(covariance.diagonal())).abs().max() < 0.002  # five standard deviations


def test_draws_follow_from_the_seed():
    layer, x = Dropout(0.2), torch.randn(7, 5, 3)
    torch.manual_seed(1)
    first, second = layer(x), layer(x)
    torch.manual_seed(1)
    assert torch.equal(layer(x), first) and not torch.equal(first, second)


def test_gradient_is_that_of_what_is_kept():
    x = torch.randn(64, 33, requires_grad=True)
    y = dropout(x, 0.25, training=True)
    y.sum().backward()
    assert torch.allclose(x.grad * x, y, atol=1e-6) and torch.equal(x.grad == 0, y == 0)


@pytest.mark.parametrize("p, training, expected", [(0.0, True, 1), (0.4, False, 1), (1.0, True, 0)])
def test_nothing_is_drawn_where_nothing_is_to_be_drawn(p, training, expected):
    x, state = torch.randn(5, 3), torch.get_rng_state()
    assert torch.equal(Dropout(p).train(training)(x), expected * x)
    assert p == 1 or torch.equal(torch.get_rng_state(), state)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_other_dtypes_and_layouts(dtype):
    x = torch.ones(30, 40, dtype=dtype).T
    y = dropout(x, 0.5, training=True)
    assert y.dtype == dtype and set(y.unique().tolist()) == {0.0, 2.0}


@pytest.mark.parametrize("causal", [False, True])
def test_attention_drops_weights(causal):
    """Values that are the unit vectors show the weights themselves."""
    torch.manual_seed(0)
    queries, keys = torch.randn(2, 2, 3, 50, 8)
    values = torch.eye(50).expand(2, 3, 50, 50)
    visible = None if causal else (torch.rand(2, 1, 1, 50) < 0.8)
    weights = scaled_dot_product_attention(queries, keys, values, visible=visible, causal=causal)
    dropped = scaled_dot_product_attention(queries, keys, values, visible=visible, causal=causal, p=0.25)
    seen = weights > 0
    assert torch.allclose(dropped[dropped > 0], weights[dropped > 0] / 0.75, rtol=1e-4)
    assert (dropped[seen] == 0).double().mean() == pytest.approx(0.25, abs=0.02) and (dropped[~seen] == 0).all()
