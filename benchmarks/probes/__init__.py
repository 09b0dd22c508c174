"""Probes: small tasks on vectors that show what a mixer can carry from one end of a sequence to the other."""

TASK_NAMES = ("norm", "cue", "order", "recall", "copy", "count")
# Their cost keeps them out of a run that names no mixers.
ON_REQUEST = {"mamba": "about ten times as slow as the others without its fused kernel"}
