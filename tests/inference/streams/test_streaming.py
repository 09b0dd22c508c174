"""A stream's partial and final texts, its endpoints and errors; transcribe.py --stream."""

import io
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

from data_prep.errors import DataError
from data_prep.tokenizer import detokenize
from mixers import Context
from recipes.decoding.ctc import greedy_ctc
from recipes.errors import RecipeError
from recipes.inference.streams.endpoint import Endpoint
from recipes.inference.streams.frame_tokens import FrameTokens
from recipes.inference.streams.listening import CtcListener
from recipes.inference.streams.stream import advance
from recipes.inference.streams.utterance import StreamUtterance
from tests.inference.conftest import all_texts, cut
from transcribe import main

NEVER = Endpoint(1e9, 1e9, 1e9)


def at_once(transcriber, samples, context) -> str:
    """Greedy CTC of the whole under the same context."""
    recognise, audio = transcriber.recognise, torch.from_numpy(samples / np.float32(2**15))
    with torch.no_grad():
        output = recognise.model(audio[None], torch.tensor([len(audio)]), None, context)
    (tokens,) = greedy_ctc(output.ctc_logits.log_softmax(-1), output.encoded.lengths)
    return detokenize(recognise.tokenizer, tokens)


def joined(texts) -> str:
    return " ".join(text.text for text in texts if text.final)


@pytest.mark.parametrize("left_chunks", [None, 2])
def test_the_text_is_that_of_the_whole_under_its_context(transcriber, samples, left_chunks):
    expected = at_once(transcriber, samples, Context(4, left_chunks))
    assert len(expected.split()) > 3
    for seed in range(2):
        texts = all_texts(transcriber.stream(chunk=4, left_chunks=left_chunks, endpoint=NEVER), cut(samples, seed))
        assert [text.final for text in texts] == [False] * (len(texts) - 1) + [True] and len(texts) > 5
        assert texts[-1].text.split() == expected.split()
        times = [time for word in texts[-1].words for time in (word.start, word.end)]
        assert times == sorted(times) and times[0] >= 0 and times[-1] <= len(samples) / 16000


@pytest.mark.parametrize("endpoint", [Endpoint(0.2, 0.08, 1e9), Endpoint(1e9, 1e9, 0.4), Endpoint(0.2, 0.12, 0.6)])
def test_endpoints_lose_and_repeat_nothing(transcriber, samples, endpoint):
    """Wherever utterances end, letters are those of the whole; and no utterance is longer than it may be."""
    expected = at_once(transcriber, samples, Context(4)).replace(" ", "")
    finals = [text for text in all_texts(transcriber.stream(chunk=4, endpoint=endpoint), cut(samples)) if text.final]
    assert len(finals) > 2
    assert joined(finals).replace(" ", "") == expected
    assert all(before.end <= after.start + 1e-6 for before, after in pairwise(finals))
    assert max(text.end - text.start for text in finals) <= endpoint.longest + 0.041


def test_an_utterance_that_grows_too_long_is_cut_between_words(transcriber):
    """Not within one, where most frames of CTC have no token either."""
    stream, tokenizer = transcriber.stream(chunk=4, endpoint=Endpoint(2.4, 1.2, 4.0)), transcriber.recognise.tokenizer
    words = ["THE", "RIVER"] * 20
    tokens = tokenizer.encode(" ".join(words))
    heard = [FrameTokens(((token, 0.9),) if frame == 0 else ()) for token in tokens for frame in range(4)]
    stream.samples = 640 * len(heard)
    texts = [text.text for text in stream.hear(heard) if text.final]
    assert len(texts) > 2
    assert " ".join([*texts, *(text.text for text in stream.end_utterance(stream.utterance.end))]).split() == words


def test_rules_of_the_endpoint():
    rules, second = Endpoint(), 25  # frames
    silence, said = [0] * 59, [0] * 50 + [7]
    for path, is_met in [
        (silence, False),
        ([*silence, 0], True),
        (said + [0] * 29, False),
        (said + [0] * 30, True),
        ([7, 0] * 10 * second, True),
        ([7, 0] * 9 * second, False),
    ]:
        utterance, listener, state = StreamUtterance(0), CtcListener(), CtcListener().start(1)
        log_probs = torch.nn.functional.one_hot(torch.tensor([path]), 8).float()
        ((*heard,),), state = listener.hear(log_probs, log_probs, state)
        for in_frame in heard:
            utterance.add(in_frame)
        assert rules.is_met(utterance.length, utterance.silence, 1 / second) == is_met


def test_rescoring_is_the_search_over_the_frames_of_the_stream(transcriber, samples):
    (final,) = [
        text
        for text in all_texts(transcriber.stream(chunk=4, endpoint=NEVER, rescore=True), cut(samples[:24000]))
        if text.final
    ]
    recognise = transcriber.recognise
    audio = torch.from_numpy(samples[:24000] / np.float32(2**15))[None]
    with torch.no_grad():
        output = recognise.model(audio, torch.tensor([24000]), None, Context(4))
        log_probs = output.ctc_logits.log_softmax(-1)
        ((best, *_),) = recognise.search(recognise.decoder, output.encoded, log_probs, None)
    assert final.text.split() == detokenize(recognise.tokenizer, best.tokens).split()


