"""CTC prefix beam search with a word n-gram: no attention decoder, no neural language model."""

import gzip
import itertools
import logging
import math
from collections.abc import Iterable, Iterator
from pathlib import Path

import sentencepiece
import torch
from torch import Tensor

from data_prep.tokenizer import BLANK
from recipes.decoding.search import Hypothesis, Search
from recipes.errors import RecipeError
from recipes.models.encoder import Encoded

try:
    import kenlm
    from flashlight.lib.text import decoder as flashlight
except ImportError:  # an extra: only this search needs them
    kenlm = flashlight = None

WORD_MARK = "▁"  # what begins the first piece of a word
NOT_WORDS = {"<s>", "</s>", "<unk>", "<UNK>"}
KENLM_BINARY, GZIP = b"mmap lm ", b"\x1f\x8b"  # how such files begin
NEVER = -1e9  # in place of log 0: far below the beam, near enough that sums keep their order
BEAM_THRESHOLD = 100.0  # how far below the best a hypothesis may fall, in nats
LN_10 = math.log(10)  # ARPA files have logarithms to the base of ten


class NgramCTCSearch(Search):
    """Sentence of the highest log p_CTC + lm_weight * log p_ngram + word_bonus * words (natural logarithms).

    p_CTC is the sum over all alignments that the beam holds, so with a wide beam the score is exact. Only
    words of the n-gram can be written, each in the tokenizer's own spelling; a word that is not in it (or
    that the tokenizer has no characters for) comes out as others.

    The search over frames is flashlight-text's (https://arxiv.org/abs/2201.12465), the n-gram KenLM's. Its
    lexicon decoder is not used: there the last token of a word lasts one frame only, and may follow an equal
    token without a blank. Its decoder without a lexicon is exact; the words come in as its language model.

    ngram: ARPA file (plain or .gz), or KenLM's binary form of one.
    words: file with one word a line in place of the ARPA file's own, needed for the binary form, which does
    not list them; a word that the n-gram lacks has the probability of <unk>.
    beam: hypotheses kept a frame. candidates: outputs tried a frame, the blank and the likeliest pieces.
    Runs on the CPU.
    """

    def __init__(
        self,
        *,
        ngram: str,
        words: str | None = None,
        beam: int = 50,
        candidates: int = 40,
        lm_weight: float = 0.5,
        word_bonus: float = 0.0,
    ):
        for name, value, least in (
            ("beam", beam, 1),
            ("candidates", candidates, 2),
            ("lm_weight", lm_weight, 0),
        ):
            if value < least:
                raise ValueError(f"NgramCTCSearch: {name} must be {least} or more, not {value}")
        self.ngram, self.words, self.beam, self.candidates = ngram, words, beam, candidates
        self.lm_weight, self.word_bonus = lm_weight, word_bonus
        self.decoder = None

    takes_lm = False

    def prepare(self, tokenizer: sentencepiece.SentencePieceProcessor) -> None:
        """Read the n-gram and spell its words; call it once before the first search.

        Raises RecipeError where flashlight-text or kenlm is not installed, for a file that is missing or no
        n-gram, and where the tokenizer can spell none of its words.
        """
        if flashlight is None:
            raise RecipeError(
                "the search with an n-gram needs flashlight-text and kenlm: pip install -r requirements-ngram.txt"
            )
        model = load_ngram(self.ngram)
        spelled, unspelled = spellings(read_words(self.words or self.ngram), tokenizer)
        if not spelled:
            raise RecipeError(
                f"the tokenizer can spell no word of {self.words or self.ngram}:"
                " estimate the n-gram on a text written like the training transcripts"
            )
        if unspelled:
            logging.getLogger(__name__).warning(
                "%d of %d words of %s cannot be spelled by the tokenizer, such as %s; they are left out",
                len(unspelled),
                len(unspelled) + len(spelled),
                self.words or self.ngram,
                unspelled[0],
            )
        self.pieces = torch.tensor(sorted(set().union(*spelled)))
        self.word_starts = {tokens[0] for tokens in spelled}
        # Held here, because flashlight keeps no reference to it.
        self.language_model = WordNgram(model, spelled)
        options = flashlight.LexiconFreeDecoderOptions(
            beam_size=self.beam,
            beam_size_token=self.candidates,
            beam_threshold=BEAM_THRESHOLD,
            lm_weight=1.0,
            sil_score=0.0,
            log_add=True,
            criterion_type=flashlight.CriterionType.CTC,
        )
        self.decoder = flashlight.LexiconFreeDecoder(options, self.language_model, BLANK, BLANK, [])

    def tunable(self, lm) -> dict[str, tuple[float, ...]]:
        return {"lm_weight": (0.0, 0.25, 0.5, 0.75, 1.0), "word_bonus": (-1.0, 0.0, 1.0, 2.0)}

    def __call__(self, decoder, encoded: Encoded, ctc_log_probs: Tensor, lm=None) -> list[list[Hypothesis]]:
        """Hypotheses of every utterance, best first; at least one each. ctc_log_probs: ``[B, T, vocab]``.

        Where none in the beam ends with a whole word, the best one without its unfinished word, with a score
        below -1e8. ``decoder`` (the attention decoder) is not used. Raises RecipeError for a second language
        model.
        """
        if lm is not None:
            raise RecipeError("the search with an n-gram takes no second language model: leave one of the two out")
        if self.decoder is None:
            raise RuntimeError("NgramCTCSearch: call prepare(tokenizer) before searching")
        self.language_model.weigh(self.lm_weight, self.word_bonus)
        log_probs = ctc_log_probs.detach().float().cpu()
        return [self.search(one[:length]) for one, length in zip(log_probs, encoded.lengths.tolist(), strict=True)]

    def search(self, log_probs: Tensor) -> list[Hypothesis]:
        """log_probs: ``[T, vocab]`` of one utterance, float32 on the CPU."""
        # flashlight tries the likeliest outputs of a frame. Whatever they are, the blank must be one, or no
        # hypothesis might go on; the others should not be pieces that are in no word.
        pieces = log_probs[:, self.pieces]
        best, places = pieces.topk(min(self.candidates - 1, len(self.pieces)))
        outputs = torch.full_like(log_probs, -math.inf).scatter(1, self.pieces[places], best)
        outputs[:, BLANK] = log_probs[:, BLANK]
        found = [
            Hypothesis(collapse(result.tokens), result.score)
            for result in self.decoder.decode(outputs.data_ptr(), *outputs.shape)
        ]
        found.sort(key=lambda hypothesis: -hypothesis.score)
        ended = [hypothesis for hypothesis in found if hypothesis.score > NEVER / 2]
        return ended or [Hypothesis(self.whole_words(found[0].tokens), found[0].score)]

    def whole_words(self, tokens: list[int]) -> list[int]:
        """Without the last word."""
        last = max(at for at, token in enumerate(tokens) if token in self.word_starts)
        return tokens[:last]


