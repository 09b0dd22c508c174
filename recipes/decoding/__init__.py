"""From encoder frames to text: greedy CTC, joint beam search, CTC search with a word n-gram."""

from recipes.decoding.beam_search import BeamSearch
from recipes.decoding.ctc import greedy_ctc
from recipes.decoding.ngram import NgramCTCSearch
from recipes.decoding.search import Hypothesis, Search

__all__ = ["BeamSearch", "Hypothesis", "NgramCTCSearch", "Search", "greedy_ctc"]
