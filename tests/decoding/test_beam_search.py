"""The beam search against all sentences."""

import copy
import itertools
import math
import pickle
from collections.abc import Iterator
from functools import cache
from typing import NamedTuple

import pytest
import torch

from data_prep.tokenizer import BLANK, END, START
from recipes.decoding.beam_search import BeamSearch
from recipes.decoding.ctc import CTCPrefixScorer
from recipes.decoding.search import Hypothesis
from recipes.models.decoder import TransformerDecoder
from recipes.models.encoder import Encoded
from tests.support.decoding import VOCABULARY, WORDS, prefix_and_end, random_log_probs, sentence_probabilities


def tokens_of(hypotheses: list[Hypothesis]) -> list[list[int]]:
    return [hypothesis.tokens for hypothesis in hypotheses]


def scores_of(hypotheses: list[Hypothesis]) -> list[float]:
    return [hypothesis.score for hypothesis in hypotheses]


def best_scores(results: list[list[Hypothesis]]) -> list[float]:
    return [hypotheses[0].score for hypotheses in results]


@cache
def decoder() -> TransformerDecoder:
    torch.manual_seed(3)
    model = TransformerDecoder(8, VOCABULARY, layers=1, heads=2, d_ffn=16, dropout=0.0).double().eval()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return model


def utterances(lengths, seed: int = 0, padding: float = 5.0):
    frames = torch.randn(len(lengths), max(lengths), 8, generator=torch.Generator().manual_seed(seed)).double()
    log_probs = random_log_probs(len(lengths), max(lengths), scale=2.0, seed=seed)
    for row, length in enumerate(lengths):
        frames[row, length:] = padding
        log_probs[row, length:] = -padding
    return Encoded(frames, torch.tensor(lengths)), log_probs


def all_sentences(frames: int, seed: int, ctc_weight: float, temperature: float = 1.0) -> dict[tuple[int, ...], float]:
    """Joint log probability of every sentence of at most as many tokens as the one utterance has frames."""
    by_attention, by_ctc = attention_scores(frames, seed, temperature), ctc_scores(frames, seed)
    return {words: (1 - ctc_weight) * score + ctc_weight * by_ctc[words] for words, score in by_attention.items()}


def sentences(frames: int) -> Iterator[tuple[int, ...]]:
    for length in range(frames + 1):
        yield from itertools.product(WORDS, repeat=length)


@cache
def attention_scores(frames: int, seed: int, temperature: float) -> dict[tuple[int, ...], float]:
    encoded, scores = utterances([frames], seed)[0], {}
    for sentence in sentences(frames):
        with torch.no_grad():
            logits = decoder()(encoded, torch.tensor([[START, *sentence]]))[0] / temperature
        log_probs = logits.log_softmax(-1)[torch.arange(len(sentence) + 1), torch.tensor([*sentence, END])]
        scores[sentence] = log_probs.sum().item()
    return scores


@cache
def ctc_scores(frames: int, seed: int) -> dict[tuple[int, ...], float]:
    encoded, log_probs = utterances([frames], seed)
    scorer = CTCPrefixScorer(log_probs, encoded.lengths)
    return {sentence: prefix_and_end(scorer, sentence)[1] for sentence in sentences(frames)}


@pytest.mark.parametrize("frames", [1, 2, 4])
@pytest.mark.parametrize("ctc_weight", [0.0, 0.4, 1.0], ids=["attention", "joint", "ctc"])
def test_wide_beam_finds_the_best_of_all_sentences(ctc_weight, frames):
    for seed in range(3):
        encoded, log_probs = utterances([frames], seed)
        (hypotheses,) = BeamSearch(beam=130, ctc_weight=ctc_weight, temperature=1.2)(decoder(), encoded, log_probs)
        scores = all_sentences(frames, seed, ctc_weight, temperature=1.2)
        assert tuple(hypotheses[0].tokens) == max(scores, key=scores.get)
        assert scores_of(hypotheses) == sorted(scores_of(hypotheses), reverse=True)
        assert len(set(map(tuple, tokens_of(hypotheses)))) == len(hypotheses)
        for tokens, score in hypotheses:
            assert score == pytest.approx(scores[tuple(tokens)], rel=1e-9), tokens


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_narrow_beam_gives_correct_scores(beam):
    for seed in range(5):
        encoded, log_probs = utterances([4], seed)
        (hypotheses,) = BeamSearch(beam=beam, ctc_weight=0.3)(decoder(), encoded, log_probs)
        scores = all_sentences(4, seed, 0.3)
        assert 1 <= len(hypotheses) <= beam
        for tokens, score in hypotheses:
            assert score == pytest.approx(scores[tuple(tokens)], rel=1e-9), tokens


