"""The corpora in which a far word decides: balanced, without leak, and far enough in the audio itself."""

import ctypes
import re
import sys
from collections import Counter
from dataclasses import replace

import numpy as np
import pytest
import torch

from data_prep.errors import DataError
from data_prep.synthesize import synthesize
from data_prep.synthetic import KINDS, homophones_text, plan
from data_prep.synthetic.context import CUES, HOMOPHONES, draw_far_cue
from data_prep.synthetic.espeak import Espeak
from data_prep.synthetic.grammar import spoken, transcript
from data_prep.synthetic.kinds import COMMON_ACCENTS, CONTEXT_VARIANTS
from recipes.config.recipe import load
from tests.support.runs import ROOT

NO_SYNTHESISER = "the speech synthesiser is not installed: pip install -r requirements-demo.txt"
LEAST_GAP = 3.0  # s
SPELLINGS = [{pair[which].upper() for pair in HOMOPHONES} for which in (0, 1)]
CUE_CLASS = {cue.upper(): number for number, cues in enumerate(CUES) for cue in cues}
CUE = "|".join(CUE_CLASS)
HOMOPHONE = "|".join(word for spellings in SPELLINGS for word in spellings)
TRIPLE = f"(?:{HOMOPHONE}) AND (?:{HOMOPHONE}) (?:{HOMOPHONE})"
FORMS = {
    "context": rf"THE (?:{CUE})(?: \w+){{13}} {TRIPLE}|{TRIPLE}(?: \w+){{13}} THE (?:{CUE})",
    "order": rf"(?:THE \w+ \w+ ){{1,2}}THE \w+ (?:{CUE}) (?:THE \w+ \w+ ){{2,3}}THE \w+ (?:{CUE})"
    rf" (?:THE \w+ \w+ ){{4}}{TRIPLE}",
}
CONTEXT_KINDS = ("context", "order")
kinds = pytest.mark.parametrize("kind", CONTEXT_KINDS)


@pytest.fixture(scope="module")
def plans():
    return {name: plan(KINDS[name], 0) for name in CONTEXT_KINDS}


@pytest.fixture
def voice():
    pytest.importorskip("espeakng_loader", reason=NO_SYNTHESISER)
    return TimedEspeak()


def by_split(speakers):
    splits = {}
    for speaker in speakers:
        splits.setdefault(speaker.split, []).extend(speaker.transcripts.values())
    return splits


def deciding_class(sentence):
    """The class of the cue that decides: the only cue, or the first."""
    return next(CUE_CLASS[word] for word in sentence.split() if word in CUE_CLASS)


def cues_in(sentence):
    return [word for word in sentence.split() if word in CUE_CLASS]


@kinds
def test_size_and_voices(plans, kind):
    speakers = plans[kind]
    assert {split: len(sentences) for split, sentences in by_split(speakers).items()} == {
        "dev-clean": 84,
        "test-clean": 336,
        "train-clean-5": 672,
    }
    assert sum(speaker.split == "train-clean-5" for speaker in speakers) == 48
    voices = {(speaker.variant, speaker.accent) for speaker in speakers}
    assert len(voices) == len(speakers), "a voice in two splits or twice in one"
    assert {variant for variant, _ in voices} == set(CONTEXT_VARIANTS) and len(CONTEXT_VARIANTS) == 24
    assert {accent for _, accent in voices} == set(COMMON_ACCENTS)


@kinds
def test_every_sentence_has_the_form_and_the_spelling_that_its_cue_asks_for(plans, kind):
    for speaker in plans[kind]:
        for sentence in speaker.transcripts.values():
            assert re.fullmatch(FORMS[kind], sentence), sentence
            words = sentence.split()
            right, wrong = SPELLINGS[deciding_class(sentence)], SPELLINGS[1 - deciding_class(sentence)]
            assert len(right.intersection(words)) == 3 and not wrong.intersection(words)
            assert sum(word in right for word in words) == 3, "a homophone among the other words"
            if kind == "order":
                assert {CUE_CLASS[cue] for cue in cues_in(sentence)} == {0, 1} and len(cues_in(sentence)) == 2


@kinds
def test_only_the_first_spelling_is_ever_spoken(plans, kind):
    for speaker in plans[kind]:
        for sentence in speaker.sentences:
            read_aloud = transcript(spoken(sentence)).split()
            written = transcript(sentence).split()
            assert "/" not in spoken(sentence) and len(read_aloud) == len(written)
            assert not SPELLINGS[1].intersection(read_aloud)
            differ = [pair for pair in zip(read_aloud, written, strict=True) if len(set(pair)) > 1]
            assert all(tuple(word.lower() for word in pair) in HOMOPHONES for pair in differ)


