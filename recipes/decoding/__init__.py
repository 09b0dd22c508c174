"""From encoder frames to text: greedy CTC, joint beam search, CTC search with a word n-gram, transducer.

search                  the interface of every search
ctc                     greedy CTC, and prefix scores for the beam search
beam_search             joint CTC/attention beam search with a language model
transducer              greedy and beam search of a transducer
ngram, word_lm, arpa    CTC search with a word n-gram
"""

from recipes.decoding.beam_search import BeamSearch
from recipes.decoding.ctc import greedy_ctc
from recipes.decoding.ngram import NgramCTCSearch
from recipes.decoding.search import Hypothesis, Search
from recipes.decoding.transducer import TransducerSearch

__all__ = ["BeamSearch", "Hypothesis", "NgramCTCSearch", "Search", "TransducerSearch", "greedy_ctc"]
