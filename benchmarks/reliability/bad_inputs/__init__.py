"""What users get wrong, and the one line that they are shown: a new case is a row."""

from benchmarks.reliability.bad_inputs import training, using
from benchmarks.reliability.bad_inputs.row import START, BadInput

__all__ = ["ROWS", "START", "BadInput"]

ROWS = [*training.ROWS, *using.ROWS]
