"""The benchmark of word times: true times from the synthesiser, and the figures made of them."""

import numpy as np
import pytest
import soundfile

from benchmarks.timestamps import Spoken, auc, compare, speak_all
from data_prep.errors import DataError
from data_prep.synthesize import synthesize
from recipes.inference.transcripts.transcript import Transcript, Word

pytest.importorskip("espeakng_loader")


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return synthesize(tmp_path_factory.mktemp("corpus"), kind="smoke", minutes=0.1, workers=1, progress=False)


def test_true_times_are_those_of_the_recordings(corpus):
    recordings = speak_all(corpus, "test-clean")
    words = [word for recording in recordings for word in recording.words if word is not None]
    assert len(words) > 0.9 * sum(len(recording.text.split()) for recording in recordings)
    for recording in recordings:
        samples, rate = soundfile.read(recording.audio)
        loudness = np.abs(samples)
        own = [word for word in recording.words if word is not None]
        times = [time for word in own for time in (word.start, word.end)]
        assert times == sorted(times) and times[-1] < len(samples) / rate
        speech = slice(round(times[0] * rate), round(times[-1] * rate))
        assert loudness[: speech.start].mean() < 0.2 * loudness[speech].mean(), "before the first word is silence"
        assert loudness[speech.stop + 400 :].mean() < 0.2 * loudness[speech].mean()


def test_another_corpus_is_refused(corpus):
    recordings = sorted(corpus.rglob("test-other/**/*.flac"))
    soundfile.write(recordings[0], np.zeros(16000), 16000)
    with pytest.raises(DataError, match=r"is not what espeak-ng speaks on this machine"):
        speak_all(corpus, "test-other")
    with pytest.raises(DataError, match="has no speakers in test-nobody"):
        speak_all(corpus, "test-nobody")
    with pytest.raises(DataError, match=r"was not made by data_prep\.synthesize: its speech has no known times$"):
        speak_all(corpus / "test-clean", "test-clean")


def test_figures():
    true = [Word("A", 0.0, 0.5, 1.0), None, Word("C", 1.0, 1.5, 1.0), Word("D", 2.0, 2.5, 1.0)]
    heard = [Word("A", 0.01, 0.5, 0.9), Word("B", 0.5, 0.9, 0.8), Word("X", 1.0, 1.5, 0.1), Word("D", 2.03, 2.4, 0.7)]
    figures = compare([Spoken("a.flac", "A B C D", true)], [Transcript("a", "A B X D", 3.0, heard)])
    assert figures == {
        "recordings": 1,
        "words": 2,
        "start_median_ms": 20.0,
        "start_p90_ms": 28.0,
        "start_bias_ms": 20.0,
        "end_median_ms": 50.0,
        "end_p90_ms": 90.0,
        "end_bias_ms": -50.0,
        "wrong_words": 1,
        "confidence_right": 0.8,
        "confidence_wrong": 0.1,
        "confidence_auc": 1.0,
    }


def test_equal_confidences_tell_nothing():
    assert auc([0.5, 0.5], [0.5]) == 0.5 and auc([0.9, 0.1], [0.5]) == 0.5
