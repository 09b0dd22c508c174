"""Streams of exported models: chunk by chunk what torch's stream gives, in any cutting and any batch, without torch."""

import io
import subprocess
import sys
from itertools import pairwise
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile
import torch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from benchmarks.inference import streams  # noqa: E402
from mixers import Context  # noqa: E402
from recipes.config import load  # noqa: E402
from recipes.errors import RecipeError  # noqa: E402
from recipes.inference import Transcriber  # noqa: E402
from recipes.inference.export import files, graph  # noqa: E402
from recipes.inference.onnx.model import OnnxModel  # noqa: E402
from recipes.inference.onnx.stream import OnnxStreamModel, advance  # noqa: E402
from recipes.inference.recognition.loading import Settings, load_model  # noqa: E402
from recipes.inference.streams.endpoint import Endpoint  # noqa: E402
from tests.inference.conftest import ROOT, all_texts, cut, noisy_transducer  # noqa: E402
from transcribe import main  # noqa: E402

pytestmark = pytest.mark.timeout(300)
SHORT = Endpoint(0.2, 0.12, 0.6)  # utterances end often


@pytest.fixture(scope="module")
def loaded(run, transcriber):
    """Of SummaryMixing, with the weights that hear letters, spaces and silences alike."""
    return load_model(run, Settings({"test_search": None}))._replace(model=transcriber.recognise.model)


@pytest.fixture(scope="module")
def exported(loaded, tmp_path_factory):
    out = tmp_path_factory.mktemp("streams") / "stream.onnx"
    assert files.export_stream(loaded, out, Context(4)).difference < 1e-4
    return out


@pytest.fixture(scope="module")
def model(exported) -> OnnxStreamModel:
    return OnnxStreamModel(exported, threads=1)


def compare(model, recogniser, samples, context, head):
    """Chunk by chunk to the end: a stream alone, and then in one batch with another one, which begins later."""
    steps, chunk = model.steps, model.chunks.samples
    audio = np.float32(samples / 2**15)
    parts = np.stack([audio[: 6 * chunk + 777], audio[9000 : 9777 + 6 * chunk]])
    edges = [0, *range(chunk + model.chunks.first_samples, parts.shape[1], chunk), parts.shape[1]]
    expected = []
    for row in torch.from_numpy(parts):
        state, chunks = recogniser.init_state(1, context), []
        for start, end in pairwise(edges):
            output, state = recogniser.step(row[None, start:end], state, end == edges[-1])
            with torch.no_grad():
                chunks.append(head(output.encoded.frames)[0].numpy())
        expected.append(chunks)
    old, rest = steps.first_state(parts[:1])
    for number in range(2):
        values, old = steps.step(rest[:, :chunk], old)
        rest = rest[:, chunk:]
        np.testing.assert_allclose(values[0], expected[0][number], atol=1e-4)
    new, other = steps.first_state(parts[1:])
    state = {name: np.concatenate([old[name], new[name]]) for name in old}
    for number in range(2, 4):
        values, state = steps.step(np.concatenate([rest[:, :chunk], other[:, :chunk]]), state)
        rest, other = rest[:, chunk:], other[:, chunk:]
        np.testing.assert_allclose(values[0], expected[0][number], atol=1e-4)
        np.testing.assert_allclose(values[1], expected[1][number - 2], atol=1e-4)
    ends = steps.finish(rest, {name: value[:1] for name, value in state.items()})[0]
    np.testing.assert_allclose(ends, np.concatenate(expected[0][4:]), atol=1e-4)


def test_log_probs_are_those_of_torchs_stream(model, loaded, samples):
    compare(model, loaded.model, samples, Context(4), lambda frames: loaded.model.ctc(frames).log_softmax(-1))
    assert model.info.state["blocks.0.mixer.running"] == ["float32", 1, 17]
    assert (model.info.chunk, model.info.left_chunks, model.info.latency_ms) == (4, None, 162.5)


def test_texts_are_those_of_torchs_stream_however_the_input_is_cut(model, transcriber, samples):
    for endpoint in (SHORT, Endpoint()):
        expected = all_texts(transcriber.stream(chunk=4, endpoint=endpoint), cut(samples, 1))
        texts = all_texts(model.stream(endpoint), cut(samples, 2))
        final, heard = ([text for text in stream if text.final] for stream in (expected, texts))
        assert [(text.text, text.start, text.end) for text in heard] == [
            (text.text, text.start, text.end) for text in final
        ]
        assert len(texts) == len(expected) > 5
    for size in (0, 1, 39, 40, 700, 2559, 2560, 2599, 2600, 5000, 5119):  # where the last frames come out
        expected = all_texts(transcriber.stream(chunk=4), [samples[:size]])
        assert [text.text for text in all_texts(model.stream(), [samples[:size]])] == [text.text for text in expected]


def test_streams_advance_together(model, samples):
    parts = [samples[:20000], samples[5000:29000]]
    expected = [all_texts(model.stream(), [part]) for part in parts]
    streams, texts = [model.stream() for _ in parts], [[], []]
    texts[0] += streams[0].feed(parts[0][:7000])
    streams[0].push(parts[0][7000:])
    streams[1].push(parts[1])
    while ready := [number for number in range(2) if streams[number].is_ready()]:
        for number, spoken in zip(ready, advance([streams[number] for number in ready]), strict=True):
            texts[number] += spoken
    for number, stream in enumerate(streams):
        assert [text.text for text in texts[number] + stream.finish()] == [text.text for text in expected[number]]


