"""Long recordings: windows that give the frames of one pass, and searches cut where nobody speaks."""

import functools
from itertools import pairwise

import numpy as np
import pytest
import soundfile
import torch

from data_prep.tokenizer import BLANK
from mixers import Context
from recipes.config import load
from recipes.inference import Transcriber
from recipes.inference.long_recordings.encoding import encode_in_windows
from recipes.inference.long_recordings.pieces import Cuts, choose_cuts, middle_of_longest, pieces
from recipes.inference.long_recordings.windows import Windows
from recipes.models import UtteranceNorm
from tests.support.models import randomised
from tests.support.runs import RECIPE

CUTS = Cuts(whole=40.0, piece=25.0)
SIZES = {"data_folder": "x", "d_model": 16, "heads": 2, "layers": 2, "d_ffn": 32, "kernel_size": 3}


def model_with(mixer: str):
    return randomised(load(RECIPE, {**SIZES, "mixer": mixer}).hparams["model"])


@pytest.mark.parametrize("samples", [640 * 130, 640 * 130 + 1, 640 * 133 + 639, 640 * 500 + 17, 640 * 49])
@torch.inference_mode()
def test_windows_give_the_frames_of_one_pass(samples):
    """Of a model that sees no farther than a margin."""
    model = model_with("local_only")
    assert model.frame_samples == 640
    windows = Windows(2.0, 0.04)  # 50 frames, 6 of them margin on each side
    audio = 0.1 * torch.randn(samples, generator=torch.Generator().manual_seed(0))
    whole = model.encode(audio[None], torch.tensor([samples])).frames[0]
    for at_once in (1, 3):
        frames = encode_in_windows(windows, model.encode, audio, 640, at_once)
        torch.testing.assert_close(frames, whole, atol=2e-4, rtol=1e-4)


@pytest.mark.parametrize("seconds", [24.0, 0.1])
@torch.inference_mode()
def test_windows_begin_where_chunks_do(seconds, run):
    """Under `test_chunk`, attention to one chunk before the own sees no farther than the margin."""
    settings = {"test_search": None, "test_chunk": 16, "test_left_chunks": 1}
    windows = Windows(seconds, 0.04, chunk=16)
    assert [windows.frames % 16, windows.margin % 16] == [0, 0] and 0 < 2 * windows.margin < windows.frames
    model, context = model_with("attention"), Context(16, 1)
    audio = 0.1 * torch.randn(640 * 1000 + 17, generator=torch.Generator().manual_seed(0))
    whole = model.encode(audio[None], torch.tensor([len(audio)]), context).frames[0]
    encode = functools.partial(model.encode, context=context)
    frames = encode_in_windows(windows, encode, audio, 640, 3)
    if seconds > 1:  # a margin of one chunk is less than two layers see
        torch.testing.assert_close(frames, whole, atol=2e-4, rtol=1e-4)
    recognise = Transcriber.load(run, device="cpu", window=seconds, settings=settings).recognise
    assert (recognise.windows.frames, recognise.windows.margin) == (windows.frames, windows.margin)


@torch.inference_mode()
def test_one_pass_is_the_whole_model_at_once(run, minute):
    """In which features and front end go in windows."""
    recognise = Transcriber.load(run, device="cpu").recognise
    samples = torch.from_numpy(soundfile.read(minute, dtype="float32")[0])
    whole = recognise.model.encode(samples[None], torch.tensor([len(samples)])).frames[0]
    torch.testing.assert_close(recognise.in_one_pass(samples), whole, atol=2e-4, rtol=1e-4)
    torch.testing.assert_close(recognise.encode([samples])[0].frames, whole, atol=2e-4, rtol=1e-4)


@torch.inference_mode()
def test_what_is_normalised_by_utterance_is_so_over_all_of_a_long_recording(run, minute):
    """It grows louder, which windows with a mean of their own would hide."""
    recognise = Transcriber.load(run, device="cpu").recognise
    recognise.model.normalize = UtteranceNorm()
    samples = torch.from_numpy(soundfile.read(minute, dtype="float32")[0])
    samples = samples * torch.linspace(0.01, 1, len(samples))
    whole = recognise.model.encode(samples[None], torch.tensor([len(samples)])).frames[0]
    torch.testing.assert_close(recognise.encode([samples])[0].frames, whole, atol=2e-4, rtol=1e-4)