def test_wider_beams_lose_nothing():
    encoded, log_probs = utterances([30], seed=7)
    best = [BeamSearch(beam=beam)(decoder(), encoded, log_probs)[0][0].score for beam in (1, 4, 40)]
    assert best == sorted(best) and best[0] < best[-1]


@pytest.mark.parametrize("ctc_weight", [0.0, 0.4, 1.0], ids=["attention", "joint", "ctc"])
def test_results_do_not_depend_on_the_batch(ctc_weight):
    search, lengths = BeamSearch(beam=4, ctc_weight=ctc_weight), [9, 1, 14, 4, 2]
    encoded, log_probs = utterances(lengths)
    in_batch = search(decoder(), encoded, log_probs)
    backwards = search(decoder(), Encoded(encoded.frames.flip(0), encoded.lengths.flip(0)), log_probs.flip(0))[::-1]
    for row, length in enumerate(lengths):
        alone = Encoded(encoded.frames[row : row + 1, :length], encoded.lengths[row : row + 1])
        (expected,) = search(decoder(), alone, log_probs[row : row + 1, :length])
        for hypotheses in (in_batch[row], backwards[row]):
            assert tokens_of(hypotheses) == tokens_of(expected)
            assert scores_of(hypotheses) == pytest.approx(scores_of(expected), rel=1e-9)


def test_a_decoder_that_does_not_end_is_stopped_by_its_own_utterance():
    """A sentence has at most as many tokens as its utterance has frames, whatever the batch."""
    endless, search, frames = copy.deepcopy(decoder()), BeamSearch(beam=2, ctc_weight=0.0), [2, 12, 3, 5]
    with torch.no_grad():
        endless.out.bias[END] -= 1000
        endless.out.weight[END] *= 100  # some later endings are far likelier than early ones
    encoded, log_probs = utterances(frames)
    results = search(endless, encoded, log_probs)
    for row, most in enumerate(frames):
        alone = Encoded(encoded.frames[row : row + 1, :most], encoded.lengths[row : row + 1])
        (expected,) = search(endless, alone, log_probs[row : row + 1, :most])
        assert tokens_of(results[row]) == tokens_of(expected)
        assert max(map(len, tokens_of(results[row]))) <= most
    assert max(map(len, tokens_of(results[1]))) > 5


class Bigram:
    """A language model of fixed probabilities over the search's tokens."""

    def __init__(self, seed: int = 0):
        generator = torch.Generator().manual_seed(seed)
        self.logits = 3 * torch.randn(VOCABULARY, VOCABULARY, generator=generator).double()

    def init_cache(self, hypotheses):
        return BigramCache(torch.zeros(hypotheses))

    def step(self, tokens, cache):
        return self.logits[tokens], cache

    def score(self, sentence, temperature: float) -> float:
        pairs = zip([START, *sentence], [*sentence, END], strict=True)
        return sum((self.logits[a] / temperature).log_softmax(-1)[b].item() for a, b in pairs)


class BigramCache(NamedTuple):
    unused: torch.Tensor

    def select(self, index):
        return BigramCache(self.unused[index])


@pytest.mark.parametrize("bonus", [0.0, 0.7, 4.0, -1.0])
@pytest.mark.parametrize("ctc_weight", [0.0, 0.01, 0.4, 1.0], ids=["attention", "little ctc", "joint", "ctc"])
@pytest.mark.parametrize("lm_weight", [0.0, 0.6], ids=["no lm", "lm"])
def test_language_model_and_length_bonus_count_as_documented(ctc_weight, lm_weight, bonus):
    """Against all sentences, also with a bonus under which long sentences win after short ones have ended."""
    for seed in range(3):
        encoded, log_probs = utterances([4], seed)
        lm = Bigram(seed)
        options = {"lm_weight": lm_weight, "lm_temperature": 1.3, "length_bonus": bonus}
        (hypotheses,) = BeamSearch(beam=130, ctc_weight=ctc_weight, **options)(decoder(), encoded, log_probs, lm)
        scores = {
            sentence: score + lm_weight * lm.score(sentence, 1.3) + bonus * len(sentence)
            for sentence, score in all_sentences(4, seed, ctc_weight).items()
        }
        assert tuple(hypotheses[0].tokens) == max(scores, key=scores.get)
        for tokens, score in hypotheses:
            assert score == pytest.approx(scores[tuple(tokens)], rel=1e-9), tokens


