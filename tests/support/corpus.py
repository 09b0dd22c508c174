"""The small corpus of the tests is that of the benchmark of accidents."""

from benchmarks.reliability.corpus import WORDS, write_corpus

__all__ = ["WORDS", "write_corpus"]
