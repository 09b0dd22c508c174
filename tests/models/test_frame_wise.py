"""Long recordings: layers in which a frame sees few others or none compute them in pieces."""

import pytest
import torch

from mixers import SummaryMixing
from recipes.models import Branchformer, Conformer, frame_wise
from recipes.models.encoder import FeedForward

ENCODERS = {
    "conformer": lambda: Conformer(16, [SummaryMixing] * 2, d_ffn=32, kernel_size=5),
    "branchformer": lambda: Branchformer(16, [SummaryMixing] * 2, csgu_units=32, kernel_size=5),
}


@pytest.mark.parametrize("encoder", ENCODERS)
def test_pieces_change_nothing(encoder, monkeypatch):
    torch.manual_seed(0)
    encoder = ENCODERS[encoder]().eval()
    for block in encoder.blocks:  # Branchformer's starts at 1e-6
        torch.nn.init.normal_(block.depthwise.weight)
    frames, lengths = torch.randn(2, 30, 16), torch.tensor([30, 17])
    with torch.inference_mode():
        expected = encoder(frames, lengths).frames
        monkeypatch.setattr(frame_wise, "PIECE", 7)
        torch.testing.assert_close(encoder(frames, lengths).frames, expected, rtol=1e-5, atol=1e-6)


def test_the_widest_tensor_is_as_long_as_a_piece(monkeypatch):
    """Not with gradients, which need all of it anyway."""
    monkeypatch.setattr(frame_wise, "PIECE", 7)
    layer, widths = FeedForward(4, 64, 0.0, torch.nn.GELU), []
    layer.up.register_forward_hook(lambda module, inputs, hidden: widths.append(tuple(hidden.shape)))
    x = torch.randn(1, 20, 4)
    with torch.no_grad():
        layer(x)
    assert widths == [(1, 7, 64), (1, 7, 64), (1, 6, 64)]
    widths.clear()
    layer(x)
    assert widths == [(1, 20, 64)]


def test_the_gate_of_the_branchformer_goes_in_pieces_too(monkeypatch):
    """With the frames to either side that its kernel of five sees; not where the ends are mirrored."""
    monkeypatch.setattr(frame_wise, "PIECE", 7)
    for ends, expected in (("zeros", [9, 11, 8]), ("reflect", [20])):
        encoder = Branchformer(16, [SummaryMixing], csgu_units=32, kernel_size=5, ends=ends).eval()
        widths: list[int] = []
        encoder.blocks[0].cgmlp.up.register_forward_hook(lambda module, inputs, y, w=widths: w.append(y.shape[1]))
        with torch.no_grad():
            encoder(torch.randn(1, 20, 16), torch.tensor([20]))
        assert widths == expected


def test_a_traced_graph_is_for_all_lengths():
    """Had its pieces been asked for, torch would trace it again, for the lengths of a single piece."""
    exported = torch.export.export(
        FrameWise(), (torch.zeros(1, 7, 4),), dynamic_shapes=({1: torch.export.Dim("frames", min=2)},), strict=False
    )
    (frames,) = exported.range_constraints.values()
    assert frames.upper > 1 << 40


class FrameWise(torch.nn.Module):
    def forward(self, x: torch.Tensor) -> torch.Tensor:
        with torch.no_grad():
            return frame_wise.frame_wise(torch.relu, x)
