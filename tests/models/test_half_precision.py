"""Whole encoders in half precision: a minute of speech at the head size of real models, against float64."""

from functools import partial

import pytest
import torch

import mixers
from mixers.testing.inputs import noise
from mixers.testing.precision import assert_near_in, to_both
from recipes.models import Conformer

FRAMES, HEAD_SIZE = 1500, 64  # enough for the sums of XNOR and linear attention to overflow, if taken in float16
WITHOUT_HEADS = ("mamba", "conv_only", "polynomial_mixing", "taylor_attention")
LINEAR = [name for name, mixer in mixers.MIXERS.items() if mixer.linear]


@pytest.mark.parametrize("name", LINEAR)
def test_conformer_under_autocast(name):
    """Outputs are near those in float64, and gradients are finite."""
    torch.manual_seed(0)
    mixer = partial(mixers.build, name, **({} if name in WITHOUT_HEADS else {"heads": 1}))
    encoder = Conformer(HEAD_SIZE, [mixer], d_ffn=128, dropout=0.0).double().eval()
    encoder.load_state_dict({key: to_both(weight) for key, weight in encoder.state_dict().items()})
    x, lengths = to_both(noise(1, FRAMES, HEAD_SIZE) + noise(1, 1, HEAD_SIZE, seed=2)), torch.tensor([FRAMES - 100])
    with torch.no_grad():
        expected = encoder(x, lengths).frames[:, :-100]
    encoder.float()
    for dtype in (torch.float16, torch.bfloat16):
        with torch.autocast("cpu", dtype):
            frames = encoder(x.float(), lengths).frames[:, :-100]
        assert_near_in(dtype, frames, expected, f"{name} under autocast to {dtype}")
        frames.float().square().sum().backward()
        assert all(parameter.grad.isfinite().all() for parameter in encoder.parameters())