def test_search_stops_early_despite_a_length_bonus():
    """The frames after the last word are silent, so that no token can earn a bonus there."""
    encoded, log_probs = utterances([60], seed=2)
    log_probs[:, 12:] = -60.0
    log_probs[:, 12:, BLANK] = 0.0
    steps = []

    class Counting:
        def __getattr__(self, name):
            return getattr(decoder(), name)

        def step(self, *arguments):
            steps.append(1)
            return decoder().step(*arguments)

    BeamSearch(beam=4, ctc_weight=0.4, length_bonus=0.5)(Counting(), encoded, log_probs)
    assert len(steps) < 30


def test_without_a_decoder_it_is_a_ctc_prefix_beam_search():
    encoded, log_probs = utterances([4, 2])
    results = BeamSearch(beam=130)(None, encoded, log_probs)
    for row, frames in enumerate([4, 2]):
        scores = {s: math.log(p) for s, p in sentence_probabilities(log_probs[row, :frames]).items()}
        allowed = {s: p for s, p in scores.items() if not {START, END} & set(s)}
        assert tuple(results[row][0].tokens) == max(allowed, key=allowed.get)
        assert results[row][0].score == pytest.approx(max(allowed.values()), rel=1e-9)


def test_bfloat16_decoder_gives_the_scores_of_float32():
    encoded, log_probs = utterances([9, 5])
    half = copy.deepcopy(decoder()).bfloat16()
    short = Encoded(encoded.frames.bfloat16(), encoded.lengths)
    results = BeamSearch(beam=4)(half, short, log_probs.bfloat16())
    expected = BeamSearch(beam=4)(decoder(), encoded, log_probs)
    assert best_scores(results) == pytest.approx(best_scores(expected), rel=0.05)


def test_silence_gives_an_empty_sentence():
    encoded, log_probs = utterances([3])
    silence = torch.full_like(log_probs, -50.0)
    silence[..., BLANK] = 0.0
    assert BeamSearch(beam=3, ctc_weight=1.0)(decoder(), encoded, silence)[0][0].tokens == []


def test_mixed_precision_gives_the_scores_of_float32():
    """Under autocast the weights stay float32, and the layers return bfloat16."""
    encoded, log_probs = utterances([9, 5])
    single = copy.deepcopy(decoder()).float()
    encoded, lm = Encoded(encoded.frames.float(), encoded.lengths), Bigram()
    with torch.autocast("cpu", torch.bfloat16):
        results = BeamSearch(beam=4, lm_weight=0.3)(single, encoded, log_probs.float(), lm)
    expected = BeamSearch(beam=4, lm_weight=0.3)(single, encoded, log_probs.float(), lm)
    assert best_scores(results) == pytest.approx(best_scores(expected), rel=0.05)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"beam": 0}, "BeamSearch: beam must be a whole number from 1 up, not 0"),
        ({"ctc_weight": 1.5}, "BeamSearch: ctc_weight must be a number from 0 to 1, not 1.5"),
        ({"beam": "1x"}, "BeamSearch: beam must be a whole number from 1 up, not '1x'"),
        ({"beam": 2.0}, "BeamSearch: beam must be a whole number from 1 up, not 2.0"),
        ({"lm_weight": -0.5}, "BeamSearch: lm_weight must be a number from 0 up, not -0.5"),
        ({"temperature": math.nan}, "BeamSearch: temperature must be a number above 0, not nan"),
        ({"lm_temperature": 0.0}, "BeamSearch: lm_temperature must be a number above 0, not 0.0"),
    ],
    ids=["beam", "ctc_weight", "text", "fraction", "negative", "nan", "temperature"],
)
def test_search_errors(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        BeamSearch(**options)


def test_a_pickled_search_is_the_same_search():
    search = BeamSearch(beam=3, ctc_weight=0.2, length_bonus=0.5)
    encoded, log_probs = utterances([5, 3])
    assert pickle.loads(pickle.dumps(search))(decoder(), encoded, log_probs) == search(decoder(), encoded, log_probs)
