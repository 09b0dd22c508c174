"""CTC search with an n-gram: against all alignments, on ambiguous sounds, and its errors of one line."""

import importlib.util
import itertools
import math
import pickle
import sys

import pytest
import torch

from data_prep.ngram import estimate, write_arpa
from data_prep.tokenizer import BLANK, load_tokenizer, train_tokenizer
from recipes.decoding import ngram as ngram_search
from recipes.decoding import word_lm
from recipes.decoding.ngram import NgramCTCSearch, load_ngram
from recipes.errors import RecipeError
from recipes.models.encoder import Encoded
from tests.support.manifests import to_csv

extra = pytest.mark.skipif(
    ngram_search.kenlm is None, reason="flashlight-text and kenlm are not installed (requirements-ngram.txt)"
)

TEXT = ["THE SEA IS GREEN", "I SEE THE SEA", "THE SEA IS WIDE", "SHE SEES HERS", "SEE THE GREEN SEAS"]


def make_tokenizer(folder, text=TEXT, kind="char", size=1000):
    folder.mkdir(exist_ok=True)
    rows = [[f"1-1-{at}", 1.0, "x.flac", "1-1", sentence] for at, sentence in enumerate(text)]
    (folder / "train.csv").write_bytes(to_csv(rows))
    return load_tokenizer(train_tokenizer(folder / "train.csv", folder, kind, size))


def make_ngram(folder, text=TEXT, order=2):
    write_arpa(estimate(text, order), folder / "words.arpa")
    return str(folder / "words.arpa")


def prepared(tokenizer, **options) -> NgramCTCSearch:
    search = NgramCTCSearch(**options)
    search.prepare(tokenizer)
    return search


def frames(tokenizer, alignment, outputs: int, sharpness=8.0):
    """Log probabilities ``[1, T, outputs]`` of a piece for each frame, or of several with their probabilities."""
    rows = []
    for frame in alignment:
        row = torch.full((outputs,), -sharpness)
        for piece, probability in (frame if isinstance(frame, dict) else {frame: 1.0}).items():
            row[BLANK if piece == "" else tokenizer.piece_to_id(piece)] = math.log(probability)
        rows.append(row.log_softmax(-1))
    return torch.stack(rows)[None]


def hypotheses_of(search, log_probs):
    """Of one utterance."""
    (hypotheses,) = search(None, Encoded(log_probs, torch.tensor([log_probs.shape[1]])), log_probs)
    return hypotheses


def all_scores(log_probs, tokenizer, words, arpa, lm_weight, word_bonus):
    """Scores of every sentence of words, from all alignments with ``[T, outputs]`` and whole n-gram scores."""
    ctc, outputs = {}, [BLANK, *range(3, log_probs.shape[1])]
    rows = log_probs.tolist()
    for alignment in itertools.product(outputs, repeat=len(rows)):
        tokens = tuple(token for token, _ in itertools.groupby(alignment) if token != BLANK)
        ctc.setdefault(tokens, []).append(sum(row[token] for row, token in zip(rows, alignment, strict=True)))
    model, scores = ngram_search.kenlm.Model(arpa), {}
    for tokens, parts in ctc.items():
        sentence = tokenizer.decode(list(tokens))
        if tuple(tokenizer.encode(sentence)) == tokens and set(sentence.split()) <= words:
            total = math.log(sum(map(math.exp, parts)))
            ngram = math.log(10) * model.score(sentence)
            scores[tokens] = total + lm_weight * ngram + word_bonus * len(sentence.split())
    return scores


