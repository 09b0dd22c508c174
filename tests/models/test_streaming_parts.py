"""The parts of a model as streams: features, front end, convolution, encoder; each equals its ``forward``."""

import random

import pytest
import torch
from torch import Tensor

import mixers
from mixers.base import Context
from recipes.models import Branchformer, Conformer, ConvFrontend, LogMel
from recipes.models.depthwise import DepthwiseConv
from tests.support.models import randomised


def noise(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed))


def cut(x: Tensor, draw: random.Random, most: int) -> list[Tensor]:
    """``[B, T, …]`` in pieces of 0 to ``most``."""
    pieces, start = [], 0
    while start < x.shape[1]:
        size = draw.choice([0, 1, draw.randint(1, most)])
        pieces.append(x[:, start : start + size])
        start += size
    return pieces


def in_stream(part, pieces: list[Tensor], context: Context | None = None) -> Tensor:
    state, outputs = part.init_state(len(pieces[0]), context), []
    for number, piece in enumerate(pieces):
        y, state = part.step(piece, state, last=number == len(pieces) - 1)
        outputs.append(y)
    return torch.cat(outputs, 1)


@pytest.mark.parametrize("window_length", [400, 512, 100], ids=str)
@pytest.mark.parametrize("samples", [1, 39, 159, 160, 200, 361, 640, 3003], ids=str)
def test_log_mel(samples, window_length):
    """Also with a window shorter than the hop."""
    part, audio = LogMel(n_mels=20, window_length=window_length), noise(2, samples)
    whole, _ = part(audio, torch.tensor([samples, samples]))
    for most in (1, 50, 700):
        streamed = in_stream(part, cut(audio, random.Random(most), most))
        torch.testing.assert_close(streamed, whole[:, : 1 + samples // 160], atol=1e-4, rtol=0)


def test_a_stream_that_ends_without_a_sample():
    """The end may come after the last sample, with an empty piece."""
    part, audio = LogMel(n_mels=20), noise(1, 800)
    whole, _ = part(audio, torch.tensor([800]))
    torch.testing.assert_close(in_stream(part, [audio, audio[:, :0]]), whole, atol=1e-4, rtol=0)


@pytest.mark.parametrize("channels", [(3,), (3, 2), (3, 2, 2)], ids=["2x", "4x", "8x"])
def test_front_end(channels):
    part = randomised(ConvFrontend(6, n_mels=10, channels=channels)).double()
    for frames in range(1, 20):
        features = noise(2, frames, 10, seed=frames).double()
        whole, lengths = part(features, torch.tensor([frames, frames]))
        for most in (1, 9):
            streamed = in_stream(part, cut(features, random.Random(most), most))
            assert streamed.shape[1] == lengths[0]
            torch.testing.assert_close(streamed, whole)


@pytest.mark.parametrize("kernel_size", [1, 3, 7])
@pytest.mark.parametrize("chunk", [1, 2, 5, 40])
def test_convolution(kernel_size, chunk):
    """Of every chunk: the ordinary convolution of all frames up to the chunk's end."""
    conv, x, context = DepthwiseConv("test", 4, kernel_size).double(), noise(2, 13, 4).double(), Context(chunk, 0)
    conv.bias.data.normal_()
    expected = torch.cat([conv(x[:, : start + chunk])[:, start:] for start in range(0, 13, chunk)], 1)
    torch.testing.assert_close(conv(x, context), expected)
    state, outputs = conv.init_state(2, context), []
    for piece in x.split(chunk, 1):
        y, state = conv.step(piece, state._replace(past=state.past.double()))
        outputs.append(y)
        assert state.past[0].numel() == conv.state_size(chunk, context)
    torch.testing.assert_close(torch.cat(outputs, 1), expected)


@pytest.mark.parametrize("encoder", [Conformer, Branchformer])
def test_encoder_in_pieces_of_any_size(encoder):
    width = {"d_ffn": 8} if encoder is Conformer else {"csgu_units": 8}
    build = lambda d_model: mixers.build("summarymixing", d_model)  # noqa: E731
    part, x = encoder(8, [build, build], kernel_size=5, **width), noise(2, 23, 8).double()
    part = randomised(part).double()
    for context in (Context(1), Context(4, 1), Context(30)):
        whole = part(x, torch.tensor([23, 23]), context).frames
        for most in (1, 9):
            streamed = in_stream(part, cut(x, random.Random(most), most), context)
            torch.testing.assert_close(streamed, whole)
    torch.testing.assert_close(part(x, torch.tensor([23, 23]), Context(30)), part(x, torch.tensor([23, 23])))
