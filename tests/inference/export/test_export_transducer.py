"""A transducer as three ONNX files: each equals torch, and together they say what torch says."""

import copy
import shutil

import numpy as np
import pytest
import torch

onnx = pytest.importorskip("onnx")
pytest.importorskip("onnxruntime")
pytest.importorskip("onnxscript")

from recipes.errors import RecipeError  # noqa: E402
from recipes.inference import Transcriber  # noqa: E402
from recipes.inference.audio.reading import read_audio  # noqa: E402
from recipes.inference.export import files, graph  # noqa: E402
from recipes.inference.export.parts import JointPart, StatelessPart, TransducerEncoderPart  # noqa: E402
from recipes.inference.onnx.model import OnnxModel  # noqa: E402
from recipes.inference.onnx.transducer import OnnxTransducer  # noqa: E402
from recipes.models import LSTMPrediction  # noqa: E402
from tests.inference.conftest import noisy_transducer  # noqa: E402
from tests.support.models import randomised  # noqa: E402
from transcribe import main  # noqa: E402

pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def stateless(run, samples, tmp_path_factory):
    """A model, and its folder."""
    loaded = noisy_transducer(run, samples, "stateless", layers=1)
    folder = tmp_path_factory.mktemp("exported") / "stateless"
    result = files.export_transducer(loaded, folder)
    assert result.difference < 1e-4 and result.info.part == "transducer"
    return loaded, folder


def known(monkeypatch, folder, *kinds):
    """Parts of these kinds are not traced again, which takes seconds."""
    names = {TransducerEncoderPart: "encoder.onnx", JointPart: "joiner.onnx", StatelessPart: "decoder.onnx"}
    trace = graph.trace
    monkeypatch.setattr(
        graph,
        "trace",
        lambda part, name: onnx.load(folder / names[type(part)]) if type(part) in kinds else trace(part, name),
    )


@pytest.fixture(scope="module", params=["stateless", "lstm"])
def exported(request, stateless):
    """The model, and its folder: as it is, and with another prediction network."""
    loaded, folder = stateless
    if request.param == "stateless":
        return stateless
    model = copy.deepcopy(loaded.model)
    model.decoder.prediction = randomised(LSTMPrediction(32, 16, layers=2), 0.5)
    other = loaded._replace(model=model)
    with pytest.MonkeyPatch.context() as monkeypatch:
        known(monkeypatch, folder, TransducerEncoderPart, JointPart)
        assert files.export_transducer(other, folder.parent / "lstm").difference < 1e-4
    return other, folder.parent / "lstm"


def test_texts_are_those_of_torch(exported, recordings, capsys):
    loaded, folder = exported
    transcriber = Transcriber(loaded, device="cpu")
    expected = [transcriber.transcribe(path).text for path in recordings]
    assert main(["--onnx", str(folder), *recordings, "--threads", "1"]) == 0
    shown = capsys.readouterr()
    assert [line.split("\t")[1] for line in shown.out.splitlines()] == expected
    assert "greedy transducer" in shown.err and len(set(expected)) > 3 and min(map(len, expected)) > 3


def test_frames_are_those_that_the_joint_network_takes(exported, recordings):
    loaded, folder = exported
    audios = [read_audio(path) for path in recordings]
    for audio, frames in zip(audios, OnnxTransducer(folder, 1).encode(audios), strict=True):
        with torch.no_grad():
            encoded = loaded.model.encode(torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
            expected = loaded.model.decoder.prepare(encoded)[0].numpy()
        np.testing.assert_allclose(frames, expected, atol=1e-4 * np.abs(expected).max())


def test_names_are_those_of_sherpa_onnx(exported):
    loaded, folder = exported
    decoder, stateless = loaded.model.decoder, folder.name == "stateless"
    assert sorted(path.name for path in folder.iterdir()) == [
        "decoder.onnx",
        "encoder.onnx",
        "joiner.onnx",
        "tokens.txt",
    ]
    tokens = (folder / "tokens.txt").read_text().splitlines()
    assert tokens[:4] == ["<unk> 0", "<s> 1", "</s> 2", "▁ 3"] and len(tokens) == loaded.tokenizer.vocab_size()
    prediction, joint = (onnx.load(folder / name) for name in ("decoder.onnx", "joiner.onnx"))
    state = [] if stateless else ["hidden", "cell"]
    assert [value.name for value in prediction.graph.input] == ["y", *state]
    assert [value.name for value in prediction.graph.output] == ["decoder_out", *(f"next_{name}" for name in state)]
    assert [value.name for value in joint.graph.input] == ["encoder_out", "decoder_out"]
    metadata = {item.key: item.value for item in (*prediction.metadata_props, *joint.metadata_props)}
    assert metadata["context_size"] == ("2" if stateless else "1") and metadata["max_symbols"] == "5"
    assert metadata["joiner_dim"] == str(decoder.out.in_features)


def test_the_search_takes_no_more_tokens_of_a_frame_than_the_recipe_allows(exported):
    folder = exported[1]
    model = OnnxTransducer(folder, 1)
    model.networks.next_output = lambda *_: (7, 0.5)
    spans = model.spans(np.zeros((2, 16), np.float32))
    assert [(span.start, span.end) for span in spans[:2]] == [(0, 0.2), (0.2, 0.4)] and len(spans) == 10


def test_files_that_do_not_belong_together_are_named(exported, tmp_path):
    folder = exported[1]
    with pytest.raises(RecipeError, match=f"encoder.onnx is the encoder of a transducer: give its folder, {folder}"):
        OnnxModel(folder / "encoder.onnx")
    other_folder = shutil.copytree(folder, tmp_path / "copy")
    other = onnx.load(other_folder / "joiner.onnx")
    onnx.helper.set_model_props(other, {"joiner_dim": "16", "max_symbols": "5", "recipe_hash": "another"})
    onnx.save(other, other_folder / "joiner.onnx")
    with pytest.raises(RecipeError, match=r"joiner.onnx is not of the model of encoder.onnx: export the run again$"):
        OnnxTransducer(other_folder)
    (other_folder / "joiner.onnx").unlink()
    with pytest.raises(RecipeError, match=r"no file .*joiner.onnx: make one with .* RUN .*copy --part transducer$"):
        OnnxTransducer(other_folder)


def test_8_bits_leave_the_networks_of_text_nearly_as_they_are(stateless, tmp_path, monkeypatch):
    loaded, folder = stateless
    known(monkeypatch, folder, TransducerEncoderPart, JointPart, StatelessPart)
    result = files.export_transducer(loaded, tmp_path / "int8", int8=True)
    assert result.info.precision == "int8" and 1e-4 < result.difference < 0.6
    small, whole = ((path / "encoder.onnx").stat().st_size for path in (tmp_path / "int8", folder))
    assert small < whole and OnnxTransducer(tmp_path / "int8").networks.history == 2


def test_what_has_no_onnx_form_is_named(stateless, tmp_path):
    class Own(type(stateless[0].model.decoder.prediction)):
        pass

    loaded, _ = stateless
    kind, loaded.model.decoder.prediction.__class__ = loaded.model.decoder.prediction.__class__, Own
    try:
        with pytest.raises(RecipeError, match=r"^Own cannot be exported: StatelessPrediction and LSTMPrediction can$"):
            files.export_transducer(loaded, tmp_path / "own")
    finally:
        loaded.model.decoder.prediction.__class__ = kind
    assert not list(tmp_path.iterdir())
