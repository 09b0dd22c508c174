"""Dynamic chunk training, and tests under a context."""

import torch

from evaluate import main as evaluate
from mixers import Context
from recipes.models import DynamicChunks, Recogniser
from tests.support.runs import small_corpus, summary, train

CHUNKS = {"probability": 0.5, "chunk": [2, 4], "left_chunks": [1, 2]}
STREAMING = "!new:recipes.models.DynamicChunks {probability: 0.5, chunk: [2, 4], left_chunks: [1, 2]}"
SEED, EPOCHS = 1234, 2


def test_batches_draw_contexts_and_tests_take_theirs(tmp_path, monkeypatch, capsys):
    """Contexts follow from seed, epoch and number of the batch, so that a resumed run draws the same."""
    seen, encode = [], Recogniser.encode

    def recorded(self, audio, lengths, context=None, views=1):
        seen.append((self.training, context))
        return encode(self, audio, lengths, context, views)

    monkeypatch.setattr(Recogniser, "encode", recorded)
    corpus, run = small_corpus(tmp_path / "corpus"), tmp_path / "run"
    options = ("--streaming", STREAMING, "--test_search", "null", "--number_of_epochs", str(EPOCHS))
    assert train(corpus, run, *options) == 0
    largest, *contexts = [context for training, context in seen if training]
    assert largest == Context(2, None), "memory is tried with the smallest chunk and all the past"
    assert contexts == drawn(len(contexts) // EPOCHS) and None in contexts and len({*contexts}) > 2
    assert {context for training, context in seen if not training} == {None}, "validation and test see whole utterances"

    seen.clear()
    options = ("--device", "cpu", "--noprogressbar", "--workers", "0")
    assert evaluate([str(run), "--test_chunk", "2", "--test_left_chunks", "1", *options]) == 0
    assert {*seen} == {(False, Context(2, 1))}
    folder = run / "evaluations" / "test_chunk=2_test_left_chunks=1"
    assert summary(folder).splits.keys() == {"test-clean"}

    capsys.readouterr()
    assert evaluate([str(run), "--test_left_chunks", "1", *options]) == 2
    assert "recipe.yaml: test_left_chunks counts chunks of test_chunk frames" in capsys.readouterr().err


def drawn(batches: int) -> list[Context | None]:
    contexts, chunks = [], DynamicChunks(**CHUNKS)
    for epoch in range(1, EPOCHS + 1):
        for number in range(batches):
            torch.manual_seed(hash((SEED, epoch, number)) % 2**63)
            contexts.append(chunks.draw())
    return contexts
