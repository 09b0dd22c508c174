"""Loading processes that are not forked, as where Python starts them afresh (macOS, Python 3.14)."""

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
