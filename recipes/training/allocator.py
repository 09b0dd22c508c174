"""The memory that tensors free on a CPU, kept for the tensors to come."""

import ctypes

M_TRIM_THRESHOLD, M_MMAP_MAX = -1, -4  # of glibc's malloc.h
NEVER = -1  # give back idle memory at the end of the heap; a number of bytes ends at 2 GiB, which hours of audio exceed


def keep_freed_memory() -> bool:
    """Let the C library keep large blocks that are freed, for the rest of the process; False where it cannot.

    glibc asks the system for every large tensor, and gives it back at once: a training step on one core
    waits a tenth of its time for empty pages. The peak stays what it is, as the same tensors come in every step.
    """
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (OSError, AttributeError, TypeError):  # no glibc: macOS, musl, Windows
        return False
    return bool(mallopt(M_MMAP_MAX, 0)) and bool(mallopt(M_TRIM_THRESHOLD, NEVER))
