"""Models for tests, with weights off their initial values."""

import torch
from torch import nn


def randomised(model: nn.Module, size: float = 0.2) -> nn.Module:
    """The model, for evaluation, with noise on its weights: norms at one and biases at zero could hide a fault."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(size * torch.randn_like(parameter))
    return model.eval()
