"""Reflected ends of an utterance: the same in any batch, and zeros where it is too short."""

import pytest
import torch
from torch.nn.functional import pad

from mixers.base import lengths_to_mask
from recipes.models.branchformer import ConvGatingUnit
from recipes.models.edges import reflect_ends
from recipes.models.frontend import ConvFrontend

NAN = float("nan")


@pytest.mark.parametrize("frames", [1, 3])
def test_one_utterance_as_torch_reflects_it(frames):
    x = torch.randn(1, 5, 2)
    expected = pad(x.transpose(1, 2), (frames, frames), mode="reflect").transpose(1, 2)
    assert torch.equal(reflect_ends(x, None, frames), expected)
    padded = pad(x, (0, 0, 0, 4), value=NAN)
    mask = lengths_to_mask(torch.tensor([5]), 9)
    assert torch.equal(reflect_ends(padded, mask, frames)[:, : 5 + 2 * frames], expected)


def test_too_short_to_reflect():
    """Zeros stand for the missing frames."""
    x = torch.tensor([[1.0, 2, 3, 4], [1, 2, NAN, NAN], [1, NAN, NAN, NAN]])[..., None]
    reflected = reflect_ends(x, lengths_to_mask(torch.tensor([4, 2, 1]), 4), 2)[..., 0]
    assert reflected.tolist() == [
        [3, 2, 1, 2, 3, 4, 3, 2],
        [0, 2, 1, 2, 1, 0, 0, 0],
        [0, 0, 1, 0, 0, 0, 0, 0],
    ]


@pytest.mark.parametrize("ends", ["zeros", "reflect"])
@pytest.mark.parametrize("length", [1, 2, 3, 16, 17])
def test_gate_is_the_same_alone_and_in_a_batch(ends, length):
    unit = ConvGatingUnit(8, 31, 0.0, ends).eval()
    torch.nn.init.normal_(unit.depthwise.weight)
    x, lengths = torch.randn(2, 20, 8), torch.tensor([20, length])
    x[1, length:] = 1e4
    with torch.no_grad():
        alone = unit(x[1:, :length], None)
        batch = unit(x, lengths_to_mask(lengths, 20))
    assert alone.shape == (1, length, 4)
    torch.testing.assert_close(batch[1, :length], alone[0], atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("ends", ["zeros", "reflect"])
@pytest.mark.parametrize("length", [1, 2, 3, 4, 5, 6])
def test_front_end_is_the_same_alone_and_in_a_batch(ends, length):
    frontend = ConvFrontend(8, n_mels=12, channels=(3, 2), ends=ends).eval()
    features = torch.randn(2, 9, 12)
    features[1, length:] = NAN
    with torch.no_grad():
        alone, frames = frontend(features[1:, :length], torch.tensor([length]))
        batch, both = frontend(features, torch.tensor([9, length]))
    assert both.tolist() == [3, frames.item()] == [3, -(-length // 4)]
    torch.testing.assert_close(batch[1, : frames.item()], alone[0], atol=1e-5, rtol=1e-5)


def test_unknown_ends():
    with pytest.raises(ValueError, match="ConvFrontend: unknown ends 'mirror'; it is one of zeros, reflect"):
        ConvFrontend(8, ends="mirror")
    with pytest.raises(ValueError, match="Branchformer: unknown ends 'mirror'; it is one of zeros, reflect"):
        ConvGatingUnit(8, 3, 0.0, "mirror")