@kinds
def test_classes_are_balanced_in_every_split_form_and_speaker(plans, kind):
    for sentences in by_split(plans[kind]).values():
        forms = Counter((sentence.split()[0] == "THE", deciding_class(sentence)) for sentence in sentences)
        assert len(set(forms.values())) == 1 and len(forms) == (4 if kind == "context" else 2)
    for speaker in plans[kind]:
        classes = Counter(map(deciding_class, speaker.transcripts.values()))
        assert abs(classes[0] - classes[1]) <= 2


@kinds
def test_no_filler_comes_twice(plans, kind):
    """So no sentence does either, and none comes again with another cue or as another form."""
    sentences = [sentence for split in by_split(plans[kind]).values() for sentence in split]
    fillers = [re.sub(rf"\bTHE (?:{CUE})\b|\b(?:{CUE})\b|{TRIPLE}", "", sentence).strip() for sentence in sentences]
    assert len(set(fillers)) == len(fillers) == 1092


@kinds
def test_every_word_of_the_tests_occurs_in_training(plans, kind):
    splits = by_split(plans[kind])
    trained = Counter(" ".join(splits.pop("train-clean-5")).split())
    tested = {word for sentences in splits.values() for sentence in sentences for word in sentence.split()}
    assert min(trained[word] for word in tested) >= 20


def test_neighbours_of_the_first_cue_are_no_different_from_those_of_the_second(plans):
    """What lies within a cue's reach, the clauses on both sides, must not give away which of the two it is."""
    neighbours = [Counter(), Counter()]
    for speaker in plans["order"]:
        for sentence in speaker.sentences:
            clauses = spoken(sentence).split(", ")
            positions = [index for index, clause in enumerate(clauses) if cues_in(transcript(clause))]
            assert all(1 <= index < len(clauses) - 2 for index in positions)
            for which, index in enumerate(positions):
                neighbours[which].update((clauses[index - 1] + " " + clauses[index + 1]).split())
    first, second = neighbours
    assert first.keys() == second.keys()
    count = sum(first.values())
    assert count == sum(second.values())
    assert all(abs(first[word] - second[word]) < 0.02 * count for word in first)


class TimedEspeak(Espeak):
    """Also knows when a word starts and how it is pronounced."""

    class Event(ctypes.Structure):
        _fields_ = [
            ("type", ctypes.c_int),
            ("identifier", ctypes.c_uint),
            ("place", ctypes.c_int),
            ("length", ctypes.c_int),
            ("milliseconds", ctypes.c_int),
            ("sample", ctypes.c_int),
            ("user_data", ctypes.c_void_p),
            ("name", ctypes.c_char * 8),
        ]

    WORD = 1

    def __init__(self):
        super().__init__()
        self.starts = {}
        self._library.espeak_TextToPhonemes.restype = ctypes.c_char_p

    def _receive(self, samples, count, events):
        event = ctypes.cast(events, ctypes.POINTER(self.Event))
        index = 0
        while events and event[index].type:
            if event[index].type == self.WORD:
                self.starts.setdefault(event[index].place - 1, event[index].sample / self.sample_rate)
            index += 1
        return super()._receive(samples, count, events)

    def timed_words(self, text):
        """[(word in capitals, its start in s)]"""
        self.starts = {}
        self.speak(text, seed=1)
        return [(transcript(text[place:].split()[0]), self.starts[place]) for place in sorted(self.starts)]

    def phonemes(self, word):
        text = ctypes.create_string_buffer(word.encode())
        pointer = ctypes.c_void_p(ctypes.addressof(text))
        return self._library.espeak_TextToPhonemes(ctypes.byref(pointer), 1, 0).decode()


@pytest.mark.parametrize("accent", COMMON_ACCENTS)
def test_no_accent_in_use_tells_a_pair_apart(voice, accent):
    voice.set_voice(accent, CONTEXT_VARIANTS[0], 165, 50)
    for first, second in HOMOPHONES:
        assert voice.phonemes(first) == voice.phonemes(second) != ""
    assert voice.phonemes("night") != voice.phonemes("sea")