@extra
@pytest.mark.parametrize("seed", range(3))
@pytest.mark.parametrize("lm_weight, word_bonus", [(0.0, 0.0), (0.7, 0.0), (1.5, 2.0)])
def test_wide_beam_equals_all_alignments(tmp_path, lm_weight, word_bonus, seed):
    text = ["A AB", "B A A", "AA AB", "BB", "A ABB B"]
    tokenizer, arpa = make_tokenizer(tmp_path, text), make_ngram(tmp_path, text)
    assert tokenizer.vocab_size() == 6  # unknown and blank, begin, end, ▁, A, B
    logits = 2 * torch.randn(1, 6, 6, generator=torch.Generator().manual_seed(seed))
    log_probs = logits.log_softmax(-1)
    search = prepared(tokenizer, ngram=arpa, beam=5000, candidates=6, lm_weight=lm_weight, word_bonus=word_bonus)
    scores = all_scores(log_probs[0], tokenizer, {"A", "AB", "B", "AA", "BB", "ABB"}, arpa, lm_weight, word_bonus)
    hypotheses = hypotheses_of(search, log_probs)
    assert len(scores) > 30
    assert {tuple(hypothesis.tokens) for hypothesis in hypotheses} == set(scores)
    descending = sorted((hypothesis.score for hypothesis in hypotheses), reverse=True)
    assert [hypothesis.score for hypothesis in hypotheses] == descending
    for tokens, score in hypotheses:
        assert score == pytest.approx(scores[tuple(tokens)], abs=1e-3), tokenizer.decode(tokens)


# --- sentences ----------------------------------------------------------------------------------------------


@extra
@pytest.mark.parametrize(
    "lm_weight, expected", [(0.0, "THE SEE IS GREEN"), (1.0, "THE SEA IS GREEN")], ids=["sound", "n-gram"]
)
def test_the_ngram_decides_between_words_that_sound_alike(tmp_path, lm_weight, expected):
    tokenizer, arpa = make_tokenizer(tmp_path), make_ngram(tmp_path)
    sound = [*"▁THE▁SE", "", {"E": 0.55, "A": 0.45}, *"▁IS▁GRE", "", *"EN"]
    log_probs = frames(tokenizer, sound, tokenizer.vocab_size())
    best, second, *_ = hypotheses_of(prepared(tokenizer, ngram=arpa, lm_weight=lm_weight), log_probs)
    assert tokenizer.decode(best.tokens) == expected
    (alternative,) = {"THE SEE IS GREEN", "THE SEA IS GREEN"} - {expected}
    assert tokenizer.decode(second.tokens) == alternative and second.score < best.score


@extra
def test_a_last_letter_may_last_and_needs_a_blank_to_be_doubled(tmp_path):
    text = ["SE SEE"]
    tokenizer = make_tokenizer(tmp_path, text)
    search = prepared(tokenizer, ngram=make_ngram(tmp_path, text), lm_weight=0.0)
    for sound, expected in ((list("▁SEEE"), "SE"), ([*"▁SEE", "", "E"], "SEE")):
        best = hypotheses_of(search, frames(tokenizer, sound, tokenizer.vocab_size()))[0]
        assert tokenizer.decode(best.tokens) == expected
        assert best.score == pytest.approx(0, abs=0.1), "the sound is all but certain"


@extra
def test_word_bonus_makes_more_words(tmp_path):
    text = ["AB", "A B", "AB AB", "A B A"]
    tokenizer, arpa = make_tokenizer(tmp_path, text), make_ngram(tmp_path, text)
    log_probs = frames(tokenizer, ["▁", "A", {"": 0.7, "▁": 0.3}, "B"], tokenizer.vocab_size())
    texts = [
        tokenizer.decode(hypotheses_of(prepared(tokenizer, ngram=arpa, word_bonus=bonus), log_probs)[0].tokens)
        for bonus in (-5.0, 5.0)
    ]
    assert texts == ["AB", "A B"]


@extra
@pytest.mark.parametrize("spare_outputs", [0, 7], ids=["equal", "spare_outputs"])
@pytest.mark.parametrize("kind, size", [("char", 100), ("unigram", 24), ("bpe", 24)])
def test_every_kind_of_tokenizer(tmp_path, kind, size, spare_outputs):
    tokenizer = make_tokenizer(tmp_path, kind=kind, size=size)
    search = prepared(tokenizer, ngram=make_ngram(tmp_path, order=3))
    for sentence in TEXT:
        sound = [part for piece in tokenizer.encode(sentence, out_type=str) for part in (piece, piece, "")]
        log_probs = frames(tokenizer, sound, tokenizer.vocab_size() + spare_outputs)
        best = hypotheses_of(search, log_probs)[0]
        assert best.tokens == tokenizer.encode(sentence)


