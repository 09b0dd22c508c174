"""A transducer's stream says what the same recogniser says of the whole, and loses nothing at endpoints."""

import numpy as np
import pytest

from recipes.inference import Transcriber
from recipes.inference.streams.endpoint import Endpoint
from recipes.inference.streams.frame_tokens import FrameTokens
from recipes.inference.streams.utterance import StreamUtterance
from recipes.inference.transcripts.words import TokenSpan
from tests.inference.conftest import PREDICTIONS, noisy_transducer


def transcriber(run, samples, prediction: str) -> Transcriber:
    """It tests as a stream too."""
    return Transcriber(noisy_transducer(run, samples, prediction, test_chunk=4), device="cpu", piece=1e9)


def texts_of(stream, samples) -> list:
    pieces = np.split(samples, [1, 700, 701, 9000, 20011])
    return [text for piece in pieces for text in stream.feed(piece)] + stream.finish()


@pytest.mark.parametrize("prediction", PREDICTIONS)
def test_streamed_text_is_that_of_the_whole(run, samples, prediction):
    recogniser = transcriber(run, samples, prediction)
    expected = recogniser.transcribe(samples, 16000).text
    assert len(expected.split()) > 3
    texts = texts_of(recogniser.stream(chunk=4, endpoint=Endpoint(1e9, 1e9, 1e9)), samples)
    assert [text.final for text in texts] == [False] * (len(texts) - 1) + [True] and len(texts) > 5
    assert texts[-1].text.split() == expected.split()
    times = [time for word in texts[-1].words for time in (word.start, word.end)]
    assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(samples) / 16000
    for endpoint in (Endpoint(0.2, 0.08, 1e9), Endpoint(1e9, 1e9, 0.4)):
        finals = [text.text for text in texts_of(recogniser.stream(chunk=4, endpoint=endpoint), samples) if text.final]
        assert len(finals) > 2 and "".join(finals).replace(" ", "") == expected.replace(" ", "")


def test_rescoring_searches_the_frames_of_the_stream(run, samples):
    recogniser = transcriber(run, samples, "stateless")
    never = Endpoint(1e9, 1e9, 1e9)
    final = texts_of(recogniser.stream(chunk=4, endpoint=never, rescore=True), samples)[-1]
    assert final.final and final.text.split() == recogniser.transcribe(samples, 16000).text.split()


def test_tokens_of_one_frame_share_it():
    utterance = StreamUtterance(10)
    for heard in (FrameTokens(), FrameTokens(((5, 0.5), (6, 0.25))), FrameTokens(goes_on=0.75), FrameTokens()):
        utterance.add(heard)
    spans = [TokenSpan(5, 11, 11.5, 0.5), TokenSpan(6, 11.5, 13, 0.75)]
    assert utterance.spans == spans and utterance.silence == 1
    head, tail = utterance.split(11.5)
    assert (head.spans, head.length, tail.spans, tail.first, tail.length) == (spans[:1], 1, spans[1:], 11, 3)
