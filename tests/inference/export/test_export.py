"""A run as an ONNX file: what it gives equals torch, and transcribing with it needs no torch."""

import json
import math
import os
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from benchmarks.inference.command import Bench  # noqa: E402
from benchmarks.inference.command import main as benchmark  # noqa: E402
from recipes.config import load  # noqa: E402
from recipes.errors import RecipeError  # noqa: E402
from recipes.inference import Transcriber  # noqa: E402
from recipes.inference.audio.reading import read_audio  # noqa: E402
from recipes.inference.audio.recordings import find_recordings  # noqa: E402
from recipes.inference.export import files, graph  # noqa: E402
from recipes.inference.export.__main__ import main as export  # noqa: E402
from recipes.inference.export.parts import largest_distance  # noqa: E402
from recipes.inference.long_recordings.windows import Windows  # noqa: E402
from recipes.inference.onnx.engine import OnnxEngine  # noqa: E402
from recipes.inference.onnx.info import OnnxInfo  # noqa: E402
from recipes.inference.onnx.model import OnnxModel  # noqa: E402
from recipes.inference.recognition.loading import Settings, load_model  # noqa: E402
from recipes.scoring import RunSummary  # noqa: E402
from tests.support.checkpoints import room_for  # noqa: E402
from tests.support.runs import ROOT  # noqa: E402
from transcribe import main  # noqa: E402

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def loaded(run):
    return load_model(run, Settings({"test_search": None}))


@pytest.fixture(scope="module")
def exported(run, tmp_path_factory) -> Path:
    out = tmp_path_factory.mktemp("exported") / "model.onnx"
    assert export([str(run), str(out)]) == 0
    return out


@pytest.fixture(scope="module")
def model(exported) -> OnnxModel:
    return OnnxModel(exported, threads=1)


def test_a_recipe_that_decodes_in_chunks_is_exported_in_chunks_alone(loaded, tmp_path, monkeypatch):
    """A file that sees whole recordings would give other texts than the run."""
    monkeypatch.setitem(loaded.recipe.hparams, "test_chunk", 4)
    monkeypatch.setitem(loaded.recipe.hparams, "test_left_chunks", 2)
    with pytest.raises(RecipeError, match=r"give --part stream --chunk 4 --left_chunks 2$"):
        files.export_model(loaded, tmp_path / "model.onnx")


def test_a_full_disk_leaves_no_part_of_a_file(exported, tmp_path):
    """Which would stand in the way of the same command."""
    content = onnx.load(exported)
    with room_for(10_000), pytest.raises(OSError):
        files.save(content, tmp_path / "model.onnx", {})
    assert list(tmp_path.iterdir()) == []
    files.save(content, tmp_path / "model.onnx", {})
    assert (tmp_path / "model.onnx").stat().st_size > 10_000


