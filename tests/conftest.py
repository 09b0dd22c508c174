"""What all tests share: one thread, and a log that goes nowhere once its run is over."""

import logging

import pytest
import torch

torch.set_num_threads(1)  # several would only get in each other's way on tensors this small


@pytest.fixture(autouse=True)
def own_log():
    """A run in this process takes the root logger for itself; give it back."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in set(root.handlers) - set(handlers):
        handler.close()
    root.handlers[:] = handlers
    root.setLevel(level)