@kinds
def test_three_seconds_between_cue_and_homophones_in_the_audio(plans, kind, voice):
    """By the speakers with the least time: fast, and with a voice that is pressed together."""
    fastest = sorted(plans[kind], key=lambda speaker: speaker.rate * speaker.tract)[-6:]
    gaps = []
    for speaker in fastest:
        voice.set_voice(speaker.accent, speaker.variant, speaker.rate, speaker.pitch)
        for sentence in speaker.sentences:
            words, starts = zip(*voice.timed_words(spoken(sentence)), strict=True)
            assert list(words) == transcript(spoken(sentence)).split()
            cue = max(index for index, word in enumerate(words) if word in CUE_CLASS)
            homophones = [index for index, word in enumerate(words) if word in SPELLINGS[0]]
            before, after = (cue, homophones[0]) if cue < homophones[0] else (homophones[-1], cue)
            gaps.append((starts[after] - starts[before + 1]) / speaker.tract)
    assert min(gaps) >= LEAST_GAP and max(gaps) < 7, sorted(gaps)[:3]


def test_a_frame_of_the_recipe_reaches_less_far_than_that_without_a_mixer():
    recipe = load(ROOT / "hparams" / "context.yaml", {"data_folder": "unused", "mixer": "conv_only"})
    model = recipe.hparams["model"].eval()
    assert model.decoder is None and recipe.hparams["test_search"] is None
    torch.manual_seed(0)
    samples, changed_at = 6 * 16000, 3 * 16000
    audio = 0.1 * torch.randn(2, samples)
    audio[1] = audio[0]
    audio[1, changed_at] += 1
    with torch.no_grad():
        original, changed = model(audio, torch.full((2,), samples)).ctc_logits
    affected = 0.04 * np.flatnonzero((original - changed).abs().amax(1) > 0)
    assert 0.6 < 3 - affected[0] < 0.72 and 0.6 < affected[-1] - 3 < 0.72


@pytest.fixture(params=CONTEXT_KINDS)
def small_corpus(request, tmp_path, monkeypatch):
    """A function that makes the corpus, two sentences a split; again, it makes what is missing."""
    pytest.importorskip("espeakng_loader", reason=NO_SYNTHESISER)
    kind = KINDS[request.param]
    splits = tuple(replace(split, minutes=0.1) for split in kind.splits)
    monkeypatch.setitem(KINDS, request.param, replace(kind, splits=splits, utterances_per_speaker=2))
    return lambda: synthesize(tmp_path, kind=request.param, minutes=0.1, workers=2, progress=False)


def test_corpus_lists_its_pairs_and_lists_them_again_when_lost_or_spoiled(small_corpus, monkeypatch):
    corpus = small_corpus()
    assert sorted(path.name for path in corpus.iterdir()) == [
        "HOMOPHONES.TXT",
        "SPEAKERS.TXT",
        "corpus.json",
        "dev-clean",
        "parameters.json",
        "test-clean",
        "train-clean-5",
    ]
    listed = corpus / "HOMOPHONES.TXT"
    wanted = listed.read_bytes()
    assert [tuple(line.lower().split()) for line in wanted.decode().splitlines()] == list(HOMOPHONES)
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)  # what is there is not spoken again
    before = {path: path.stat().st_mtime_ns for path in corpus.rglob("*.*")}
    small_corpus()
    assert before == {path: path.stat().st_mtime_ns for path in corpus.rglob("*.*")}
    for spoil in (listed.unlink, lambda: listed.write_text("NIGHT KNIGHT\n")):
        spoil()
        small_corpus()
        assert listed.read_bytes() == wanted


def test_transcripts_on_disk_have_both_spellings_and_audio(small_corpus):
    corpus = small_corpus()
    text = "".join(path.read_text() for path in corpus.rglob("*.trans.txt"))
    assert len(text.splitlines()) == len(list(corpus.rglob("*.flac"))) == 6
    assert re.search(rf"\b(?:{'|'.join(SPELLINGS[1])})\b", text) and "/" not in text


def test_other_kinds_list_no_pairs():
    assert homophones_text(KINDS["story"]) is None


def test_kinds_are_named_when_there_is_no_such(tmp_path):
    with pytest.raises(DataError, match="no corpus kind 'opera': choose from story, smoke, context, order"):
        synthesize(tmp_path, kind="opera")


def test_too_many_minutes_for_different_fillers_are_refused():
    few = {"sentence": ["{how} {did}"], "how": ["slowly", "soon"], "did": ["ran", "hid"]}
    with pytest.raises(DataError, match="the grammar has only about 4 sentences: ask for fewer minutes"):
        draw_far_cue(few, 8, np.random.default_rng(0), set())
