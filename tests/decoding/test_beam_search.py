"""CTC prefix scores against all alignments, and the beam search against all sentences."""

import copy
import itertools
import math
from functools import cache
from typing import NamedTuple

import pytest
import torch
from torch.nn.functional import ctc_loss

from data_prep.tokenizer import BLANK, END, START
from recipes.decoding.beam_search import BeamSearch
from recipes.decoding.ctc import LOG_ZERO, CTCPrefixScorer, greedy_ctc
from recipes.models.decoder import TransformerDecoder
from recipes.models.encoder import Encoded

VOCABULARY = 6
WORDS = [token for token in range(VOCABULARY) if token not in (BLANK, START, END)]


def random_log_probs(batch: int, frames: int, vocabulary: int = VOCABULARY, scale: float = 1.0, seed: int = 0):
    logits = torch.randn(batch, frames, vocabulary, generator=torch.Generator().manual_seed(seed)).double()
    return (scale * logits).log_softmax(-1)


# --- CTC ----------------------------------------------------------------------------------------------------


def collapse(alignment) -> tuple[int, ...]:
    return tuple(token for token, _ in itertools.groupby(alignment) if token != BLANK)


def sentence_probabilities(log_probs: torch.Tensor) -> dict[tuple[int, ...], float]:
    """Of every sentence that ``[T, vocabulary]`` can align with, by going through all alignments."""
    probs, found = log_probs.exp(), {}
    for alignment in itertools.product(range(log_probs.shape[1]), repeat=len(log_probs)):
        probability = torch.stack([probs[frame, token] for frame, token in enumerate(alignment)]).prod().item()
        found[collapse(alignment)] = found.get(collapse(alignment), 0.0) + probability
    return found


def prefix_and_end(scorer: CTCPrefixScorer, sentence) -> tuple[float, float]:
    """Log probability that the (only) utterance starts with the sentence, and that it is the sentence."""
    prefixes, last = scorer.start(1), torch.tensor([START])
    for token in sentence:
        proposed = scorer.scores(prefixes, last)[0, token].item()
        prefixes, last = scorer.extend(prefixes, last, torch.tensor([token])), torch.tensor([token])
        assert proposed == pytest.approx(max(prefixes.score.item(), LOG_ZERO), rel=1e-9, abs=1e-12), (
            "two ways to one number"
        )
    return prefixes.score.item(), scorer.end(prefixes).item()


@pytest.mark.parametrize("padded", [0, 3], ids=["alone", "padded"])
@pytest.mark.parametrize("frames", [1, 2, 4])
def test_ctc_scores_equal_all_alignments(frames, padded):
    vocabulary = 4
    log_probs = random_log_probs(1, frames + padded, vocabulary)  # what stands in padded frames must not count
    scorer, possible = (
        CTCPrefixScorer(log_probs, torch.tensor([frames])),
        sentence_probabilities(log_probs[0, :frames]),
    )
    assert sum(possible.values()) == pytest.approx(1)
    for length in range(frames + 1):
        for sentence in itertools.product(range(1, vocabulary), repeat=length):
            prefix, end = prefix_and_end(scorer, sentence)
            beginning = sum(p for one, p in possible.items() if one[:length] == sentence)
            assert math.exp(prefix) == pytest.approx(beginning, abs=1e-12), f"prefix {sentence}"
            assert math.exp(end) == pytest.approx(possible.get(sentence, 0), abs=1e-12), sentence


