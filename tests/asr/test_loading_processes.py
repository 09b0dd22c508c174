"""Loading processes: started afresh, as by macOS and Python 3.14, and signalled together with their training."""

import multiprocessing
import os
import signal
import time
from itertools import chain

import pytest
from torch.utils.data import DataLoader

from data_prep.corpus import Corpus
from data_prep.lm_text import count
from data_prep.tokenizer import load_tokenizer, train_tokenizer
from recipes.asr import data
from recipes.asr.audio import AudioReader
from recipes.asr.utterances import read_utterances
from recipes.lm.data import TextBatches
from tests.support.corpus import write_corpus


@pytest.fixture(scope="module", autouse=True)
def imported_once():
    """What the fresh processes need, by the server that starts them: each would take seconds to import it."""
    multiprocessing.set_forkserver_preload(["recipes.asr.data", "recipes.asr.utterances", "recipes.lm.data"])


@pytest.fixture(scope="module")
def prepared(tmp_path_factory):
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, {"train-clean-5": (2, 4)})
    made = Corpus(folder).prepare(folder / "out", valid=[], test=[], progress=False)
    (manifest,) = made.train.values()
    return manifest, made.root, load_tokenizer(train_tokenizer(manifest, folder / "tokenizer", "char", 32))


def test_audio(prepared):
    """Each epoch is told to the processes, which read at the speeds of that epoch."""
    manifest, root, tokenizer = prepared
    reader = AudioReader(speeds=(80, 100, 120), seed=1)
    dataset = read_utterances(manifest, root, reader, tokenizer)
    batches = data.train_batches(dataset, batch_seconds=3.0, buckets=2, seed=0)
    read = {}
    for epoch in (1, 2):
        reader.epoch = batches.epoch = epoch
        fresh = DataLoader(
            dataset, batch_sampler=batches, collate_fn=data.collate, num_workers=1, multiprocessing_context="forkserver"
        )
        expected = data.loader(dataset, batches, 0)
        for batch, same in zip(fresh, expected, strict=True):
            assert batch.ids == same.ids and batch.audio.equal(same.audio) and batch.tokens.equal(same.tokens)
            read.setdefault(epoch, {}).update(zip(batch.ids, batch.lengths.tolist(), strict=True))
    assert read[1].keys() == read[2].keys() and read[1] != read[2]


def test_text(prepared, tmp_path):
    _, _, tokenizer = prepared
    text = tmp_path / "text.txt"
    text.write_text("THE RIVER\nA STONE\nI WALKED SLOWLY\nTHE QUEEN JUMPED\nA BOX\n" * 3)
    batches = TextBatches([text], tokenizer, count([text]), batch_sentences=2, workers=2)
    fresh = DataLoader(batches, batch_size=None, num_workers=2, multiprocessing_context="forkserver")
    assert [batch.inputs.tolist() for batch in fresh] == [batch.inputs.tolist() for batch in batches.loader()]
    assert len(list(chain(*(batch.inputs for batch in batches.loader())))) == 15


def signal_loading_processes(number: int) -> None:
    for process in multiprocessing.active_children():
        os.kill(process.pid, number)
    time.sleep(0.2)


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_a_signal_to_all_processes_leaves_the_loading_ones_alive(prepared, tmp_path, number):
    """As a scheduler and a terminal send it: the training reaches its next safe moment, and ends them itself."""
    manifest, root, tokenizer = prepared
    dataset = read_utterances(manifest, root, AudioReader(), tokenizer)
    text = tmp_path / "text.txt"
    text.write_text("THE RIVER\n" * 60)
    loaders = (
        data.loader(dataset, data.test_batches(dataset, 1.0), 1),
        TextBatches([text], tokenizer, count([text]), batch_sentences=1, workers=1).loader(),
    )
    for loader in loaders:
        batches = iter(loader)
        next(batches)
        signal_loading_processes(number)
        assert len(list(batches)) > 3
        assert not multiprocessing.active_children()


def test_a_second_signal_ends_a_loading_process(prepared, tmp_path):
    _, _, tokenizer = prepared
    text = tmp_path / "text.txt"
    text.write_text("THE RIVER\n" * 60)
    batches = iter(TextBatches([text], tokenizer, count([text]), batch_sentences=1, workers=1).loader())
    next(batches)
    (process,) = multiprocessing.active_children()
    for _ in range(2):
        signal_loading_processes(signal.SIGTERM)
    process.join(30)
    assert not process.is_alive()
