"""Decays that frames choose themselves: exp(-step * rate), kept as logarithms until they are ratios."""

import math

import torch
from torch import Tensor


def step_biases(count: int) -> Tensor:
    """Biases ``[count]`` whose softplus, the steps of a new layer, lies between 0.001 and 0.1, as Mamba has it.

    Evenly in the logarithm of the steps.
    """
    steps = torch.empty(count).uniform_(math.log(0.001), math.log(0.1)).exp()
    return steps + torch.log(-torch.expm1(-steps))


def decay_ratios(so_far: Tensor) -> Tensor:
    """exp(so_far_t - so_far_u) for u <= t, else 0: ``[…, T, size]`` → ``[…, T, T, size]``.

    so_far: the sum of all log decays up to each frame. They are subtracted before they leave the logarithm: none is
    divided by another that has vanished, and no ratio is above one.
    """
    frames = so_far.shape[-2]
    later = torch.ones(frames, frames, dtype=torch.bool, device=so_far.device).triu(1)
    return (so_far[..., :, None, :] - so_far[..., None, :, :]).masked_fill_(later[..., None], -torch.inf).exp_()


def decayed_steps(decays: Tensor, inputs: Tensor, state: Tensor, dim: int) -> list[Tensor]:
    """The states h_t = decays_t h_(t-1) + inputs_t along ``dim``, one step after the other from ``state`` on."""
    states = []
    for decay, entry in zip(decays.unbind(dim), inputs.unbind(dim), strict=True):
        state = decay * state + entry
        states.append(state)
    return states
