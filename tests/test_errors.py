"""Errors that are told apart by their words, since their types are many things' at once."""

import errno

import pytest
import torch

from recipes.errors import is_of_the_machine, ran_out_of_memory

OUT_OF_MEMORY = [
    MemoryError(),
    torch.OutOfMemoryError("CUDA out of memory. Tried to allocate 2.00 GiB."),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: you tried to …"),
    RuntimeError("MPS backend out of memory (MPS allocated: 9 GB)"),
    RuntimeError("CUDA error: CUBLAS_STATUS_ALLOC_FAILED when calling `cublasCreate(handle)`"),
]
OTHERS = [
    RuntimeError("CUDA error: an illegal memory access was encountered"),
    RuntimeError("DataLoader worker is killed. It is possible that its workers are out of shared memory."),
    RuntimeError("unsupported memory format option Preserve"),
    ValueError("out of memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=str)
def test_too_little_memory(error):
    assert ran_out_of_memory(error) and is_of_the_machine(error)


@pytest.mark.parametrize("error", OTHERS, ids=str)
def test_other_errors_that_speak_of_memory(error):
    assert not ran_out_of_memory(error)


@pytest.mark.parametrize("number, expected", [(errno.EIO, True), (errno.EMFILE, True), (errno.ENOENT, False)])
def test_errors_of_the_system(number, expected):
    assert is_of_the_machine(OSError(number, "")) is expected
    assert not is_of_the_machine(ValueError("a file of garbage"))
