"""The searches of a transducer against all alignments."""

import itertools
from functools import cache

import pytest
import torch

from data_prep.tokenizer import BLANK, END, START
from recipes.decoding import BeamSearch, TransducerSearch
from recipes.decoding.transducer import greedy_start, greedy_transducer
from recipes.errors import RecipeError
from recipes.models import Encoded, LSTMPrediction, StatelessPrediction, Transducer, TransformerDecoder, TransformerLM
from tests.support.decoding import VOCABULARY, WORDS
from tests.support.models import randomised

LENGTHS = [9, 1, 14, 4, 2]
PREDICTIONS = {"stateless": StatelessPrediction, "lstm": LSTMPrediction}


@cache
def transducer(kind: str = "stateless") -> Transducer:
    torch.manual_seed(5)
    model = Transducer(8, VOCABULARY, prediction=PREDICTIONS[kind](VOCABULARY, 6), joint_size=8)
    model = randomised(model, 0.8).double()
    with torch.no_grad():
        model.out.bias.zero_()[BLANK] = 0.5
    return model


@cache
def language_model() -> TransformerLM:
    torch.manual_seed(6)
    return randomised(TransformerLM(VOCABULARY, 8, layers=1, heads=2, d_ffn=8, dropout=0.0)).double()


def utterances(lengths, seed: int = 0) -> Encoded:
    frames = 2 * torch.randn(len(lengths), max(lengths), 8, generator=torch.Generator().manual_seed(seed)).double()
    for row, length in enumerate(lengths):
        frames[row, length:] = float("nan")
    return Encoded(frames, torch.tensor(lengths))


def alone(encoded: Encoded, row: int) -> Encoded:
    length = int(encoded.lengths[row])
    return Encoded(encoded.frames[row : row + 1, :length], encoded.lengths[row : row + 1])


@torch.no_grad()
def all_sentences(encoded: Encoded, longest: int, lm_weight: float = 0.0, bonus: float = 0.0) -> dict:
    """Score of every sentence of at most so many tokens of the one utterance, over all of its alignments."""
    (frames,), scores = encoded.lengths.tolist(), {}
    for length in range(longest + 1):
        for sentence in itertools.product(WORDS, repeat=length):
            tokens = torch.tensor([[START, *sentence]])
            log_probs, ways = transducer()(encoded, tokens)[0].log_softmax(-1), []
            for places in itertools.combinations_with_replacement(range(frames), length):  # the frame of each token
                way = sum(log_probs[frame, number, sentence[number]] for number, frame in enumerate(places))
                blanks = (log_probs[frame, sum(place <= frame for place in places), BLANK] for frame in range(frames))
                ways.append(way + sum(blanks))
            lm = language_model()(tokens)[0].log_softmax(-1)[range(length + 1), [*sentence, END]].sum()
            scores[sentence] = (torch.stack(ways).logsumexp(0) + lm_weight * lm + bonus * length).item()
    return scores


@pytest.mark.parametrize(("lm_weight", "bonus"), [(0.0, 0.0), (0.7, 0.0), (0.7, 0.4)])
def test_wide_beam_finds_the_best_of_all_sentences(lm_weight, bonus):
    """With the probability of all of its alignments together."""
    for seed in range(2):
        encoded = utterances([3], seed)
        search = TransducerSearch(beam=150, lm_weight=lm_weight, length_bonus=bonus, max_symbols=4)
        (hypotheses,) = search(transducer(), encoded, None, language_model())
        scores = all_sentences(encoded, 4, lm_weight, bonus)
        best = max(scores, key=scores.get)
        assert tuple(hypotheses[0].tokens) == best
        assert hypotheses[0].score == pytest.approx(scores[best], abs=1e-3 if bonus else 1e-9)
        assert len({tuple(hypothesis.tokens) for hypothesis in hypotheses}) == len(hypotheses)
        values = [hypothesis.score for hypothesis in hypotheses]
        assert values == sorted(values, reverse=True)
    assert max(len(key) for key in sorted(scores, key=scores.get)[-20:]) > 1, "the sentences are too short to tell"


