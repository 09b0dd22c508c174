"""Freed memory is used again, without new pages of the system."""

import platform
import resource
import subprocess
import sys

import pytest
import torch

from recipes.training.allocator import keep_freed_memory

MEGABYTES = 64


def new_pages() -> int:
    """Pages of 4 KB that the system gives for a tensor of 64 MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(MEGABYTES * 2**18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


glibc_alone = pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone can be told to keep memory")


@glibc_alone
def test_a_tensor_takes_the_place_of_one_that_is_gone():
    assert keep_freed_memory()
    for _ in range(8):  # the places that it may take
        new_pages()
    assert sum(new_pages() for _ in range(4)) < 16_384  # of one tensor


@glibc_alone
def test_more_than_2_gigabytes_are_kept_too():
    """As recordings of hours leave them. In a process of its own, whose heap nobody else fills."""
    script = """
import ctypes
from recipes.training.allocator import keep_freed_memory
assert keep_freed_memory()
libc = ctypes.CDLL(None)
libc.malloc.restype = libc.sbrk.restype = ctypes.c_void_p
libc.malloc.argtypes, libc.free.argtypes, libc.sbrk.argtypes = [ctypes.c_size_t], [ctypes.c_void_p], [ctypes.c_ssize_t]
block = libc.malloc(3 * 2**30)  # untouched, so that it takes no memory
end = libc.sbrk(0)
libc.free(block)
assert libc.sbrk(0) == end, "the heap was cut"
"""
    subprocess.run([sys.executable, "-c", script], check=True)


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()
