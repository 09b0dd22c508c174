"""No mixer at all, under the mixers' protocol."""

import torch

from .base import Mixer, zero_padding
from .chunks import empty_past


class ConvOnly(Mixer):
    """Returns zeros: only the encoder's convolution mixes over time. No parameters, any ``d_model``.

    The control of https://arxiv.org/abs/2307.07421, there a Branchformer without its attention branch.
    """

    paper = "2307.07421"
    year = 2023

    def __init__(self, d_model: int):
        super().__init__()

    def forward(self, x, mask=None, context=None):
        # Still a function of x, because distributed training needs a gradient for every parameter before it.
        return zero_padding(x, mask) * 0

    def init_state(self, batch, context):
        return empty_past(torch.zeros(()), batch, context, 0)

    def step(self, x, state):
        return x.new_zeros(x.shape), state

    def state_size(self, frames, context=None):
        return 0