def collapse(alignment: list[int]) -> list[int]:
    return [token for token, _ in itertools.groupby(alignment) if token != BLANK]


def load_ngram(path) -> "kenlm.Model":
    if not Path(path).is_file():
        raise RecipeError(f"no n-gram {path}: write one with python -m data_prep.ngram TEXT {path}")
    config = kenlm.Config()
    config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
    try:
        return kenlm.Model(str(path), config)
    except (OSError, RuntimeError):  # whose messages name lines of KenLM's source
        raise RecipeError(f"{path} is no ARPA file nor KenLM binary, or damaged; write it again") from None


def read_words(path) -> list[str]:
    """The words of an ARPA file's unigrams, or of a plain list, one a line; either may be gzip."""
    if not Path(path).is_file():
        raise RecipeError(f"no list of words {path}: write one, a word a line")
    with open(path, "rb") as file:
        start = file.read(len(KENLM_BINARY))
    if start == KENLM_BINARY:
        raise RecipeError(f"{path} is a KenLM binary, which does not list its words: give words, a file of them")
    try:
        with (gzip.open if start.startswith(GZIP) else open)(path, "rt", encoding="utf-8") as lines:
            words = list(_unigrams(lines))
    except (UnicodeDecodeError, EOFError, gzip.BadGzipFile) as error:
        raise RecipeError(f"{path} is unreadable ({error}); write it again") from None
    return [word for word in words if word and word not in NOT_WORDS]


