"""Transcriber: the same text alone, batched, as samples, in threads, and as evaluate.py writes it."""

import re
import shutil
from concurrent.futures import ThreadPoolExecutor

import numpy as np
import pytest
import soundfile
import torch

import evaluate
from data_prep.errors import DataError
from recipes.errors import RecipeError
from recipes.inference import Transcriber
from recipes.inference.release.__main__ import main as release
from recipes.scoring import DecodedUtterance, decoded_file
from tests.support.commands import ROOT, RUN


@pytest.fixture(scope="module")
def transcriber(run):
    return Transcriber.load(run, device="cpu")


@pytest.fixture(scope="module")
def greedy(run):
    return Transcriber.load(run, device="cpu", settings={"test_search": None})


def plain(transcript) -> tuple:
    """A transcript with its numbers to so many digits as sums in another order keep."""
    words = [(word.text, word.start, word.end, pytest.approx(word.confidence, abs=1e-4)) for word in transcript.words]
    return transcript.text, transcript.duration, words


@pytest.mark.parametrize("model", ["transcriber", "greedy"])
def test_alone_as_batched_as_samples(model, request, recordings):
    model = request.getfixturevalue(model)
    batched = model.transcribe(recordings)
    assert len({transcript.text for transcript in batched}) > 3, "the noise hears differences"
    assert [transcript.audio for transcript in batched] == recordings
    for path, transcript in zip(recordings, batched, strict=True):
        samples, rate = soundfile.read(path, dtype="int16")
        assert plain(model.transcribe(path)) == plain(transcript)
        assert plain(model.transcribe(samples, rate)) == plain(transcript)
        assert plain(model.transcribe(torch.from_numpy(samples / np.float32(2**15)), rate)) == plain(transcript)


def test_words_are_those_of_the_text_and_in_order(transcriber, recordings):
    for transcript in transcriber.transcribe(recordings):
        assert [word.text for word in transcript.words] == transcript.text.split()
        times = [time for word in transcript.words for time in (word.start, word.end)]
        assert times == sorted(times) and times[0] >= 0 and times[-1] <= transcript.duration
        assert all(word.start < word.end and 0 < word.confidence <= 1 for word in transcript.words)


def test_it_writes_what_evaluate_writes(run, corpus, transcriber, greedy, tmp_path):
    command = [str(run), "--out", str(tmp_path), "--device", "cpu", "--noprogressbar", "--workers", "0"]
    assert evaluate.main([*command, "--nbest", "2"]) == 0
    for utterance in DecodedUtterance.read_all(decoded_file(tmp_path, "test-clean")):
        audio = tmp_path / utterance.audio
        transcript = transcriber.transcribe(audio, nbest=2)
        assert (transcript.text, greedy.transcribe(audio).text) == (utterance.hypothesis, utterance.greedy)
        assert [text.text for text in transcript.nbest] == [text.text for text in utterance.nbest]
        assert transcript.score == transcript.nbest[0].score == pytest.approx(utterance.score, abs=1e-3)


def test_a_recipe_that_tests_as_a_stream_transcribes_so(run, transcriber, recordings, tmp_path):
    """Under the context of its tests, as evaluate.py does."""
    keys = {"test_chunk": 2, "test_left_chunks": 1}
    options = [f"--{key}={value}" for key, value in keys.items()] + ["--device", "cpu", "--noprogressbar"]
    assert evaluate.main([str(run), "--out", str(tmp_path), "--workers", "0", *options]) == 0
    model = Transcriber.load(run, device="cpu", settings=keys)
    for utterance in DecodedUtterance.read_all(decoded_file(tmp_path, "test-clean")):
        assert model.transcribe(tmp_path / utterance.audio).text == utterance.hypothesis
    texts, whole = ([item.text for item in engine.transcribe(recordings)] for engine in (model, transcriber))
    assert texts != whole


def test_threads_share_it(transcriber, recordings):
    expected = transcriber.transcribe(recordings)
    with ThreadPoolExecutor(4) as threads:
        texts = threads.map(lambda path: transcriber.transcribe(path).text, recordings * 3)
        assert list(texts) == [transcript.text for transcript in expected] * 3


def test_threads_share_an_ngram_search(run, recordings, tmp_path):
    pytest.importorskip("flashlight.lib.text")
    (tmp_path / "1.arpa").write_text(
        "\\data\\\nngram 1=4\n\n\\1-grams:\n-1\t<unk>\n-99\t<s>\n-1\t</s>\n-0.5\tA\n\n\\end\\\n"
    )
    model = Transcriber.load(run, device="cpu", ngram=tmp_path / "1.arpa")
    expected = [model.transcribe(path).text for path in recordings]
    with ThreadPoolExecutor(4) as threads:
        assert list(threads.map(lambda path: model.transcribe(path).text, recordings * 3)) == expected * 3