@pytest.mark.parametrize("kind", PREDICTIONS)
@pytest.mark.parametrize("beam", [1, 4])
def test_results_do_not_depend_on_the_batch(kind, beam):
    encoded, search = utterances(LENGTHS), TransducerSearch(beam=beam, lm_weight=0.3)
    lm = language_model() if beam > 1 else None
    together = search(transducer(kind), encoded, None, lm)
    backwards = search(transducer(kind), Encoded(encoded.frames.flip(0), encoded.lengths.flip(0)), None, lm)[::-1]
    assert len({tuple(hypotheses[0].tokens) for hypotheses in together}) > 2
    for row in range(len(LENGTHS)):
        (expected,) = search(transducer(kind), alone(encoded, row), None, lm)
        for hypotheses in (together[row], backwards[row]):
            assert [item.tokens for item in hypotheses] == [item.tokens for item in expected]
            scores = [item.score for item in expected]
            assert [item.score for item in hypotheses] == pytest.approx(scores, rel=1e-9)


@pytest.mark.parametrize("beam", [1, 4])
def test_a_frame_that_is_no_number_ends_the_search_of_its_utterance(beam):
    encoded = utterances(LENGTHS)
    expected = TransducerSearch(beam=beam)(transducer(), encoded, None)
    encoded.frames[2, 3] = float("nan")
    found = TransducerSearch(beam=beam)(transducer(), encoded, None)
    assert len(found) == len(expected) and len(found[2]) >= 1
    others = [row for row in range(len(LENGTHS)) if row != 2]
    assert [found[row] for row in others] == [expected[row] for row in others]


def greedy_by_hand(encoded: Encoded, max_symbols: int) -> list[int]:
    tokens, model = [START], transducer()
    with torch.no_grad():
        for frame in range(int(encoded.lengths[0])):
            for _ in range(max_symbols):
                logits = model(encoded, torch.tensor([tokens]))[0, frame, -1]
                logits[[START, END]] = -1e9
                if int(logits.argmax()) == BLANK:
                    break
                tokens.append(int(logits.argmax()))
    return tokens[1:]


@pytest.mark.parametrize("max_symbols", [1, 3])
def test_greedy_is_the_likeliest_output_again_and_again(max_symbols):
    """In a batch, with a beam of one, and cut into chunks."""
    encoded = utterances(LENGTHS, seed=3)
    expected = [greedy_by_hand(alone(encoded, row), max_symbols) for row in range(len(LENGTHS))]
    assert max(map(len, expected)) > 5 and len({token for tokens in expected for token in tokens}) > 1
    best = TransducerSearch(beam=1, max_symbols=max_symbols)(transducer(), encoded, None)
    assert [hypotheses[0].tokens for hypotheses in best] == expected
    state, tokens = greedy_start(transducer(), len(LENGTHS)), [[] for _ in LENGTHS]
    for start in range(0, max(LENGTHS), 4):
        lengths = (encoded.lengths - start).clamp(0, 4)
        chunk = Encoded(encoded.frames[:, start : start + 4], lengths)
        emitted, state = greedy_transducer(transducer(), chunk, state, max_symbols)
        for row, items in enumerate(emitted):
            assert all(item.frame < lengths[row] and 0 < item.probability <= 1 for item in items)
            tokens[row] += [item.token for item in items]
    assert tokens == expected


def test_a_beam_finds_no_worse_sentences_and_stops_at_max_symbols():
    encoded = utterances([12], seed=4)
    scores = [
        TransducerSearch(beam=beam, lm_weight=0.1)(transducer(), encoded, None)[0][0].score for beam in (2, 8, 32)
    ]
    assert scores == sorted(scores)
    endless = torch.nn.Module.requires_grad_(transducer(), False)
    (hypotheses,) = TransducerSearch(beam=2, max_symbols=2, length_bonus=50.0)(endless, encoded, None)
    assert 20 <= len(hypotheses[0].tokens) <= 24


def test_a_search_names_the_decoder_that_it_cannot_read():
    attention = TransformerDecoder(8, VOCABULARY, layers=1, heads=2, d_ffn=8)
    with pytest.raises(RecipeError, match="BeamSearch reads an attention decoder, and this model has a transducer"):
        BeamSearch().check(transducer())
    for decoder in (attention, None):
        with pytest.raises(RecipeError, match="TransducerSearch reads a transducer, and this model has none"):
            TransducerSearch().check(decoder)
    BeamSearch().check(attention)
    BeamSearch().check(None)
    TransducerSearch().check(transducer())