def test_command_line_streams_without_torch(exported, transcriber, recordings, monkeypatch, capsys):
    bare = soundfile.read(recordings[0], dtype="int16")[0]
    program = (
        "import sys, transcribe\n"
        "assert transcribe.main(sys.argv[1:]) == 0\n"
        "print([name for name in ('torch', 'torchaudio', 'speechbrain') if name in sys.modules])"
    )
    command = [sys.executable, "-c", program, "--onnx", str(exported), recordings[0], "--stream", "--threads", "1"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=True)
    final = [text for text in all_texts(transcriber.stream(chunk=4), [bare]) if text.final]
    lines = [f"{text.start:.2f}\t{text.end:.2f}\t{text.text}" for text in final]
    assert done.stdout.splitlines() == [*lines, "[]"] and lines
    assert "chunks of 4 frames, known after 162.5 ms" in done.stderr and "real-time factor" in done.stderr
    pipe = io.BufferedReader(io.BytesIO(bare.astype("<i2").tobytes()))
    monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
    assert main(["--onnx", str(exported), "-", "--stream", "--chunk", "4"]) == 0
    assert capsys.readouterr().out.splitlines() == lines


BRANCHFORMER = (
    "!new:recipes.models.Branchformer {d_model: 16, mixers: !ref <layer_mixers>, csgu_units: 16, kernel_size: 5}"
)


def test_a_transducer_on_a_branchformer_with_xnor_and_attention_under_left_chunks(run, samples, tmp_path):
    mixers, folder, context = "[xnor, attention]", tmp_path / "stream", Context(2, 3)
    keys = {"mixer": mixers, "layers": 2, "model.encoder": BRANCHFORMER}
    loaded = noisy_transducer(run, samples, "stateless", **keys)
    assert files.export_stream(loaded, folder, context, transducer=True).difference < 1e-4
    model, torchs = OnnxStreamModel(folder, threads=1), Transcriber(loaded, device="cpu")
    compare(model, loaded.model, samples, context, loaded.model.decoder.of_frame)
    assert model.info.state["blocks.1.mixer.keys"] == ["float32", 2, 6, 8]
    expected = all_texts(torchs.stream(chunk=2, left_chunks=3, endpoint=SHORT), [samples])
    texts = all_texts(model.stream(SHORT), cut(samples))
    assert [text.text for text in texts] == [text.text for text in expected] and len(texts) > 10
    assert [text.final for text in texts] == [text.final for text in expected]
    with pytest.raises(RecipeError, match=r"encoder.onnx is the encoder of a transducer: give its folder, .*stream$"):
        OnnxStreamModel(folder / "encoder.onnx")


def test_int8_streams(exported, loaded, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "trace", lambda *_: onnx.load(exported))
    result = files.export_stream(loaded, tmp_path / "int8.onnx", Context(4), int8=True)
    assert result.info.precision == "int8" and 1e-4 < result.difference < 0.6
    written = onnx.load(tmp_path / "int8.onnx").graph
    assert sum(node.op_type == "MatMulInteger" for node in written.node) > 5
    texts = all_texts(OnnxStreamModel(tmp_path / "int8.onnx", threads=1).stream(), [samples])
    assert texts[-1].final and len(texts) > 5


def test_the_benchmark_times_a_chunk_and_counts_the_state(exported, loaded, samples, tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "trace", lambda *_: onnx.load(exported))
    monkeypatch.setattr(streams, "CONTEXT", Context(4))
    rows = streams.stream_times(loaded, np.float32(samples / 2**15), tmp_path)
    assert [row["engine"] for row in rows] == ["torch float32", "onnx float32", "onnx int8"]
    assert all(row["chunk_cpu_ms"] > 0 for row in rows) and rows[1]["difference"] < 1e-4
    kilobytes = 4 * loaded.model.state_size(4, Context(4)) / 1000
    assert rows[1]["state_kb"] == rows[2]["state_kb"] == round(kilobytes, 1)
    assert rows[2]["file_mb"] <= rows[1]["file_mb"]


def small(loaded, **keys):
    sizes = {"data_folder": ".", "d_model": 16, "heads": 4, "layers": 3, "d_ffn": 16, "decoder_layers": 1}
    recipe = load(ROOT / "hparams" / "quickstart.yaml", {**sizes, **keys})
    return loaded._replace(model=recipe.hparams["model"], recipe=recipe)


def test_what_cannot_stream_is_said_before_anything_is_traced(loaded, exported, tmp_path, monkeypatch):
    monkeypatch.setattr(graph, "trace", None)
    for keys, message in [
        ({"mixer": "fastformer"}, "^FastFormer cannot stream or take a context: every new chunk changes"),
        ({"mixer": "[xnor*2, attention]"}, "^--part stream: what attention keeps grows with the stream: bound"),
        ({"model.features.window_length": 401}, "a window of 401 samples: only even numbers do"),
    ]:
        with pytest.raises(RecipeError, match=message):
            files.export_stream(small(loaded, **keys), tmp_path / "no.onnx", Context(4))
    with pytest.raises(RecipeError, match="--part transducer: the model's decoder is none"):
        files.export_stream(loaded, tmp_path / "no", Context(4), transducer=True)
    assert not list(tmp_path.iterdir())
    with pytest.raises(RecipeError, match=r"goes chunk by chunk: give --stream, or export the run without --part"):
        OnnxModel(exported)
