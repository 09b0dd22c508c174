"""No mixer at all, under the mixers' protocol."""

import torch

from mixers.base import Mixer, zero_padding
from mixers.chunks import no_past


class ConvOnly(Mixer):
    """Zeros: nothing but the encoder's convolution mixes over time. No parameters, any ``d_model``.

    What https://arxiv.org/abs/2307.07421 compares with as a Branchformer of convolutions only.
    """

    def __init__(self, d_model: int):
        super().__init__()

    def forward(self, x, mask=None, context=None):
        # Still a function of x: distributed training demands that every parameter before it has a gradient.
        return zero_padding(x, mask) * 0

    def init_state(self, batch, context):
        return no_past(torch.zeros(()), batch, context, 0)

    def step(self, x, state):
        return x.new_zeros(x.shape), state

    def state_size(self, frames, context=None):
        return 0
