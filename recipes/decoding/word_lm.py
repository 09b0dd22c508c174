"""A word n-gram of KenLM as the token language model of flashlight-text's decoder."""

import math
from collections.abc import Iterable
from typing import Any

from sentencepiece import SentencePieceProcessor

from data_prep.tokenizer import BLANK

FlashlightLM: Any
try:
    import kenlm
    from flashlight.lib.text import decoder as flashlight

    FlashlightLM = flashlight.LM
except ImportError:  # an extra, which only this search needs
    kenlm = flashlight = None
    FlashlightLM = object

WORD_MARK = "▁"  # begins the first piece of a word
LOG_ZERO = -1e9  # far below the beam, near enough that sums keep their order
LN_10 = math.log(10)  # ARPA files have logarithms to the base of ten

Tokens = tuple[int, ...]


def spellings(words: Iterable[str], tokenizer: SentencePieceProcessor) -> tuple[dict[Tokens, str], list[str]]:
    """Words by their tokens, and the words that the tokenizer cannot write as one word of known pieces."""
    spelled: dict[Tokens, str] = {}
    unspelled = []
    for word in words:
        tokens = tuple(tokenizer.encode(word))
        marks = [tokenizer.id_to_piece(token).startswith(WORD_MARK) for token in tokens]
        if tokens and BLANK not in tokens and marks[0] and not any(marks[1:]):
            spelled.setdefault(tokens, word)
        else:
            unspelled.append(word)
    return spelled, unspelled


class PrefixNode:
    """The beginning of words in the tree of all spellings. word: the word that ends here; None for none."""

    __slots__ = ("children", "word")

    def __init__(self) -> None:
        self.children: dict[int, PrefixNode] = {}
        self.word: str | None = None


class WordNgram(FlashlightLM):
    """A word n-gram as a language model of tokens under which only its words are possible.

    A state is a sequence of tokens. So hypotheses are merged if they are the same text, but not merely because the
    n-gram cannot distinguish them. A word is scored when the next word begins, or the sentence ends. (Scoring a
    beginning of a word by the likeliest word that it may become was tried on the quickstart corpus. It found better
    sentences no more often than worse ones, with beams of 10 to 50 and an lm_weight of 0.5 to 2.)

    model: a kenlm.Model. spelled: its words by their tokens. Call ``set_weights`` before the first search.
    """

    def __init__(self, model: Any, spelled: dict[Tokens, str]):
        super().__init__()
        self.model = model
        self.root = PrefixNode()
        for tokens, word in spelled.items():
            node = self.root
            for token in tokens:
                node = node.children.setdefault(token, PrefixNode())
            node.word = word

    def set_weights(self, lm_weight: float, word_bonus: float) -> None:
        """Every score is lm_weight times the n-gram's logarithm, natural, and the bonus for each word."""
        self.scale, self.word_bonus = lm_weight * LN_10, word_bonus

    def start(self, start_with_nothing: bool) -> Any:
        """The state of the empty sentence. flashlight calls it at the beginning of each utterance."""
        before = kenlm.State()
        self.model.BeginSentenceWrite(before)
        state = flashlight.LMState()
        # Of each state: its node, with KenLM's state of the words before it, and its next states with their scores.
        self.positions: dict[Any, tuple[PrefixNode, Any]] = {state: (self.root, before)}
        self.steps: dict[Any, dict[int, tuple[Any, float]]] = {state: {}}
        return state

    def score(self, state: Any, token: int) -> tuple[Any, float]:
        """The state after one more token, and what the token adds to the score."""
        steps = self.steps[state]
        if token not in steps:
            steps[token] = self.step(state, token)
        return steps[token]

    def step(self, state: Any, token: int) -> tuple[Any, float]:
        """``score`` of a token that was not asked for before."""
        node, words = self.positions[state]
        gain = 0.0
        child = node.children.get(token)
        if child is None and node.word is not None:
            words, gain = self.end_word(node, words)
            child = self.root.children.get(token)
        if child is None:
            return state, LOG_ZERO
        longer = state.child(token)
        self.positions[longer], self.steps[longer] = (child, words), {}
        return longer, gain

    def end_word(self, node: PrefixNode, words: Any) -> tuple[Any, float]:
        """KenLM's state after the word of ``node``, and the score of the word."""
        longer = kenlm.State()
        return longer, self.scale * self.model.BaseScore(words, node.word, longer) + self.word_bonus

    def finish(self, state: Any) -> tuple[Any, float]:
        """The state, and what the end of the sentence adds to the score."""
        node, words = self.positions[state]
        gain = 0.0
        if node is not self.root:
            if node.word is None:
                return state, LOG_ZERO
            words, gain = self.end_word(node, words)
        return state, gain + self.scale * self.model.BaseScore(words, "</s>", kenlm.State())
