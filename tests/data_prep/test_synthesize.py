"""The demo corpus: what it holds, that it repeats byte for byte, that it overwrites nothing of anybody's."""

import json
import os
import shutil
import subprocess
import sys
from collections import Counter
from dataclasses import asdict, replace
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.errors import DataError
from data_prep.synthesize import main, synthesize
from data_prep.synthetic import KINDS, Speaker, plan
from data_prep.synthetic.grammar import STORY, draw_sentences, transcript
from data_prep.synthetic.recording import SAMPLE_RATE, record

SPLITS = ["dev-clean", "test-clean", "test-other", "train-clean-5"]
NO_SYNTHESISER = "the speech synthesiser is not installed: pip install -r requirements-demo.txt"
TINY = {"kind": "smoke", "minutes": 0.6, "progress": False}


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    pytest.importorskip("espeakng_loader", reason=NO_SYNTHESISER)
    return synthesize(tmp_path_factory.mktemp("corpus"), **TINY, workers=2)


@pytest.fixture
def own_corpus(corpus, tmp_path):
    """A copy that a test may spoil."""
    return Path(shutil.copytree(corpus, tmp_path / "LibriSpeech"))


@pytest.fixture
def no_loader(monkeypatch):
    monkeypatch.setitem(sys.modules, "espeakng_loader", None)


