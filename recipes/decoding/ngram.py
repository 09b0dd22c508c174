"""CTC prefix beam search with a word n-gram: no attention decoder, no neural language model."""

import itertools
import logging
import math
import re
from pathlib import Path
from typing import Any, NamedTuple

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor

from data_prep.tokenizer import BLANK
from recipes.decoding.arpa import read_words, readable_by_kenlm
from recipes.decoding.search import Decoder, Hypothesis, LanguageModel, Search
from recipes.decoding.word_lm import LOG_ZERO, WordNgram, flashlight, kenlm, spellings
from recipes.errors import RecipeError
from recipes.models.encoder import Encoded
from recipes.models.options import AT_LEAST_ZERO, NUMBER, SIZE, check_options, whole

BEAM_THRESHOLD = 100.0  # how far below the best a hypothesis may fall, in nats
TOO_LONG = re.compile(r"has order (\d+) but KenLM was compiled to support up to (\d+)")
REASON = re.compile(r"threw \w+(?: because `.*?')?\. (.*)")  # in an error of KenLM, after lines of its source


class PreparedNgram(NamedTuple):
    """What a search derives from n-gram and tokenizer.

    pieces: the tokens that words are made of, ascending. word_starts: those that begin a word. decoder: flashlight's.
    language_model: kept here because the decoder holds no reference to it.
    """

    pieces: Tensor
    word_starts: set[int]
    language_model: WordNgram
    decoder: Any


class NgramCTCSearch(Search):
    """Sentence of the highest log p_CTC + lm_weight * log p_ngram + word_bonus * words (natural logarithms).

    p_CTC is the sum over all alignments that the beam holds, so with a wide beam the score is exact. Only
    words of the n-gram can be written, each in the tokenizer's own spelling; a word that is not in it (or
    that the tokenizer has no characters for) is replaced by others.

    The search over frames is flashlight-text's (https://arxiv.org/abs/2201.12465), the n-gram KenLM's.
    flashlight's lexicon decoder is not used: there the last token of a word lasts one frame only, and may follow an
    equal token without a blank. Its decoder without a lexicon is exact; the words are in its language model.

    ngram: ARPA file (plain or .gz), or KenLM's binary form. words: file with one word a line, in place of those of
    the ARPA file; the binary form, which does not list its words, needs it. A word that the n-gram lacks has the
    probability of <unk>. beam: hypotheses kept at each frame. candidates: outputs tried at each frame, the blank and
    the likeliest pieces. Runs on the CPU. Raises ValueError for values that are too small.
    """

    takes_lm = False
    thread_safe = False  # the states of an utterance are kept in the language model

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
        check_options(
            "NgramCTCSearch",
            beam=(beam, SIZE),
            candidates=(candidates, whole(2)),
            lm_weight=(lm_weight, AT_LEAST_ZERO),
            word_bonus=(word_bonus, NUMBER),
        )
        self.ngram, self.words, self.beam, self.candidates = ngram, words, beam, candidates
        self.lm_weight, self.word_bonus = lm_weight, word_bonus
        self.tokenizer: SentencePieceProcessor | None = None
        self.prepared: PreparedNgram | None = None

    def prepare(self, tokenizer: SentencePieceProcessor) -> None:
        """Read the n-gram and spell its words; call it once before the first search.

        Raises RecipeError if flashlight-text or kenlm is not installed, for a file that is missing or no
        n-gram, and if the tokenizer can spell none of its words.
        """
        if not Path(self.ngram).is_file():
            raise RecipeError(f"no n-gram {self.ngram}: write one with python -m data_prep.ngram TEXT {self.ngram}")
        if flashlight is None:
            raise RecipeError(
                "the search with an n-gram needs flashlight-text and kenlm: pip install -r requirements-ngram.txt"
            )
        model, source = load_ngram(self.ngram), self.words or self.ngram
        spelled, unspelled = spellings(read_words(source), tokenizer)
        if not spelled:
            raise RecipeError(
                f"the tokenizer can spell no word of {source}:"
                " estimate the n-gram on a text written like the training transcripts"
            )
        if unspelled:
            logging.getLogger(__name__).warning(
                "%d of %d words of %s cannot be spelled by the tokenizer, such as %s; they are left out",
                len(unspelled),
                len(unspelled) + len(spelled),
                source,
                unspelled[0],
            )
        language_model = WordNgram(model, spelled)
        options = flashlight.LexiconFreeDecoderOptions(
            beam_size=self.beam,
            beam_size_token=self.candidates,
            beam_threshold=BEAM_THRESHOLD,
            lm_weight=1.0,
            sil_score=0.0,
            log_add=True,
            criterion_type=flashlight.CriterionType.CTC,
        )
        self.tokenizer = tokenizer
        self.prepared = PreparedNgram(
            pieces=torch.tensor(sorted(set().union(*spelled))),
            word_starts={tokens[0] for tokens in spelled},
            language_model=language_model,
            decoder=flashlight.LexiconFreeDecoder(options, language_model, BLANK, BLANK, []),
        )

    def __getstate__(self) -> dict[str, Any]:
        """For pickle, which can take neither flashlight's nor KenLM's objects: a copy reads the n-gram again."""
        return {**self.__dict__, "prepared": None}

    def __setstate__(self, state: dict[str, Any]) -> None:
        self.__dict__.update(state)
        if self.tokenizer is not None:
            self.prepare(self.tokenizer)

    def tunable(self, lm: LanguageModel | None) -> dict[str, tuple[float, ...]]:
        return {"lm_weight": (0.0, 0.25, 0.5, 0.75, 1.0), "word_bonus": (-1.0, 0.0, 1.0, 2.0)}

    def __call__(
        self, decoder: Decoder | None, encoded: Encoded, ctc_log_probs: Tensor, lm: LanguageModel | None = None
    ) -> list[list[Hypothesis]]:
        """Hypotheses of every utterance, best first; at least one each. decoder: not used.

        If none in the beam ends with a whole word: the best without its unfinished word, with a score below -1e8.
        Raises RecipeError for a second language model, RuntimeError before ``prepare``.
        """
        if lm is not None:
            raise RecipeError("the search with an n-gram takes no second language model: leave one of the two out")
        if self.prepared is None:
            raise RuntimeError("NgramCTCSearch: call prepare(tokenizer) before searching")
        self.prepared.language_model.set_weights(self.lm_weight, self.word_bonus)
        rows = zip(ctc_log_probs.detach().float().cpu(), encoded.lengths.tolist(), strict=True)
        return [self.search(log_probs[:length], self.prepared) for log_probs, length in rows]

    def search(self, log_probs: Tensor, prepared: PreparedNgram) -> list[Hypothesis]:
        """The hypotheses of one utterance. log_probs: ``[T, vocab_size]``, float32 on the CPU."""
        # flashlight tries the likeliest outputs of a frame. The blank must always be among them, or no hypothesis
        # might go on; the others should not be pieces that no word has.
        pieces = log_probs[:, prepared.pieces]
        best, places = pieces.topk(min(self.candidates - 1, len(prepared.pieces)))
        outputs = torch.full_like(log_probs, -math.inf).scatter(1, prepared.pieces[places], best)
        outputs[:, BLANK] = log_probs[:, BLANK]
        hypotheses = [
            Hypothesis(collapse(result.tokens), result.score)
            for result in prepared.decoder.decode(outputs.data_ptr(), *outputs.shape)
        ]
        hypotheses.sort(key=lambda hypothesis: -hypothesis.score)
        ended = [hypothesis for hypothesis in hypotheses if hypothesis.score > LOG_ZERO / 2]
        unfinished, score = hypotheses[0]
        return ended or [Hypothesis(without_last_word(unfinished, prepared.word_starts), score)]


