"""Training on joined utterances: which, and that a joined recording is its utterances one after the other."""

from itertools import chain, pairwise

import numpy as np
import pytest
import soundfile
import torch

from data_prep.errors import DataError
from data_prep.manifest import UNKNOWN_SPEAKER
from data_prep.tokenizer import load_tokenizer, train_tokenizer
from recipes.asr import data
from recipes.asr.audio import AudioReader
from recipes.asr.joining import Joining
from recipes.asr.utterances import read_utterances, tokenize
from tests.support.manifests import to_csv
from tests.support.runs import small_corpus, train

SPEAKERS = ["1-1"] * 9 + ["2-1"] * 6 + [UNKNOWN_SPEAKER] * 3
SENTENCES = ["THE QUEEN WALKED", "A BOX", "SEVEN GREEN STONES", "DON'T"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """A manifest of 18 utterances of 0.3 to 1.1 s of two speakers, and three of nobody known; its tokenizer."""
    folder, rows, draw = tmp_path_factory.mktemp("joined"), [], np.random.default_rng(0)
    for number, speaker in enumerate(SPEAKERS):
        name, seconds = f"utterance-{number:02d}", 0.3 + 0.1 * ((number * 5) % 9)
        soundfile.write(folder / f"{name}.wav", draw.normal(0, 0.1, round(16000 * seconds)), 16000)
        rows.append([name, seconds, f"$data_root/{name}.wav", speaker, SENTENCES[number % 4]])
    (folder / "train.csv").write_bytes(to_csv(rows))
    return folder, load_tokenizer(train_tokenizer(folder / "train.csv", folder, "char", 32))


@pytest.fixture
def dataset(corpus):
    folder, tokenizer = corpus
    return read_utterances(folder / "train.csv", folder, AudioReader(), tokenizer)


def joining_of(dataset, seconds=3.0, seed=1) -> Joining:
    return Joining(dataset.stretches(), dataset.durations, seconds, seed)


def test_utterances_in_a_row_of_one_speaker_are_joined_as_long_as_they_fit(dataset):
    rows = dataset.order.tolist()
    sizes = set()
    for epoch in range(40):
        groups = joining_of(dataset).groups(epoch)
        assert sorted(chain(*groups)) == list(range(18))
        for group in groups:
            places = [rows[utterance] for utterance in group]
            assert places == list(range(places[0], places[0] + len(group)))
            (speaker,) = {SPEAKERS[place] for place in places}
            assert len(group) == 1 or speaker != UNKNOWN_SPEAKER
            assert len(group) == 1 or dataset.durations[list(group)].sum() <= 3.0
            sizes.add(len(group))
    assert sizes >= {1, 2, 3, 4}


def test_what_is_joined_follows_from_seed_and_epoch(dataset):
    first, again, other = (joining_of(dataset, seed=seed) for seed in (1, 1, 2))
    epochs = [first.groups(epoch) for epoch in range(4)]
    assert [again.groups(epoch) for epoch in (3, 2, 1, 0)] == epochs[::-1]
    assert all(before != after for before, after in pairwise(epochs)) and other.groups(0) != epochs[0]


def test_an_utterance_that_was_left_out_parts_its_neighbours(corpus):
    folder, tokenizer = corpus
    dataset = read_utterances(folder / "train.csv", folder, AudioReader(), tokenizer, longest=1.05)
    stretches = [dataset.order[stretch].tolist() for stretch in dataset.stretches()]
    assert stretches == [[0, 1, 2, 3, 4, 5, 6], [8], [9, 10, 11, 12, 13, 14], [15], [17]]


@pytest.mark.parametrize("workers", [0, 1])
def test_a_joined_recording_is_its_utterances(dataset, workers):
    sampler = data.train_batches(dataset, batch_seconds=6.0, buckets=2, seed=1, joined_seconds=3.0)
    sampler.epoch = 2
    batches = list(data.loader(dataset, sampler, workers))
    assert len(batches) == len(sampler) and sorted(chain(*chain(*sampler.batches()))) == list(range(18))
    joined = 0
    for batch, recordings in zip(batches, sampler.batches(), strict=True):
        assert batch.audio.numel() <= 6.0 * 16000
        for row, numbers in enumerate(recordings):
            parts = [dataset.read(number) for number in numbers]
            audio, words = torch.cat([part.audio for part in parts]), " ".join(part.words for part in parts)
            assert batch.lengths[row] == len(audio) and batch.audio[row, : len(audio)].equal(audio)
            assert batch.words[row] == words
            assert batch.tokens[row, : batch.token_lengths[row]].equal(tokenize(dataset.tokenizer, words))
            assert batch.ids[row] == parts[0].id if len(parts) == 1 else f"{parts[0].id} to {parts[-1].id}"
            joined += len(parts) > 1
    assert joined > 2


def test_audio_that_cannot_be_read_is_left_out_of_its_recording(dataset, corpus, tmp_path):
    dataset.root = tmp_path
    numbers = joining_of(dataset).stretches[0][:3].tolist()
    for number in (numbers[0], numbers[2]):
        name = f"{dataset.ids[number]}.wav"
        (tmp_path / name).write_bytes((corpus[0] / name).read_bytes())
    batch = data.collate([dataset[tuple(numbers)]])
    assert batch.ids == ["utterance-00 to utterance-02"] and [item.id for item in batch.unusable] == ["utterance-01"]
    assert batch.words == ["THE QUEEN WALKED SEVEN GREEN STONES"]
    assert data.collate([dataset[(numbers[1],)]]).ids == []


def test_nothing_to_join_is_said(dataset):
    dataset.columns = dataset.columns._replace(goes_on=np.zeros(18, dtype=bool))
    with pytest.raises(
        DataError, match=r"^joined_seconds: no two utterances in a row are of one known speaker: give null for it$"
    ):
        data.train_batches(dataset, batch_seconds=6.0, buckets=2, seed=1, joined_seconds=3.0)


def test_a_run_trains_on_them(tmp_path, monkeypatch):
    parts, join = [], data.joined
    monkeypatch.setattr(data, "joined", lambda utterances: parts.append(len(utterances)) or join(utterances))
    options = ("--joined_seconds", "8", "--batch_seconds", "8", "--workers", "0", "--test_splits", "[]")
    assert train(small_corpus(tmp_path / "corpus"), tmp_path / "run", *options) == 0
    assert max(parts) > 2