def test_log_probs_equal_torchs_whatever_the_batch(model, loaded, recordings):
    audios = [read_audio(path) for path in recordings]
    together = model.encode(audios)
    for audio, log_probs in zip(audios, together, strict=True):
        with torch.no_grad():
            output = loaded.model(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
        np.testing.assert_allclose(log_probs, output.ctc_logits[0].log_softmax(-1), atol=1e-4)
        np.testing.assert_allclose(model.encode([audio])[0], log_probs, atol=1e-4)


def test_what_stands_in_padding_changes_nothing(model, recordings):
    audio = read_audio(recordings[0])
    noise = np.random.default_rng(0).normal(0, 1, (2, len(audio) + 9000)).astype(np.float32)
    noise[:, : len(audio)] = audio
    lengths = np.array([len(audio), noise.shape[1]])
    log_probs, frames = model.session(audio=noise, lengths=lengths)
    np.testing.assert_allclose(log_probs[0, : frames[0]], model.encode([audio])[0], atol=1e-4)


def test_texts_and_times_are_those_of_torch(exported, run, recordings, tmp_path, capsys):
    for folder, options in (("torch", [str(run), "--test_search", "null", "--device", "cpu"]), ("onnx", ["--onnx"])):
        given = [options[0], *recordings, *options[1:]] if folder == "torch" else ["--onnx", str(exported), *recordings]
        assert main([*given, "--format", "json", "--out", str(tmp_path / folder)]) == 0
    assert "greedy CTC" in capsys.readouterr().err
    for path in sorted((tmp_path / "torch").iterdir()):
        expected, transcript = (json.loads((tmp_path / kind / path.name).read_text()) for kind in ("torch", "onnx"))
        assert transcript["text"] == expected["text"] and len(transcript["words"]) == len(expected["words"]) > 0
        for word, other in zip(transcript["words"], expected["words"], strict=True):
            assert (word["text"], word["start"], word["end"]) == (other["text"], other["start"], other["end"])
            assert word["confidence"] == pytest.approx(other["confidence"], abs=2e-3)


def test_transcribing_imports_neither_torch_nor_speechbrain(exported, recordings, run):
    program = (
        "import sys, transcribe\n"
        "assert transcribe.main(sys.argv[1:]) == 0\n"
        "print([name for name in ('torch', 'torchaudio', 'speechbrain') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, "--onnx", str(exported), recordings[0], "--threads", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    text = Transcriber.load(run, settings={"test_search": None}, device="cpu").transcribe(recordings[0]).text
    assert done.stdout.splitlines() == [text, "[]"]


def test_long_recordings_go_in_windows_where_these_are_asked_for(model, recordings, tmp_path):
    audio = np.concatenate([read_audio(path) for path in recordings] * 3)
    soundfile.write(tmp_path / "long.wav", audio, 16000, subtype="FLOAT")
    engine = OnnxEngine(model, window=4.0)
    hop, windows = model.info.samples_per_frame, Windows(4.0, model.frame_seconds)
    log_probs = engine.encode(audio)
    assert len(log_probs) == -(-(1 + len(audio) // 160) // 4)
    start = windows.starts(len(log_probs))[1]
    alone = model.encode([audio[start * hop : (start + windows.frames) * hop]])[0]
    kept = slice(windows.margin, windows.frames - windows.margin)
    np.testing.assert_allclose(log_probs[start:][kept], alone[kept], atol=1e-4)
    (outcome,) = engine.transcribe_each(find_recordings([str(tmp_path / "long.wav")]))
    assert outcome.transcript.words[-1].end > len(audio) / 16000 - 2
    assert engine.describe(len(audio) / 16000)[-1].startswith("long recordings: in windows of 4 s that overlap by ")


def test_a_recording_that_cannot_be_used_is_named_and_the_rest_goes_on(exported, recordings, tmp_path, capsys):
    (tmp_path / "bad.wav").write_text("no audio")
    assert main(["--onnx", str(exported), str(tmp_path / "bad.wav"), recordings[0]]) == 2
    shown = capsys.readouterr()
    assert shown.out.startswith(f"{recordings[0]}\t") and "bad.wav: no audio that can be read" in shown.err


def test_metadata_say_what_the_file_is(model, loaded, run):
    info = model.info
    assert (info.part, info.sample_rate, info.samples_per_frame, info.precision) == ("ctc", 16000, 640, "float32")
    assert (info.mixer, info.recipe, info.recipe_hash) == (
        "summarymixing",
        "quickstart",
        RunSummary.read(run).recipe_hash,
    )
    assert info.linear and info.vocabulary[:3] == ["<unk>", "<s>", "</s>"]
    assert len(info.vocabulary) == loaded.tokenizer.vocab_size()
    assert OnnxInfo.from_metadata(info.to_metadata(), "x.onnx") == info


def test_what_is_no_number_is_far_from_everything():
    """A graph that gives NaN must not pass for equal."""
    one, none = torch.ones(2, 3), torch.tensor([[1.0, 1.0, 1.0], [1.0, math.nan, 1.0]])
    assert largest_distance(none, one) == largest_distance(one, one[:1]) == math.inf
    assert largest_distance(one, one + 0.5) == 0.5


def test_int8_holds_weights_in_a_byte_and_hardly_changes_the_output(exported, loaded, tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "trace", lambda *_: onnx.load(exported))
    result = files.export_model(loaded, tmp_path / "int8.onnx", int8=True)
    assert result.info.precision == "int8" and 1e-4 < result.difference < 0.6
    written = onnx.load(tmp_path / "int8.onnx").graph
    assert sum(node.op_type == "MatMulInteger" for node in written.node) > 5
    scales = [value for value in written.initializer if value.name.endswith("_scale")]
    assert any(len(value.dims) == 1 and value.dims[0] > 1 for value in scales), "a scale for each column"
    assert OnnxModel(tmp_path / "int8.onnx").encode([np.zeros(8000, np.float32)])[0].shape[0] == 13


def of_another_mixer(loaded, mixer: str, **keys):
    torch.manual_seed(0)
    small = {"d_model": 16, "heads": 4, "layers": 1, "d_ffn": 16, "kernel_size": 3, "decoder_layers": 1}
    recipe = load(ROOT / "hparams" / "quickstart.yaml", {"data_folder": ".", "mixer": mixer, **small, **keys})
    return loaded._replace(model=recipe.hparams["model"], recipe=recipe)


def test_a_file_that_fails_for_other_lengths_is_refused(exported, loaded, tmp_path, monkeypatch):
    """As with a mixer whose number of windows torch's export takes for fixed."""

    class Session:
        def __init__(self, *_, **__):
            pass

        def run(self, *_):
            raise graph.Fail("The input tensor cannot be\nreshaped")

    monkeypatch.setattr(graph, "trace", lambda *_: onnx.load(exported))
    monkeypatch.setattr(graph.onnxruntime, "InferenceSession", Session)
    message = r"^summarymixing cannot be exported: its ONNX file fails for other lengths \(The .* cannot be reshaped\)$"
    with pytest.raises(RecipeError, match=message):
        files.export_model(loaded, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_an_encoder_alone_equals_torch(loaded, tmp_path):
    """Of a mixer that cuts time into blocks, one to three in what is tried; benchmarks.inference tries all."""
    directions = {"mixers.directional_attention.directions": ["past"]}  # another takes its time, and shows no more
    other = of_another_mixer(loaded, "directional_attention", **directions)
    result = files.export_model(other, tmp_path / "encoder.onnx", part="encoder")
    assert result.difference < 1e-4 and result.info.part == "encoder"
    with pytest.raises(RecipeError, match="holds the encoder alone: export the run without --part to transcribe"):
        OnnxModel(tmp_path / "encoder.onnx")


def test_an_export_that_differs_from_torch_is_refused(exported, loaded, tmp_path, monkeypatch):
    content = onnx.load(exported)
    bias = next(value for value in content.graph.initializer if value.name.endswith("ctc.bias"))
    bias.CopyFrom(onnx.numpy_helper.from_array(onnx.numpy_helper.to_array(bias)[::-1].copy(), bias.name))
    monkeypatch.setattr(graph, "trace", lambda *_: content)
    with pytest.raises(RecipeError, match=r"summarymixing cannot be exported: its ONNX file differs from torch by \d"):
        files.export_model(loaded, tmp_path / "model.onnx")
    assert not list(tmp_path.iterdir())


def test_the_benchmark_times_every_engine_and_search(exported, run, corpus, tmp_path, monkeypatch):
    monkeypatch.setattr(Bench, "exported", lambda *_: exported)
    parts = f"speed wer paths --sample {corpus}"
    options = f"--recipe {ROOT}/hparams/quickstart.yaml --parts {parts} --threads 1 --utterances 2 --rounds 1".split()
    assert benchmark([str(run), *options, "--out", str(tmp_path / "inference.json")]) == 0
    results = json.loads((tmp_path / "inference.json").read_text())
    named = [(row["model"], row["engine"], row["search"]) for row in results["speed"]]
    each = [("torch float32", "greedy"), ("onnx float32", "greedy"), ("onnx int8", "greedy"), ("torch float32", "beam")]
    assert named == [(model, *rest) for model in ("run", "quickstart") for rest in each]
    assert all(row["rtf"] > 0 and row["cpu_rtf"] > 0 and row["peak_mb"] > 50 for row in results["speed"])
    peaks = {row["engine"]: row["peak_mb"] for row in results["speed"] if row["search"] == "greedy"}
    assert peaks["onnx float32"] < peaks["torch float32"]
    (rates,) = results["wer"].values()
    assert rates["torch float32"] == rates["onnx float32"] == rates["onnx int8"] > 50
    paths = results["paths"]
    assert paths["batched"] == paths["onnx"] == {"texts_that_differ": 0, "times_that_differ": 0}
    assert paths["recordings"] == len(list(corpus.rglob("*.flac"))) and paths["words"] >= paths["recordings"]


def test_a_name_that_is_not_utf8_is_written_as_with_a_run(exported, recordings, tmp_path):
    audio = os.fsencode(tmp_path) + b"/caf\xe9.flac"
    os.symlink(recordings[0], audio)
    words = [str(exported), os.fsdecode(audio), "--format", "json", "--out", str(tmp_path / "out")]
    assert main(["--onnx", *words]) == 0
    (written,) = (tmp_path / "out").iterdir()
    assert json.loads(written.read_text())["audio"].endswith("caf\\udce9.flac")


def test_a_file_takes_the_place_of_the_run(run, exported, recordings, capsys):
    assert main([str(run), "--onnx", str(exported), recordings[0]]) == 2
    message = f"error: '{recordings[0]}': --onnx FILE takes the place of RUN: transcribe.py AUDIO… --onnx FILE\n"
    assert capsys.readouterr().err == message