def contents(folder):
    return {str(path.relative_to(folder)): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def transcripts(corpus, split):
    """{utterance ID: words} as a reader of LibriSpeech would find them."""
    files = (corpus / split).glob("*/*/*.trans.txt")
    return dict(line.split(" ", 1) for file in files for line in file.read_text().splitlines())


def test_layout_is_librispeech(corpus):
    assert corpus.name == "LibriSpeech"
    assert sorted(path.name for path in corpus.iterdir() if path.is_dir()) == SPLITS
    for split in SPLITS:
        spoken = transcripts(corpus, split)
        audio = {path.stem: path for path in (corpus / split).glob("*/*/*.flac")}
        assert spoken and spoken.keys() == audio.keys()
        for utterance_id, file in audio.items():
            speaker_id, chapter_id, number = utterance_id.split("-")
            assert file.parent == corpus / split / speaker_id / chapter_id and len(number) == 4


def test_audio_is_16_khz_flac_of_plausible_length_and_level(corpus):
    for split in SPLITS:
        for utterance_id, words in transcripts(corpus, split).items():
            speaker_id, chapter_id, _ = utterance_id.split("-")
            file = corpus / split / speaker_id / chapter_id / f"{utterance_id}.flac"
            header = soundfile.info(file)
            assert (header.format, header.subtype) == ("FLAC", "PCM_16")
            assert (header.samplerate, header.channels) == (16000, 1)
            samples, _ = soundfile.read(file)
            assert 0.2 < header.duration / len(words.split()) < 0.9
            assert 0.25 < np.abs(samples).max() <= 0.901


def test_transcripts_are_upper_case_words_of_the_grammar(corpus):
    words = " ".join(" ".join(transcripts(corpus, split).values()) for split in SPLITS).split()
    assert 20 <= len(set(words)) <= 30
    assert all(word.isalpha() and word.isupper() for word in words)


def test_speakers_file_and_summary_count_what_is_there(corpus):
    lines = (corpus / "SPEAKERS.TXT").read_text().splitlines()
    rows = [line.split("|") for line in lines if not line.startswith(";")]
    listed = {(split.strip(), speaker.strip()) for speaker, _, split, _, _ in rows}
    assert listed == {(split, path.name) for split in SPLITS for path in (corpus / split).iterdir()}
    assert {sex.strip() for _, sex, _, _, _ in rows} == {"F", "M"}
    summary = json.loads((corpus / "corpus.json").read_text())
    assert summary["parameters"]["kind"] == "smoke" and summary["parameters"]["seed"] == 0
    for split in SPLITS:
        spoken = transcripts(corpus, split)
        seconds = sum(soundfile.info(path).duration for path in (corpus / split).glob("*/*/*.flac"))
        assert summary["splits"][split] == {
            "speakers": len(list((corpus / split).iterdir())),
            "utterances": len(spoken),
            "words": sum(len(words.split()) for words in spoken.values()),
            "minutes": pytest.approx(seconds / 60, abs=0.01),
        }


def test_same_bytes_whatever_the_number_of_workers(corpus, tmp_path):
    again = synthesize(tmp_path, **TINY, workers=1)
    assert contents(again) == contents(corpus)


def test_other_seed_gives_other_sentences():
    first, second = (plan(KINDS["smoke"], seed) for seed in (0, 1))
    assert [speaker.sentences for speaker in first] != [speaker.sentences for speaker in second]


@pytest.mark.parametrize("kind", KINDS)
def test_no_sentence_comes_twice_and_no_voice_in_two_splits(kind):
    speakers = plan(KINDS[kind], 0)
    sentences = [transcript(sentence) for speaker in speakers for sentence in speaker.sentences]
    assert len(sentences) == len(set(sentences))
    assert len({speaker.speaker_id for speaker in speakers}) == len(speakers)
    splits_of_voice = {}
    for speaker in speakers:
        splits_of_voice.setdefault((speaker.variant, speaker.accent), set()).add(speaker.split)
    assert all(len(splits) == 1 for splits in splits_of_voice.values())


@pytest.mark.parametrize("kind", ["story", "smoke"])
def test_test_other_has_variants_accents_and_noise_of_its_own(kind):
    speakers = plan(KINDS[kind], 0)
    test_other = [speaker for speaker in speakers if speaker.split == "test-other"]
    clean = [speaker for speaker in speakers if speaker.split != "test-other"]
    assert not {speaker.variant for speaker in test_other} & {speaker.variant for speaker in clean}
    assert not {speaker.accent for speaker in test_other} & {speaker.accent for speaker in clean}
    assert max(speaker.noise[1] for speaker in test_other) <= min(speaker.noise[0] for speaker in clean)


def test_story_has_short_sentences_of_words_that_all_occur_in_training():
    speakers = plan(KINDS["story"], 0)
    training = [speaker for speaker in speakers if speaker.split.startswith("train")]
    sentences, trained = (
        [words.split() for speaker in group for words in speaker.transcripts.values()] for group in (speakers, training)
    )
    vocabulary = {word for sentence in sentences for word in sentence}
    assert 130 <= len(vocabulary) <= 150
    assert {4, 12} <= {len(sentence) for sentence in sentences} <= set(range(4, 13))
    times = Counter(word for sentence in trained for word in sentence)
    assert min(times[word] for word in vocabulary) >= 20


def test_more_training_minutes_leave_the_rest_as_it_was():
    short, long = (plan(KINDS["story"].with_minutes(minutes), 0) for minutes in (10, 20))
    others = [speaker for speaker in short if not speaker.split.startswith("train")]
    assert others == long[: len(others)]
    voices = [(speaker.accent, speaker.variant) for speaker in short]
    assert voices == [(speaker.accent, speaker.variant) for speaker in long[: len(short)]]
    assert len(long) > len(short)


def test_grammar_that_runs_dry_says_so():
    four = {"sentence": ["the {colour} fox {did}"], "colour": ["red", "grey"], "did": ["ran", "hid"]}
    assert len(draw_sentences(four, 4, np.random.default_rng(0), set())) == 4
    with pytest.raises(DataError, match="the grammar has only about 4 sentences: ask for fewer minutes"):
        draw_sentences(four, 5, np.random.default_rng(0), set())


def test_grammar_avoids_used_sentences():
    used = set()
    first = draw_sentences(STORY, 200, np.random.default_rng(0), used)
    second = draw_sentences(STORY, 200, np.random.default_rng(0), used)
    assert not set(first) & set(second) and used == {*first, *second}


@pytest.mark.parametrize("tract", [0.92, 1.1])
def test_record_adds_silence_noise_and_level_without_clipping(tract):
    tone = 20000 * np.sin(2 * np.pi * 440 * np.arange(22050) / 22050)
    recording = record(tone, 22050, tract, (20, 35), np.random.default_rng(3))
    assert recording.dtype == np.int16
    assert 1.2 <= len(recording) / SAMPLE_RATE * tract <= 1.6
    loud = np.flatnonzero(np.abs(recording) > 0.5 * np.abs(recording).max()) / SAMPLE_RATE * tract
    assert 0.1 <= loud[0] <= 0.31 and 0.1 <= len(recording) / SAMPLE_RATE * tract - loud[-1] <= 0.31
    spectrum = np.abs(np.fft.rfft(recording, 4 * SAMPLE_RATE))
    assert np.argmax(spectrum) / 4 == pytest.approx(440 * tract, rel=0.01)
    assert 0.25 * 32767 < np.abs(recording.astype(int)).max() <= 0.9 * 32767 + 1
    assert np.abs(recording[: SAMPLE_RATE // 20]).max() > 0


def spoil_speaker(corpus):
    shutil.rmtree(next(iter(sorted((corpus / "train-clean-5").iterdir()))))


def spoil_audio(corpus):
    next(iter(sorted((corpus / "dev-clean").glob("*/*/*.flac")))).unlink()


def spoil_summary(corpus):
    (corpus / "corpus.json").unlink()


def spoil_like_a_killed_call(corpus):
    speaker = next(iter(sorted((corpus / "test-other").iterdir())))
    speaker.rename(speaker.with_name(f".{speaker.name}.unfinished"))
    (corpus / "corpus.json").unlink()
    (corpus / "SPEAKERS.TXT").unlink()


@pytest.mark.parametrize("spoil", [spoil_speaker, spoil_audio, spoil_summary, spoil_like_a_killed_call])
def test_what_is_missing_is_made_again_and_the_rest_kept(corpus, own_corpus, spoil):
    spoil(own_corpus)
    kept = {path: path.stat().st_mtime_ns for path in own_corpus.glob("test-clean/*/*/*")}
    synthesize(own_corpus.parent, **TINY, workers=2)
    assert contents(own_corpus) == contents(corpus)
    assert kept == {path: path.stat().st_mtime_ns for path in own_corpus.glob("test-clean/*/*/*")}


def test_finished_corpus_is_reused_without_synthesiser(own_corpus, no_loader):
    before = {path: path.stat().st_mtime_ns for path in own_corpus.rglob("*")}
    assert synthesize(own_corpus.parent, **TINY) == own_corpus
    assert before == {path: path.stat().st_mtime_ns for path in own_corpus.rglob("*")}


def test_folder_of_another_corpus_is_refused(tmp_path):
    recording = tmp_path / "LibriSpeech" / "dev-clean" / "84" / "121123" / "84-121123-0000.flac"
    recording.parent.mkdir(parents=True)
    recording.write_bytes(b"real speech")
    with pytest.raises(DataError, match=r"LibriSpeech holds other files \(dev-clean\): give another"):
        synthesize(tmp_path, **TINY)
    assert contents(tmp_path) == {str(recording.relative_to(tmp_path)): b"real speech"}


def test_corpus_of_other_parameters_is_refused(own_corpus):
    before = contents(own_corpus)
    with pytest.raises(DataError, match=r'holds another corpus, .*"seed": 0}, not .*"seed": 7}: give'):
        synthesize(own_corpus.parent, **TINY, seed=7)
    assert contents(own_corpus) == before


def test_missing_synthesiser_is_a_single_line_with_the_remedy(tmp_path, no_loader, capsys):
    with pytest.raises(DataError, match=r"pip install -r requirements-demo.txt"):
        synthesize(tmp_path / "function", **TINY)
    assert main([str(tmp_path / "command"), "--kind", "smoke"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1
    assert "pip install -r requirements-demo.txt" in message


@pytest.mark.parametrize(
    "parameters, message",
    [
        ({"kind": "opera"}, "no corpus kind 'opera': choose from story, smoke"),
        ({"minutes": 0}, "minutes is 0: give the minutes of training audio, more than 0"),
        ({"minutes": float("nan")}, "minutes is nan"),
        ({"workers": 0}, "workers is 0: give 1 or more"),
        ({"minutes": 9999}, "ask for fewer minutes"),
    ],
    ids=["kind", "minutes", "not-a-number", "workers", "too-long"],
)
def test_impossible_parameters_are_named(tmp_path, parameters, message):
    with pytest.raises(DataError, match=message):
        synthesize(tmp_path, **{**TINY, **parameters})
    assert not list(tmp_path.iterdir())


def test_unwritable_folder_is_a_single_line(tmp_path, capsys):
    (tmp_path / "taken").write_text("a file, not a folder")
    assert main([str(tmp_path / "taken"), "--kind", "smoke"]) == 2
    message = capsys.readouterr().err
    assert message.startswith("error: ") and message.count("\n") == 1 and "taken" in message


def test_voice_that_does_not_exist_is_named(tmp_path, monkeypatch):
    pytest.importorskip("espeakng_loader", reason=NO_SYNTHESISER)
    dev, *others = KINDS["smoke"].splits
    broken = replace(KINDS["smoke"], splits=(replace(dev, variants=("nobody",)), *others))
    monkeypatch.setitem(KINDS, "broken", broken)
    with pytest.raises(DataError, match=r"speaker 1001 \(en(-us)?\+nobody\): this espeak-ng has no voice"):
        synthesize(tmp_path, **{**TINY, "kind": "broken"}, workers=1)
    assert not (tmp_path / "LibriSpeech" / "corpus.json").exists()


def test_a_script_without_main_guard_may_call_it_from_anywhere(corpus, own_corpus, tmp_path):
    spoil_speaker(own_corpus)
    script = tmp_path / "script.py"
    call = f"synthesize({str(own_corpus.parent)!r}, kind='smoke', minutes=0.6, workers=2)"
    script.write_text(f"print('imported')\nfrom data_prep.synthesize import synthesize\n{call}\n")
    environment = {**os.environ, "PYTHONPATH": str(Path(__file__).parents[2])}
    ran = subprocess.run([sys.executable, script], cwd=tmp_path, env=environment, capture_output=True, text=True)
    assert (ran.returncode, ran.stdout) == (0, "imported\n"), ran.stderr
    assert contents(own_corpus) == contents(corpus)


def test_speaker_survives_the_journey_to_the_worker():
    speaker = plan(KINDS["smoke"], 0)[0]
    received = Speaker(**json.loads(json.dumps(asdict(speaker))))
    assert received.transcript_text == speaker.transcript_text and received.folder == speaker.folder
