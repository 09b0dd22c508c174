"""torch.compile: weights keep their names, decoding works. Checkpoints within an epoch, by steps."""

from functools import partial

import pytest
import torch

from recipes.asr.brain import ASRBrain
from recipes.config.arguments import help_text
from recipes.training import Trainer
from tests.support.runs import arguments, epochs, small_corpus, summary, train, weights
from train import main

# An utterance a batch: each number of utterances that is one for the first time would need graphs of its own.
SMALL = "--layers 1 --mixer summarymixing --dropout 0 --batch_seconds 0.8".split()


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


class Graphs(list):
    """The graphs that torch.compile makes, and how often any of them has run."""

    runs = 0


@pytest.fixture
def graphs(monkeypatch):
    """They run as they are: compiled code would take minutes."""
    graphs = Graphs()

    def backend(graph, inputs):
        graphs.append(graph)

        def run(*inputs):
            graphs.runs += 1
            return graph.forward(*inputs)

        return run

    compiler = torch.compile
    monkeypatch.setattr(
        torch, "compile", lambda module, mode, **options: partial(compiler, backend=backend)(module, **options)
    )
    yield graphs
    torch._dynamo.reset()


@pytest.mark.timeout(300)
def test_a_compiled_model_is_trained_goes_on_and_decodes(corpus, tmp_path, graphs, monkeypatch):
    """It learns what the plain model learns. Lengths are symbolic: every one of them would need graphs of its own."""
    plain, compiled = tmp_path / "plain", tmp_path / "compiled"
    assert train(corpus, plain, *SMALL) == 0
    assert not graphs
    decode_batch, used = ASRBrain.decode_batch, []

    def decode(brain, batch):
        before = graphs.runs
        decoded = decode_batch(brain, batch)
        used.append(graphs.runs - before)
        return decoded

    monkeypatch.setattr(ASRBrain, "decode_batch", decode)
    assert train(corpus, compiled, *SMALL, "--compile") == 0
    assert used and not any(used), "the tests are not compiled"
    assert 0 < len(graphs) < epochs(compiled)[0].steps <= graphs.runs
    expected = weights(plain)
    for name, weight in weights(compiled).items():
        torch.testing.assert_close(weight, expected.pop(name), atol=1e-4, rtol=1e-3)
    assert not expected
    assert summary(compiled).splits["test-clean"].words == summary(plain).splits["test-clean"].words > 0

    runs = graphs.runs
    assert train(corpus, compiled, *SMALL, "--test_only") == 0
    assert graphs.runs == runs
    assert train(corpus, compiled, *SMALL, "--compile_module_keys", "model", "--number_of_epochs", "2") == 0
    assert graphs.runs > runs, "graphs of the first run, which fit"
    assert [record.epoch for record in epochs(compiled)] == [1, 2]


def test_a_failing_compiler_is_one_line(corpus, tmp_path, monkeypatch, capsys):
    def broken(graph, inputs):
        raise RuntimeError("no compiler\nfound")

    compiler = torch.compile
    monkeypatch.setattr(torch, "compile", lambda module, **options: compiler(module, backend=broken))
    assert train(corpus, tmp_path, "--compile") == 2
    message = capsys.readouterr().err.splitlines()[-1]
    assert message.startswith("error: --compile: torch.compile failed; train without it (")
    assert "no compiler found" in message


def test_checkpoints_by_steps(corpus, tmp_path, monkeypatch):
    saved = []
    save = Trainer._save_intra_epoch_ckpt
    monkeypatch.setattr(Trainer, "_save_intra_epoch_ckpt", lambda self: (saved.append(self.step), save(self)))
    assert train(corpus, tmp_path, "--ckpt_interval_steps", "2", "--batch_seconds", "2") == 0
    assert len(saved) >= 2 and saved == [2 * (number + 1) for number in range(len(saved))]


REFUSED = {
    "jit": (
        ["--jit"],
        "--jit is not supported: TorchScript cannot compile these models; --compile takes torch.compile instead",
    ),
    "jit of a module": (
        ["--jit_module_keys", "model"],
        "--jit_module_keys is not supported: TorchScript cannot compile these models; --compile takes torch.compile "
        "instead",
    ),
    "unknown module": (
        ["--compile", "--compile_module_keys", "encoder"],
        "compile_module_keys must be model, the only module there is, or null, not [encoder]",
    ),
    "unknown mode": (
        ["--compile", "--compile_mode", "fast"],
        "compile_mode must be default, reduce-overhead, max-autotune or max-autotune-no-cudagraphs, not fast",
    ),
    "two intervals": (
        ["--ckpt_interval_steps", "2", "--ckpt_interval_minutes", "3"],
        "give one of --ckpt_interval_minutes and --ckpt_interval_steps",
    ),
}


@pytest.mark.parametrize(("options", "message"), REFUSED.values(), ids=REFUSED)
def test_refused_before_anything_is_written(tmp_path, capsys, options, message):
    assert main(arguments(tmp_path / "nowhere", tmp_path / "run", *options)) == 2
    assert capsys.readouterr().err == f"error: command line: {message}\n"
    assert not (tmp_path / "run").exists()


def test_help_names_what_works():
    text = help_text("")
    assert "--compile " in text and "--ckpt_interval_steps" in text
    assert "--jit" not in text