def collapse(alignment: list[int]) -> list[int]:
    """The tokens of a CTC alignment, without repeats and blanks."""
    return [token for token, _ in itertools.groupby(alignment) if token != BLANK]


def without_last_word(tokens: list[int], word_starts: set[int]) -> list[int]:
    last = max(position for position, token in enumerate(tokens) if token in word_starts)
    return tokens[:last]


def load_ngram(path: str) -> Any:
    """KenLM's model of an ARPA file or binary. Raises RecipeError for anything else."""
    config = kenlm.Config()
    config.show_progress, config.arpa_complain = False, kenlm.ARPALoadComplain.NONE
    with readable_by_kenlm(path) as file:
        try:
            return kenlm.Model(str(file), config)
        except (OSError, RuntimeError, UnicodeDecodeError) as error:
            if order := TOO_LONG.search(str(error)):
                raise RecipeError(
                    f"{path} has n-grams of order {order[1]}, and KenLM reads up to {order[2]}: estimate it again with "
                    f"--order {order[2]}"
                ) from None
            raise RecipeError(f"{path} is damaged{kenlm_reason(error)}; write it again") from None


def kenlm_reason(error: Exception) -> str:
    """The reason in an error of KenLM, in parentheses; empty if there is none that tells the user something."""
    text = " ".join(str(error).split()).partition(" Byte: ")[0]
    thrown = REASON.search(text)
    if thrown:
        return f" ({thrown[1].partition(' and the model is configured')[0].rstrip('.')})"
    return " (it ends too early)" if text.endswith("End of file") else ""