def _unigrams(lines: Iterator[str]) -> Iterator[str]:
    first = next(lines, "").strip()
    if first != "\\data\\":
        return itertools.chain([first], map(str.strip, lines))
    body = itertools.dropwhile(lambda line: line.strip() != "\\1-grams:", lines)
    fields = map(str.split, itertools.islice(body, 1, None))
    return (word for _, word, *_ in itertools.takewhile(lambda line: len(line) > 1, fields))


def spellings(words: Iterable[str], tokenizer) -> tuple[dict[tuple[int, ...], str], list[str]]:
    """Words by their tokens, and the words that the tokenizer cannot write as one word of known pieces."""
    spelled, unspelled = {}, []
    for word in words:
        tokens = tuple(tokenizer.encode(word))
        marks = [tokenizer.id_to_piece(token).startswith(WORD_MARK) for token in tokens]
        if tokens and BLANK not in tokens and marks[0] and not any(marks[1:]):
            spelled.setdefault(tokens, word)
        else:
            unspelled.append(word)
    return spelled, unspelled


class Node:
    """A beginning of words: what may follow, and the word that ends here, if one does."""

    __slots__ = ("children", "word")

    def __init__(self):
        self.children, self.word = {}, None


class WordNgram(flashlight.LM if flashlight else object):
    """A word n-gram as a language model of tokens, which leaves only its words possible.

    A state is a sequence of tokens, so that hypotheses are merged when they are the same text, never because
    the n-gram cannot tell them apart. A word is scored when the next one begins, or the sentence ends:
    to lend its beginning the score of the likeliest word that it may become found better sentences of the
    quickstart corpus no more often than worse ones (beams 10 to 50, lm_weight 0.5 to 2).
    """

    def __init__(self, model: "kenlm.Model", spelled: dict[tuple[int, ...], str]):
        super().__init__()
        self.model = model
        self.root = Node()
        for tokens, word in spelled.items():
            node = self.root
            for token in tokens:
                node = node.children.setdefault(token, Node())
            node.word = word

    def weigh(self, lm_weight: float, word_bonus: float) -> None:
        self.scale, self.word_bonus = lm_weight * LN_10, word_bonus

    def start(self, start_with_nothing: bool):
        """The empty sentence. Called by flashlight at each utterance's beginning."""
        before = kenlm.State()
        self.model.BeginSentenceWrite(before)
        state = flashlight.LMState()
        self.reached = {state: (self.root, before)}  # the node, and KenLM's state of the words before it
        self.steps = {state: {}}
        return state

    def score(self, state, token: int):
        """The state after one more token, and what the token adds to the score."""
        steps = self.steps[state]
        if token not in steps:
            steps[token] = self.step(state, token)
        return steps[token]

    def step(self, state, token: int):
        node, words = self.reached[state]
        gain = 0.0
        following = node.children.get(token)
        if following is None and node.word is not None:
            words, gain = self.end_word(node, words)
            following = self.root.children.get(token)
        if following is None:
            return state, NEVER
        longer = state.child(token)
        self.reached[longer], self.steps[longer] = (following, words), {}
        return longer, gain

    def end_word(self, node: Node, words: "kenlm.State"):
        longer = kenlm.State()
        return longer, self.scale * self.model.BaseScore(words, node.word, longer) + self.word_bonus

    def finish(self, state):
        """What the end of the sentence adds to the score."""
        node, words = self.reached[state]
        gain = 0.0
        if node is not self.root:
            if node.word is None:
                return state, NEVER
            words, gain = self.end_word(node, words)
        return state, gain + self.scale * self.model.BaseScore(words, "</s>", kenlm.State())