def test_a_long_list_comes_back_in_its_order(run, recordings):
    model = Transcriber.load(run, device="cpu", batch_seconds=1.0)  # every recording a batch, groups of a few
    many = [*reversed(recordings), *recordings]
    assert [transcript.audio for transcript in model.transcribe(many)] == many


def test_a_release_writes_the_same(run, recordings, transcriber, tmp_path):
    assert release([str(run), str(tmp_path / "out")]) == 0
    released = Transcriber.load(tmp_path / "out", device="cpu")
    assert list(map(plain, released.transcribe(recordings))) == list(map(plain, transcriber.transcribe(recordings)))
    assert released.describe(1.0)[0].startswith(f"{tmp_path / 'out'}, release quickstart")
    narrow = Transcriber.load(tmp_path / "out", device="cpu", settings={"test_search.beam": 1})
    assert narrow.describe(1.0)[1].startswith("BeamSearch with beam 1, ")
    for options, message in (
        ({"average": "best-2"}, "leave out --average"),
        ({"settings": {"lr": 1}}, "--lr says what"),
    ):
        with pytest.raises(RecipeError, match=message):
            Transcriber.load(tmp_path / "out", **options)


def test_the_examples_of_the_page(run, recordings, tmp_path, monkeypatch, capsys):
    blocks = re.findall(r"^```python\n(.*?)^```$", (ROOT / "docs" / "use.md").read_text(), re.MULTILINE | re.DOTALL)
    (tmp_path / RUN).parent.mkdir(parents=True)
    (tmp_path / RUN).symlink_to(run)
    (tmp_path / "talk.flac").symlink_to(recordings[0])
    monkeypatch.chdir(tmp_path)
    exec(compile("\n".join(blocks), "use.md", "exec"), {})
    shown = capsys.readouterr().out.splitlines()
    assert len(blocks) == 2 and len(shown) == 3
    assert shown[0] == Transcriber.load(run).transcribe(recordings[0]).text


# --- what cannot be -------------------------------------------------------------------------------------------------


def test_a_bad_recording_is_named(transcriber, recordings, tmp_path):
    with pytest.raises(DataError, match=rf"^{tmp_path}/gone\.wav: No such file or directory$"):
        transcriber.transcribe([recordings[0], tmp_path / "gone.wav"])
    with pytest.raises(RecipeError, match=r"^rate=8000 is for samples, and .*\.flac is a file, which has its own"):
        transcriber.transcribe(recordings[:2], 8000)
    with pytest.raises(DataError, match=r"^recording 1: samples need their rate"):
        transcriber.transcribe([recordings[0], np.zeros(16000)])
    with pytest.raises(DataError, match=r"^recording: 20 ms of audio hold no word"):
        transcriber.transcribe(np.zeros(320), 16000)


def test_readings_that_there_are_not(transcriber, greedy):
    for model, nbest, message in ((transcriber, 0, "must be 1 or more, not 0"), (greedy, 2, "2: greedy CTC")):
        with pytest.raises(RecipeError, match=f"^--nbest {message}"):
            model.transcribe(np.zeros(16000), 16000, nbest=nbest)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"device": "cuda:99"}, "device cuda:99 cannot be used: "),
        ({"device": "toaster"}, "device toaster cannot be used: "),
        ({"window": 0}, "window must be a number of seconds above 0, not 0"),
        ({"piece": -1}, "piece must be a number of seconds above 0, not -1"),
        ({"batch_seconds": -1}, "batch_seconds must be a number of seconds above 0, not -1"),
        ({"precision": "int3"}, "precision must be one of fp32, bf16, fp16, not int3"),
        ({"settings": {"d_model": 8}}, "--d_model says what was trained and cannot change any more"),
        ({"settings": {"test_search": None}, "ngram": "x.arpa"}, "--ngram and --test_search both choose the search"),
        ({"ngram": "none.arpa"}, "no n-gram none.arpa"),
        ({"average": "best-x"}, "there is no average 'best-x'"),
    ],
)
def test_options_that_cannot_be(run, options, message):
    with pytest.raises(RecipeError, match=message.replace("(", r"\(")) as error:
        Transcriber.load(run, **options)
    assert "\n" not in str(error.value)


@pytest.mark.parametrize(
    ("lacks", "message"),
    [
        ("recipe.yaml", "run is no run folder (it has no recipe.yaml): give first one that train.py wrote"),
        ("tokenizer/tokenizer.model", "tokenizer.model is missing: it is the one that this run was trained with"),
        ("averaged.ckpt checkpoints", "holds no checkpoint and no averaged.ckpt: train first"),
    ],
)
def test_an_incomplete_run_folder(run, lacks, message, tmp_path):
    folder = shutil.copytree(run, tmp_path / "run")
    for name in lacks.split():
        path = folder / name
        shutil.rmtree(path) if path.is_dir() else path.unlink()
    with pytest.raises(DataError) as error:
        Transcriber.load(folder)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_no_folder_at_all(tmp_path):
    with pytest.raises(RecipeError, match=r"none is no run folder \(there is no such folder\)"):
        Transcriber.load(tmp_path / "none")