@pytest.mark.parametrize("scale", [1.0, 40.0], ids=["flat", "peaked"])
@pytest.mark.parametrize("frames", [30, 400, 3000])
def test_ctc_end_equals_ctc_loss(frames, scale):
    """On whole utterances, with repeated tokens, near-certain frames and padding."""
    log_probs = random_log_probs(2, frames + 50, 30, scale, seed=frames)
    lengths, sentence = torch.tensor([frames, frames // 2]), [7, 7, 29, 3, 12, 3, 3, 8, 21, 7]
    for row, length in enumerate(lengths.tolist()):
        real, tokens = log_probs[row, :length, None], torch.tensor([sentence])
        loss = ctc_loss(real, tokens, torch.tensor([length]), torch.tensor([10]), blank=BLANK, reduction="sum")
        scorer = CTCPrefixScorer(log_probs[row : row + 1], lengths[row : row + 1])
        assert prefix_and_end(scorer, sentence)[1] == pytest.approx(-loss.item(), rel=1e-9)


def test_ctc_of_more_tokens_than_frames_is_impossible():
    scorer = CTCPrefixScorer(random_log_probs(1, 5), torch.tensor([2]))
    assert max(prefix_and_end(scorer, [3, 4, 5])) < -1e3
    assert max(prefix_and_end(scorer, [3, 3])) < -1e3, "a repeated token needs a blank between"


def test_ctc_scores_many_hypotheses_of_many_utterances_at_once():
    log_probs, lengths, beam = random_log_probs(3, 6), torch.tensor([6, 4, 1]), 2
    scorer, begin = CTCPrefixScorer(log_probs, lengths), torch.full((6,), START)
    first, beginnings = scorer.start(beam), torch.tensor([3, 4, 5, 3, 4, 4])
    first = scorer.extend(first, begin, beginnings)
    second = scorer.scores(first, beginnings)
    for hypothesis, beginning in enumerate(beginnings.tolist()):
        one = CTCPrefixScorer(log_probs[hypothesis // beam, None], lengths[hypothesis // beam, None])
        for token in WORDS:
            expected = prefix_and_end(one, [beginning, token])[0]
            assert max(expected, LOG_ZERO) == pytest.approx(second[hypothesis, token].item(), rel=1e-9)


def test_ctc_goes_on_with_some_of_the_utterances():
    log_probs, lengths = random_log_probs(3, 6), torch.tensor([6, 4, 5])
    whole, part = CTCPrefixScorer(log_probs, lengths), CTCPrefixScorer(log_probs, lengths)
    last = torch.tensor([3, 4, 5])
    prefixes = whole.extend(whole.start(1), torch.full((3,), START), last)
    left = torch.tensor([2, 0])
    part.select(left)
    assert torch.equal(part.scores(prefixes.select(left), last[left]), whole.scores(prefixes, last)[left])


def test_greedy_ctc_drops_repeats_blanks_and_padding():
    tokens = torch.tensor([[3, 3, 0, 3, 4, 4, 0, 0], [0, 0, 5, 5, 3, 3, 3, 3], [0, 0, 0, 0, 4, 4, 4, 4]])
    log_probs = torch.nn.functional.one_hot(tokens, VOCABULARY).double().log()
    assert greedy_ctc(log_probs, torch.tensor([8, 4, 3])) == [[3, 3, 4], [5], []]


# --- beam search --------------------------------------------------------------------------------------------


@cache
def decoder() -> TransformerDecoder:
    torch.manual_seed(3)
    made = TransformerDecoder(8, VOCABULARY, layers=1, heads=2, d_ffn=16, dropout=0.0).double().eval()
    with torch.no_grad():
        for parameter in made.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
    return made


def utterances(lengths, seed: int = 0, padding: float = 5.0):
    frames = torch.randn(len(lengths), max(lengths), 8, generator=torch.Generator().manual_seed(seed)).double()
    log_probs = random_log_probs(len(lengths), max(lengths), scale=2.0, seed=seed)
    for row, length in enumerate(lengths):
        frames[row, length:] = padding
        log_probs[row, length:] = -padding
    return Encoded(frames, torch.tensor(lengths)), log_probs


def all_sentences(
    encoded: Encoded, log_probs, ctc_weight: float, temperature: float = 1.0
) -> dict[tuple[int, ...], float]:
    """Joint log probability of every sentence of at most as many tokens as the one utterance has frames."""
    (frames,), scores = encoded.lengths.tolist(), {}
    scorer = CTCPrefixScorer(log_probs, encoded.lengths)
    for length in range(frames + 1):
        for sentence in itertools.product(WORDS, repeat=length):
            with torch.no_grad():
                logits = decoder()(encoded, torch.tensor([[START, *sentence]]))[0] / temperature
            attention = logits.log_softmax(-1)[torch.arange(length + 1), torch.tensor([*sentence, END])].sum().item()
            scores[sentence] = (1 - ctc_weight) * attention + ctc_weight * prefix_and_end(scorer, sentence)[1]
    return scores


@pytest.mark.parametrize("frames", [1, 2, 4])
@pytest.mark.parametrize("ctc_weight", [0.0, 0.4, 1.0], ids=["attention", "joint", "ctc"])
def test_wide_beam_finds_the_best_of_all_sentences(ctc_weight, frames):
    for seed in range(3):
        encoded, log_probs = utterances([frames], seed)
        (found,) = BeamSearch(beam=130, ctc_weight=ctc_weight, temperature=1.2)(decoder(), encoded, log_probs)
        scores = all_sentences(encoded, log_probs, ctc_weight, temperature=1.2)
        assert tuple(found[0].tokens) == max(scores, key=scores.get)
        assert [one.score for one in found] == sorted((one.score for one in found), reverse=True)
        assert len({tuple(one.tokens) for one in found}) == len(found)
        for tokens, score in found:
            assert score == pytest.approx(scores[tuple(tokens)], rel=1e-9), tokens


@pytest.mark.parametrize("beam", [1, 2, 5])
def test_narrow_beam_scores_what_it_finds_correctly(beam):
    for seed in range(5):
        encoded, log_probs = utterances([4], seed)
        (found,) = BeamSearch(beam=beam, ctc_weight=0.3)(decoder(), encoded, log_probs)
        scores = all_sentences(encoded, log_probs, 0.3)
        assert 1 <= len(found) <= beam
        for tokens, score in found:
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
        for found in (in_batch[row], backwards[row]):
            assert [one.tokens for one in found] == [one.tokens for one in expected]
            assert [one.score for one in found] == pytest.approx([one.score for one in expected], rel=1e-9)


def test_a_decoder_that_does_not_end_is_stopped_by_its_own_utterance():
    """A sentence has at most as many tokens as its utterance has frames, whoever else is in the batch."""
    endless, search, frames = copy.deepcopy(decoder()), BeamSearch(beam=2, ctc_weight=0.0), [2, 12, 3, 5]
    with torch.no_grad():
        endless.out.bias[END] -= 1000
        endless.out.weight[END] *= 100  # some later endings are far likelier than early ones
    encoded, log_probs = utterances(frames)
    found = search(endless, encoded, log_probs)
    for row, most in enumerate(frames):
        alone = Encoded(encoded.frames[row : row + 1, :most], encoded.lengths[row : row + 1])
        (expected,) = search(endless, alone, log_probs[row : row + 1, :most])
        assert [one.tokens for one in found[row]] == [one.tokens for one in expected]
        assert max(len(one.tokens) for one in found[row]) <= most
    assert max(len(one.tokens) for one in found[1]) > 5


class Bigram:
    """A language model with known probabilities, over the search's tokens."""

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
def test_language_model_and_length_bonus_count_as_said(ctc_weight, lm_weight, bonus):
    """Against all sentences; with a bonus that makes long sentences win after short ones have ended."""
    for seed in range(3):
        encoded, log_probs = utterances([4], seed)
        lm = Bigram(seed)
        options = {"lm_weight": lm_weight, "lm_temperature": 1.3, "length_bonus": bonus}
        (found,) = BeamSearch(beam=130, ctc_weight=ctc_weight, **options)(decoder(), encoded, log_probs, lm)
        scores = {
            sentence: score + lm_weight * lm.score(sentence, 1.3) + bonus * len(sentence)
            for sentence, score in all_sentences(encoded, log_probs, ctc_weight).items()
        }
        assert tuple(found[0].tokens) == max(scores, key=scores.get)
        for tokens, score in found:
            assert score == pytest.approx(scores[tuple(tokens)], rel=1e-9), tokens


def test_search_stops_early_despite_a_length_bonus():
    """The frames after the last word are silent, so that no bonus can be won there."""
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
    found = BeamSearch(beam=130)(None, encoded, log_probs)
    for row, frames in enumerate([4, 2]):
        scores = {s: math.log(p) for s, p in sentence_probabilities(log_probs[row, :frames]).items()}
        allowed = {s: p for s, p in scores.items() if not {START, END} & set(s)}
        assert tuple(found[row][0].tokens) == max(allowed, key=allowed.get)
        assert found[row][0].score == pytest.approx(max(allowed.values()), rel=1e-9)


def test_bfloat16_decoder_finds_what_float32_finds():
    encoded, log_probs = utterances([9, 5])
    half = copy.deepcopy(decoder()).bfloat16()
    short = Encoded(encoded.frames.bfloat16(), encoded.lengths)
    found = BeamSearch(beam=4)(half, short, log_probs.bfloat16())
    expected = BeamSearch(beam=4)(decoder(), encoded, log_probs)
    for one, other in zip(found, expected, strict=True):
        assert one[0].score == pytest.approx(other[0].score, rel=0.05)


def test_silence_gives_an_empty_sentence():
    encoded, log_probs = utterances([3])
    silence = torch.full_like(log_probs, -50.0)
    silence[..., BLANK] = 0.0
    assert BeamSearch(beam=3, ctc_weight=1.0)(decoder(), encoded, silence)[0][0].tokens == []


def test_mixed_precision_finds_what_float32_finds():
    """Under autocast weights stay float32, and what the layers return is bfloat16."""
    encoded, log_probs = utterances([9, 5])
    single = copy.deepcopy(decoder()).float()
    encoded, lm = Encoded(encoded.frames.float(), encoded.lengths), Bigram()
    with torch.autocast("cpu", torch.bfloat16):
        found = BeamSearch(beam=4, lm_weight=0.3)(single, encoded, log_probs.float(), lm)
    expected = BeamSearch(beam=4, lm_weight=0.3)(single, encoded, log_probs.float(), lm)
    for one, other in zip(found, expected, strict=True):
        assert one[0].score == pytest.approx(other[0].score, rel=0.05)


@pytest.mark.parametrize(
    "options, message",
    [
        ({"beam": 0}, "BeamSearch: beam must be a whole number from 1 up, not 0"),
        ({"ctc_weight": 1.5}, "BeamSearch: ctc_weight must lie between 0 and 1, not 1.5"),
        ({"beam": "1x"}, "BeamSearch: beam must be a whole number from 1 up, not '1x'"),
        ({"beam": 2.0}, "BeamSearch: beam must be a whole number from 1 up, not 2.0"),
        ({"lm_weight": -0.5}, "BeamSearch: lm_weight must be a number from 0 up, not -0.5"),
        ({"temperature": math.nan}, "BeamSearch: temperature must be a number, not nan"),
        ({"lm_temperature": 0.0}, "BeamSearch: temperature and lm_temperature must be greater than 0"),
    ],
    ids=["beam", "ctc_weight", "text", "fraction", "negative", "nan", "temperature"],
)
def test_search_errors(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        BeamSearch(**options)