def test_streams_advance_together(transcriber, samples):
    """In one batch, also where they began at unlike times: each says what it says alone."""
    parts = [samples[:20000], samples[5000:29000], samples[9000:20000]]
    expected = [all_texts(transcriber.stream(chunk=4), [part]) for part in parts]
    streams, texts = [transcriber.stream(chunk=4) for _ in parts], [[], [], []]
    texts[0] += streams[0].feed(parts[0][:7000])
    streams[0].push(parts[0][7000:])
    for stream, part in zip(streams[1:], parts[1:], strict=True):
        stream.push(part)
    while ready := [number for number in range(3) if streams[number].is_ready()]:
        for number, spoken in zip(ready, advance([streams[number] for number in ready]), strict=True):
            texts[number] += spoken
    for number, stream in enumerate(streams):
        texts[number] += stream.finish()
        assert [text.text for text in texts[number]] == [text.text for text in expected[number]]


def test_a_stream_may_end_anywhere(transcriber, samples):
    """In the middle of a word, and before the first chunk."""
    for size in (1, 700, 5000):
        texts = all_texts(transcriber.stream(chunk=4), [samples[:size]])
        assert joined(texts).split() == at_once(transcriber, samples[:size], Context(4)).split()


@pytest.mark.parametrize("pieces", [[], [np.zeros(0, np.int16)]])
def test_a_stream_without_a_sample_says_nothing(transcriber, pieces):
    stream = transcriber.stream(chunk=4)
    assert all_texts(stream, pieces) == []
    assert (stream.seconds, len(stream.computing)) == (0, 0), "no step of the model, which would hear its own padding"


def test_an_hour_that_is_fed_at_once_is_not_copied_for_each_chunk(transcriber):
    """And a number that numpy counted is a whole number."""
    stream, fed = transcriber.stream(chunk=np.int64(4)), np.arange(10_000, dtype=np.float32) / 10_000
    stream.push(fed)
    (whole,) = stream.waiting
    chunk = stream.next_chunk()
    assert len(stream.waiting) == 1 and np.shares_memory(stream.waiting[0], whole)
    stream.push(fed)
    rest = stream.taken(12_000)
    np.testing.assert_array_equal([*chunk, *rest], [*fed, *fed][: len(chunk) + 12_000])
    assert stream.samples_waiting() == 20_000 - len(chunk) - 12_000


def test_errors(transcriber, samples):
    for options, message in [
        ({"chunk": 0}, "chunk must be a whole number from 1 up, not 0"),
        ({"left_chunks": -1}, "left_chunks must be a whole number from 0 up, not -1"),
        ({"endpoint": Endpoint(longest=0)}, "endpoint: longest must be a number of seconds above 0, not 0"),
    ]:
        with pytest.raises(RecipeError, match=message):
            transcriber.stream(**options)
    stream = transcriber.stream()
    for piece, rate, message in [
        (samples, 8000, "a stream takes samples at 16000 Hz, not 8000"),
        (samples[:, None], 16000, r"samples of shape \[\d+, 1\]; a stream takes \[samples\], one channel"),
        ([0.0, float("nan")], 16000, "samples that are no numbers"),
        (None, 16000, "a stream: samples are wanted, not NoneType"),
    ]:
        with pytest.raises(DataError, match=message):
            stream.feed(piece, rate)
    stream.finish()
    for call in (stream.finish, lambda: stream.feed(samples)):
        with pytest.raises(DataError, match="the stream is finished: open another one"):
            call()


def command(*options) -> int:
    return main([*map(str, options), "--device", "cpu"])


def test_command_streams_files_and_standard_input(run, recordings, monkeypatch, capsys):
    assert command(run, recordings[0], "--stream", "--chunk", "4") == 0
    shown = capsys.readouterr()
    assert "known after 162.5 ms" in shown.err and "real-time factor" in shown.err
    lines = shown.out.splitlines()
    assert lines and all(0 <= float(start) < float(end) for start, end, _ in (line.split("\t") for line in lines))
    bare = soundfile.read(recordings[0], dtype="int16")[0].astype("<i2").tobytes()
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=io.BufferedReader(io.BytesIO(bare))))
    assert command(run, "-", "--stream", "--chunk", "4") == 0
    assert capsys.readouterr().out.splitlines() == lines


def test_command_errors(run, recordings, monkeypatch, capsys):
    monkeypatch.setitem(sys.modules, "sounddevice", None)
    for options, message in [
        ([recordings[0], "--stream", "--chunk", "0"], "chunk must be a whole number from 1 up, not 0"),
        ([recordings[0], "--stream", "--format", "srt"], "--format is not for streams"),
        (["-", "--stream", "--rate", "8000"], "--rate 8000: a stream of bare samples must have 16000 Hz"),
        (["--microphone"], "--microphone needs sounddevice (pip install sounddevice)"),
        ([recordings[0], "--microphone"], "--microphone hears the microphone alone"),
    ]:
        assert command(run, *options) == 2
        assert message in capsys.readouterr().err


def test_a_stream_that_fails_takes_no_other_with_it(transcriber, samples, monkeypatch):
    """Neither one whose own text fails, nor a batch of streams whose states are of another size."""
    expected = [text.text for text in all_texts(transcriber.stream(chunk=4), [samples[:20000]])]
    sound, broken, others = (transcriber.stream(chunk=chunk) for chunk in (4, 4, 8))
    sound.push(samples[:20000])
    broken.push(samples[:20000])
    others.push(samples[:20000])
    monkeypatch.setattr(broken, "hear_chunk", lambda *_: 1 / 0)
    model_step = transcriber.recognise.model.step
    chunk = others.needed

    def step(audio, state, last=False):
        if audio.shape[1] == chunk:
            raise RuntimeError("out of memory")
        return model_step(audio, state, last)

    monkeypatch.setattr(transcriber.recognise.model, "step", step)
    heard, failed, lost = advance([sound, broken, others])
    assert isinstance(failed, ZeroDivisionError) and str(lost) == "out of memory"
    while sound.is_ready():
        heard += advance([sound])[0]
    assert [text.text for text in heard + sound.finish()] == expected
