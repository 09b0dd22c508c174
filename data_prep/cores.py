"""How many processes the machine runs at a time."""

import os


def usable_cores() -> int:
    """Cores that this process may use: a batch system or a container may give it fewer than the machine has."""
    return len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
