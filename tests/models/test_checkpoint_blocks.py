"""Encoder blocks that keep their input alone: the same gradients, and less in memory until backward."""

from functools import partial

import pytest
import torch

from mixers import build
from recipes.models import Branchformer, Conformer

SIZES = {
    Conformer: {"d_ffn": 64, "kernel_size": 7},
    Branchformer: {"csgu_units": 64, "kernel_size": 7},
}


@pytest.mark.parametrize("encoder_type", SIZES, ids=lambda encoder_type: encoder_type.__name__)
def test_same_gradients_with_less_memory(encoder_type):
    torch.manual_seed(0)
    mixers = [partial(build, "attention", heads=2), partial(build, "gated_delta", heads=2)]  # the second one nests
    encoder = encoder_type(32, mixers, dropout=0.1, **SIZES[encoder_type])
    frames, lengths = torch.randn(2, 40, 32), torch.tensor([40, 25])
    gradients, kept = {}, {}
    for encoder.checkpoint_blocks in (False, True):
        sizes: list[int] = []
        torch.manual_seed(1)
        with torch.autograd.graph.saved_tensors_hooks(
            lambda saved, sizes=sizes: sizes.append(saved.numel()) or saved, lambda saved: saved
        ):
            encoded = encoder(frames, lengths).frames
        encoder.zero_grad()
        encoded.square().sum().backward()
        gradients[encoder.checkpoint_blocks] = [parameter.grad.clone() for parameter in encoder.parameters()]
        kept[encoder.checkpoint_blocks] = sum(sizes)
    for again, before in zip(gradients[True], gradients[False], strict=True):
        assert torch.equal(again, before)
    assert kept[True] < kept[False] / 5
