"""A transducer from training to text, by the same commands as other recognisers."""

import pytest
import soundfile

from evaluate import main as evaluate
from recipes.asr import SavedRun
from recipes.asr.memory import TrainingSet
from recipes.inference import Transcriber
from recipes.inference.release.writing import write_release
from recipes.inference.streams.listening import TransducerListener
from tests.support.runs import ROOT, assert_learned, epochs, initial_model, small_corpus, summary, train

RECIPE = ROOT / "hparams" / "quickstart_transducer.yaml"
CPU = ("--device", "cpu", "--noprogressbar", "--workers", "0")
BEAM = "!new:recipes.decoding.BeamSearch {beam: 2}"
TRANSDUCER = "!new:recipes.decoding.TransducerSearch {beam: 1}"


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


@pytest.fixture(scope="module")
def run(corpus, tmp_path_factory):
    output, tried = tmp_path_factory.mktemp("trained") / "run", []
    with pytest.MonkeyPatch.context() as patch:
        largest = TrainingSet.largest
        patch.setattr(TrainingSet, "largest", lambda self, power=1: tried.append(power) or largest(self, power))
        options = ("--number_of_epochs", "2", "--valid_search", TRANSDUCER, "--valid_search_interval", "1")
        assert train(corpus, output, *options, recipe=RECIPE) == 0
    assert tried == [2], "memory is tried with the batch of the longest utterances"
    return output


def test_training_moves_every_part_and_logs_its_loss(run):
    assert_learned(run, initial_model(run))
    for epoch in epochs(run):
        loss = 0.3 * epoch.metrics["valid_ctc_loss"] + 0.7 * epoch.metrics["valid_transducer_loss"]
        assert epoch.metrics["valid_loss"] == pytest.approx(loss, rel=1e-5)
        assert epoch.metrics["valid_attention_loss"] is None and epoch.metrics["valid_wer"] > 0


def test_evaluate_decodes_with_its_search(run):
    assert evaluate([str(run), "--test_search.beam", "1", *CPU]) == 0
    folder = run / "evaluations" / "test_search.beam=1"
    assert summary(folder).splits.keys() == summary(run).splits.keys() == {"test-clean"}


def test_a_release_holds_it(corpus, run, tmp_path):
    """With its search and its prediction network; it transcribes and streams as the run does."""
    out = write_release(SavedRun(run, {}), tmp_path / "released")
    audio = sorted(corpus.rglob("test-clean/**/*.flac"))[0]
    ours, theirs = (Transcriber.load(folder, device="cpu") for folder in (run, out))
    assert theirs.transcribe(audio) == ours.transcribe(audio)
    samples = soundfile.read(audio, dtype="int16")[0]
    streams = [transcriber.stream(chunk=4) for transcriber in (ours, theirs)]
    assert isinstance(streams[1].listener, TransducerListener)
    (said, said_too) = (stream.feed(samples) + stream.finish() for stream in streams)
    assert said == said_too


def test_a_search_of_another_kind_is_refused_before_anything_is_written(corpus, run, tmp_path, capsys):
    assert train(corpus, tmp_path / "run", "--test_search", BEAM, recipe=RECIPE) == 2
    error = "quickstart_transducer.yaml: test_search: BeamSearch reads an attention decoder, and this model has"
    assert error in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
    assert train(corpus, tmp_path / "run", "--valid_search", TRANSDUCER, "--test_search", "null") == 2
    assert "quickstart.yaml: valid_search: TransducerSearch reads a transducer" in capsys.readouterr().err
    assert evaluate([str(run), "--test_search", BEAM, *CPU]) == 2
    assert "recipe.yaml: test_search: BeamSearch reads" in capsys.readouterr().err