def speech(*spans: tuple[int, bool]) -> torch.Tensor:
    """Log probabilities in which so many frames are silent, or tokens."""
    tokens = [BLANK if silent else 5 + frame % 2 for frames, silent in spans for frame in range(frames)]
    return torch.log_softmax(5.0 * torch.nn.functional.one_hot(torch.tensor(tokens), 8), -1)


def test_cuts_lie_in_the_longest_silence():
    log_probs = speech((400, False), (10, True), (100, False), (20, True), (500, False), (4, True), (200, False))
    assert pieces(log_probs, 0.04, CUTS) == [(0, 520), (520, 1032), (1032, 1234)]


def test_what_is_short_is_not_cut():
    assert pieces(speech((450, False), (100, True), (450, False)), 0.04, CUTS) == [(0, 1000)]


def test_without_silence_it_is_cut_all_the_same():
    cut = pieces(speech((1700, False)), 0.04, CUTS)
    assert cut[0][0] == 0 and cut[-1][1] == 1700
    assert all(end == start for (_, end), (start, _) in pairwise(cut))
    assert max(end - start for start, end in cut) <= 625


def test_pieces_are_of_the_length_of_training_utterances():
    assert choose_cuts(None, 12.0) == choose_cuts(None, None) == Cuts(36.0, 16.0)
    assert choose_cuts(None, 3.0) == Cuts(9.0, 4.0) and choose_cuts(7.0, 3.0) == Cuts(7.0, 7.0)


@pytest.mark.parametrize(("flags", "middle"), [("", None), ("..", None), ("##", 1), (".##.###.", 5), ("#.#", 0)])
def test_the_middle_of_the_longest(flags, middle):
    assert middle_of_longest([flag == "#" for flag in flags]) == middle


@pytest.fixture(scope="module")
def minute(recordings, tmp_path_factory):
    """The recordings one after the other, with silence between, over and over."""
    samples = [np.concatenate([soundfile.read(path)[0], np.zeros(8000)]) for path in recordings]
    path = tmp_path_factory.mktemp("long") / "minute.wav"
    soundfile.write(path, np.concatenate(samples * 5)[: 60 * 16000], 16000)
    return path


@pytest.mark.parametrize("search", ["null", "!new:recipes.decoding.BeamSearch {beam: 2, ctc_weight: 1.0}"])
def test_one_pass_and_pieces_and_windows(search, run, minute):
    """A minute of letters: the words of a cut search stand where greedy CTC has them, in order, to the end."""
    model = Transcriber.load(run, device="cpu", settings={"test_search": search})
    transcript = model.transcribe(minute)
    assert "one pass" in model.describe(60.0)[-1] and len(model.describe(1.0)) == 2
    times = [time for word in transcript.words for time in (word.start, word.end)]
    assert (
        times == sorted(times)
        and times[-1] > 50
        and [word.text for word in transcript.words] == transcript.text.split()
    )
    windowed = Transcriber.load(run, device="cpu", window=12, settings={"test_search": search})
    assert "windows of 12 s that overlap by 3.04 s" in windowed.describe(13.0)[-1]
    assert windowed.transcribe(minute).words[-1].end > 50


def test_a_cut_search_finds_what_each_piece_gives(run, minute):
    """Cut into pieces, a CTC search gives the readings of the pieces, joined."""
    model = Transcriber.load(
        run, device="cpu", settings={"test_search": "!new:recipes.decoding.BeamSearch {beam: 3, ctc_weight: 1.0}"}
    )
    recognise = model.recognise
    samples = torch.from_numpy(soundfile.read(minute, dtype="float32", stop=25 * 16000)[0])
    with torch.inference_mode():
        (encoding,) = recognise.encode([samples])
        cut = pieces(encoding.log_probs, 0.04, recognise.cuts)
        single = [
            recognise.search_all(
                [encoding._replace(frames=encoding.frames[start:end], log_probs=encoding.log_probs[start:end])]
            )
            for start, end in cut
        ]
    tokens = [token for ((part,),) in single for token in part.hypotheses[0].tokens]
    transcript = model.transcribe(samples, 16000, nbest=3)
    assert len(cut) > 2 and transcript.text == model.recognise.tokenizer.decode(tokens)
    assert transcript.score == pytest.approx(sum(part.hypotheses[0].score for ((part,),) in single), rel=1e-4)
    scores = [reading.score for reading in transcript.nbest]
    assert scores == sorted(scores, reverse=True) and transcript.nbest[0].text == transcript.text
