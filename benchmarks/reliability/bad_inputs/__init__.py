"""Mistakes of users, and the line that each must give. A new case is a new row."""

from benchmarks.reliability.bad_inputs import training, using
from benchmarks.reliability.bad_inputs.row import START, BadInput

__all__ = ["ROWS", "START", "BadInput"]

ROWS = [*training.ROWS, *using.ROWS]