@extra
def test_words_that_the_ngram_lacks_are_replaced(tmp_path):
    tokenizer, arpa = make_tokenizer(tmp_path), make_ngram(tmp_path, ["THE SEA", "SEA"])
    log_probs = frames(tokenizer, list("▁THE▁SEES"), tokenizer.vocab_size())
    for hypothesis in hypotheses_of(prepared(tokenizer, ngram=arpa), log_probs):
        assert set(tokenizer.decode(hypothesis.tokens).split()) <= {"THE", "SEA"}
    (tmp_path / "words.txt").write_text("THE\nSEES\n")
    listed = prepared(tokenizer, ngram=arpa, words=str(tmp_path / "words.txt"))
    log_probs = frames(tokenizer, [*"▁THE▁SE", "", *"ES"], tokenizer.vocab_size())
    assert tokenizer.decode(hypotheses_of(listed, log_probs)[0].tokens) == "THE SEES"


@extra
def test_an_unfinished_last_word_is_left_out(tmp_path):
    tokenizer, arpa = make_tokenizer(tmp_path), make_ngram(tmp_path, ["THE GREEN"])
    log_probs = frames(tokenizer, list("▁THE▁GR"), tokenizer.vocab_size(), sharpness=200.0)
    (best,) = hypotheses_of(prepared(tokenizer, ngram=arpa), log_probs)
    assert tokenizer.decode(best.tokens) == "THE"
    assert best.score < -1e8


@extra
def test_silence_gives_an_empty_sentence(tmp_path):
    tokenizer = make_tokenizer(tmp_path)
    best = hypotheses_of(
        prepared(tokenizer, ngram=make_ngram(tmp_path)), frames(tokenizer, [""] * 5, tokenizer.vocab_size())
    )[0]
    assert best.tokens == []


@extra
@pytest.mark.parametrize("candidates", [2, 6, 100])
def test_results_do_not_depend_on_the_batch(tmp_path, candidates):
    tokenizer, lengths = make_tokenizer(tmp_path), [9, 1, 30, 4, 2]
    search = prepared(tokenizer, ngram=make_ngram(tmp_path), beam=8, candidates=candidates)
    noise = torch.Generator().manual_seed(0)
    log_probs = (3 * torch.randn(5, 30, tokenizer.vocab_size(), generator=noise)).log_softmax(-1)
    for row, length in enumerate(lengths):
        log_probs[row, length:] = float("nan")
    encoded = Encoded(log_probs, torch.tensor(lengths))
    in_batch = search(None, encoded, log_probs)
    backwards = search(None, Encoded(log_probs.flip(0), encoded.lengths.flip(0)), log_probs.flip(0))[::-1]
    alone = [hypotheses_of(search, log_probs[row : row + 1, :length].double()) for row, length in enumerate(lengths)]
    assert in_batch == backwards == alone
    assert all(1 <= len(hypotheses) <= 8 for hypotheses in alone)


# --- errors -------------------------------------------------------------------------------------------------


def fresh_module(module):
    """The module executed anew, under another name."""
    spec = importlib.util.spec_from_file_location("fresh", module.__file__)
    fresh = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(fresh)
    return fresh


@pytest.mark.parametrize("absent", ["kenlm", "flashlight.lib.text"])
def test_without_the_extra(tmp_path, monkeypatch, absent):
    monkeypatch.setitem(sys.modules, absent, None)  # as if it was not installed
    module = fresh_module(word_lm)
    assert module.flashlight is None and module.kenlm is None
    monkeypatch.setitem(sys.modules, word_lm.__name__, module)
    (ngram := tmp_path / "words.arpa").touch()
    with pytest.raises(RecipeError) as error:
        fresh_module(ngram_search).NgramCTCSearch(ngram=str(ngram)).prepare(make_tokenizer(tmp_path))
    assert str(error.value) == (
        "the search with an n-gram needs flashlight-text and kenlm: pip install -r requirements-ngram.txt"
    )


