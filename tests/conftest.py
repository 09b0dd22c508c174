"""What all tests share: one thread, no waiting for the disk, and a log that goes nowhere once its run is over."""

import logging
import os
from pathlib import Path

import pytest
import torch

torch.set_num_threads(1)  # several would only get in each other's way on tensors this small
os.fsync = lambda fd: None  # no test cuts the power, and each run would wait for the disk thirty times
# What takes long, so that files of seconds are left for the end.
SLOW = "training asr inference benchmarks bakeoff mixers config test_bad_inputs.py test_readme.py".split()


def pytest_collection_modifyitems(items):
    """Long tests first, so that at the end no process waits minutes for the other (see --no-loadscope-reorder)."""
    places = {name: place for place, name in enumerate(SLOW)}
    items.sort(key=lambda item: places.get(item.path.relative_to(Path(__file__).parent).parts[0], len(SLOW)))


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
