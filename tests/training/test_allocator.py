"""Freed memory is used again, without new pages of the system."""

import platform
import resource

import pytest
import torch

from recipes.training.allocator import keep_freed_memory

MEGABYTES = 64


def new_pages() -> int:
    """Pages of 4 KB that the system gives for a tensor of 64 MB."""
    before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
    torch.ones(MEGABYTES * 2**18)
    return resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="glibc alone can be told to keep memory")
def test_a_tensor_takes_the_place_of_one_that_is_gone():
    assert keep_freed_memory()
    for _ in range(8):  # the places that it may take
        new_pages()
    assert sum(new_pages() for _ in range(4)) < 16_384  # of one tensor


def test_other_c_libraries_are_left_alone(monkeypatch):
    monkeypatch.setattr("ctypes.CDLL", lambda name: object())
    assert not keep_freed_memory()