@pytest.mark.parametrize(
    "options, message",
    [
        ({"beam": 0}, "NgramCTCSearch: beam must be a whole number from 1 up, not 0"),
        ({"candidates": 1}, "NgramCTCSearch: candidates must be a whole number from 2 up, not 1"),
        ({"lm_weight": -0.5}, "NgramCTCSearch: lm_weight must be a number from 0 up, not -0.5"),
    ],
    ids=["beam", "candidates", "lm_weight"],
)
def test_option_errors(options, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        NgramCTCSearch(ngram="words.arpa", **options)


@extra
@pytest.mark.parametrize(
    "content, options, message",
    [
        (None, {}, "no n-gram {path}: write one with python -m data_prep.ngram TEXT {path}"),
        (
            ["other words"],
            {},
            "the tokenizer can spell no word of {path}:"
            + " estimate the n-gram on a text written like the training transcripts",
        ),
        (TEXT, {"words": "nowhere.txt"}, "no list of words nowhere.txt: write one, a word a line"),
    ],
    ids=["missing", "other_alphabet", "no_word_list"],
)
def test_ngram_errors(tmp_path, content, options, message):
    path = tmp_path / "words.arpa"
    if content:
        make_ngram(tmp_path, content)
    with pytest.raises(RecipeError) as error:
        prepared(make_tokenizer(tmp_path / "tokenizer"), ngram=str(path), **options)
    assert str(error.value) == message.format(path=path)


@extra
def test_an_order_that_kenlm_does_not_read_is_no_damage(tmp_path, monkeypatch):
    monkeypatch.setattr("data_prep.ngram.HIGHEST_ORDER", 7)
    write_arpa(estimate(["ONE TWO THREE FOUR FIVE SIX SEVEN"], order=7), tmp_path / "words.arpa")
    with pytest.raises(RecipeError, match=r"has n-grams of order 7, and KenLM reads up to 6: .* --order 6$"):
        load_ngram(str(tmp_path / "words.arpa"))


@extra
def test_words_that_cannot_be_spelled_are_reported(tmp_path, caplog):
    search = prepared(make_tokenizer(tmp_path), ngram=make_ngram(tmp_path, ["THE CAFÉ", "THE SEA"]))
    assert caplog.messages == [
        f"1 of 3 words of {tmp_path / 'words.arpa'} cannot be spelled by the tokenizer, such as CAFÉ;"
        + " they are left out"
    ]
    assert len(search.prepared.language_model.root.children) == 1


@extra
def test_a_pickled_search_is_the_same_search(tmp_path):
    """A copy in another process reads the n-gram again."""
    tokenizer = make_tokenizer(tmp_path)
    search = prepared(tokenizer, ngram=make_ngram(tmp_path), lm_weight=0.7, word_bonus=1.0)
    log_probs = frames(tokenizer, [*"▁THE▁SE", {"E": 0.55, "A": 0.45}], tokenizer.vocab_size())
    assert hypotheses_of(pickle.loads(pickle.dumps(search)), log_probs) == hypotheses_of(search, log_probs)
    fresh = NgramCTCSearch(ngram="nowhere.arpa", beam=7)
    assert pickle.loads(pickle.dumps(fresh)).beam == 7


@extra
def test_a_second_language_model_is_refused(tmp_path):
    tokenizer = make_tokenizer(tmp_path)
    search, log_probs = prepared(tokenizer, ngram=make_ngram(tmp_path)), torch.zeros(1, 2, 9)
    with pytest.raises(RecipeError) as error:
        search(None, Encoded(log_probs, torch.tensor([2])), log_probs, lm=object())
    assert str(error.value) == ("the search with an n-gram takes no second language model: leave one of the two out")
