"""From audio files and manifests to batches."""

import errno
import re
from itertools import chain
from pathlib import Path

import numpy as np
import pytest
import soundfile
import torch

from data_prep.ctc_fit import frames_needed
from data_prep.errors import DataError
from data_prep.manifest import read_rows
from data_prep.tokenizer import detokenize, load_tokenizer, train_tokenizer
from recipes.asr import data
from recipes.asr.audio import AudioError, AudioReader, KeptBackAudio
from recipes.asr.data import Unusable, collate
from recipes.asr.remarks import TOO_MANY_TOKENS
from recipes.asr.utterances import Utterance, encoder_frames, read_utterances, tokenize
from recipes.models import ConvFrontend, LogMel
from tests.support.manifests import to_csv

SENTENCES = ["THE QUEEN WALKED", "A BOX", "SEVEN GREEN STONES", "DON'T"]


def tone(seconds: float, rate: int, hertz: float = 440.0) -> np.ndarray:
    return 0.5 * np.sin(2 * np.pi * hertz * np.arange(round(seconds * rate)) / rate)


def pitch(audio: torch.Tensor, rate: int = 16000) -> float:
    """The loudest frequency, in Hz."""
    return audio.numpy().size and float(np.argmax(np.abs(np.fft.rfft(audio.numpy()))) * rate / len(audio))


@pytest.fixture
def corpus(tmp_path):
    """A manifest of 13 utterances of 0.2 to 1.4 s, and its tokenizer."""
    rows = []
    for number in range(13):
        name, seconds = f"1-2-{number:04d}", 0.2 + 0.1 * ((number * 5) % 13)
        soundfile.write(tmp_path / f"{name}.flac", tone(seconds, 16000, 100 + 50 * number), 16000)
        rows.append([name, seconds, f"$data_root/{name}.flac", "1-2", SENTENCES[number % 4]])
    (tmp_path / "train.csv").write_bytes(to_csv(rows))
    return tmp_path, load_tokenizer(train_tokenizer(tmp_path / "train.csv", tmp_path, "char", 32))


def dataset_of(corpus, **options):
    folder, tokenizer = corpus
    return read_utterances(folder / "train.csv", folder, options.pop("reader", AudioReader()), tokenizer, **options)


# --- audio --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("rate", [8000, 11025, 16000, 22050, 44100, 48000])
@pytest.mark.parametrize("suffix", ["flac", "wav"])
def test_audio_comes_out_at_16_khz(tmp_path, rate, suffix):
    path = tmp_path / f"a.{suffix}"
    soundfile.write(path, tone(0.5, rate), rate)
    audio = AudioReader()(str(path), "a")
    assert audio.dtype == torch.float32 and audio.dim() == 1
    assert abs(len(audio) - 8000) <= 1
    assert pitch(audio) == pytest.approx(440, abs=2)
    assert audio[1000:-1000].abs().max() == pytest.approx(0.5, abs=0.03)


def test_channels_are_averaged(tmp_path):
    left, right = tone(0.2, 16000), tone(0.2, 16000, 700)
    soundfile.write(tmp_path / "a.flac", np.stack([left, right], 1), 16000)
    audio = AudioReader()(str(tmp_path / "a.flac"), "a")
    np.testing.assert_allclose(audio, (left + right) / 2, atol=1e-4)


@pytest.mark.parametrize("rate", [16000, 22050, 44100])
@pytest.mark.parametrize("speed", [90, 95, 105, 110])
def test_speed_changes_length_and_pitch(tmp_path, speed, rate):
    soundfile.write(tmp_path / "a.flac", tone(0.5, rate), rate)
    audio = AudioReader(speeds=(speed,))(str(tmp_path / "a.flac"), "a")
    assert abs(len(audio) - 8000 * 100 / speed) <= 2
    assert pitch(audio) == pytest.approx(440 * speed / 100, abs=3)


def test_speed_follows_from_seed_epoch_and_utterance(tmp_path):
    soundfile.write(tmp_path / "a.flac", tone(0.2, 16000), 16000)

    def lengths(seed: int, epoch: int) -> list[int]:
        reader = AudioReader(speeds=(90, 100, 110), seed=seed)
        reader.epoch = epoch
        return [len(reader(str(tmp_path / "a.flac"), f"utterance {n}")) for n in range(20)]

    first = lengths(seed=1, epoch=1)
    assert set(first) == {3556, 3200, 2910}, "each speed comes up"
    assert first == lengths(seed=1, epoch=1)
    assert first != lengths(seed=1, epoch=2)
    assert first != lengths(seed=2, epoch=1)


def corrupted(path: Path) -> None:
    soundfile.write(path, tone(0.2, 16000), 16000)
    path.write_bytes(b"nothing of a FLAC file" + path.read_bytes()[40:])


def cut_short(path: Path) -> None:
    random = np.random.default_rng(0)
    soundfile.write(path, 0.1 * random.standard_normal(16000), 16000)
    path.write_bytes(path.read_bytes()[:9000])


def mp3_cut_short(path: Path) -> None:
    random = np.random.default_rng(0)
    soundfile.write(path, 0.1 * random.standard_normal(16000), 16000, format="MP3")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def length_unknown(path: Path) -> None:
    """FLAC written to a pipe; its preparation refuses it, but files may be exchanged later."""
    soundfile.write(path, 0.1 * np.random.default_rng(0).standard_normal(16000), 16000)
    content = bytearray(path.read_bytes())
    content[21] &= 0xF0
    content[22:26] = bytes(4)
    path.write_bytes(content)


def empty(path: Path) -> None:
    soundfile.write(path, np.zeros(0), 16000, format="WAV")


def not_finite(path: Path) -> None:
    soundfile.write(path, np.array([0.1, np.nan, 0.1]), 16000, format="WAV", subtype="FLOAT")


BROKEN = {
    "missing": (lambda path: None, "damaged audio file", "{path} cannot be read: Error opening .*"),
    "corrupted": (corrupted, "damaged audio file", "{path} cannot be read: .*"),
    "cut short": (cut_short, "damaged audio file", "{path} cannot be read: .*"),
    "MP3 cut short": (
        mp3_cut_short,
        "damaged audio file",
        "{path} cannot be read: it ends too early, .*",
    ),
    "length unknown": (length_unknown, "damaged audio file", "{path} cannot be read: .*"),
    "empty": (empty, "empty audio file", "{path} holds no sample"),
    "NaN": (not_finite, "audio with NaN or infinity", "{path} holds NaN or infinity"),
}


@pytest.mark.parametrize("damage, kind, message", BROKEN.values(), ids=BROKEN)
def test_unusable_audio_is_named_in_a_line(tmp_path, damage, kind, message):
    path = tmp_path / "7-8-0001.flac"
    damage(path)
    with pytest.raises(AudioError) as error:
        AudioReader()(str(path), "7-8-0001")
    assert error.value.kind == kind
    assert re.fullmatch(message.format(path=path), str(error.value)), str(error.value)
    assert type(AudioReader().attempt(str(path), "7-8-0001")) is type(error.value)


def test_audio_that_the_machine_keeps_back_is_no_damage(tmp_path, monkeypatch):
    """libsndfile says "System error" of both."""

    def denied(path, mode):
        raise PermissionError(errno.EACCES, "Permission denied", path)

    path = str(tmp_path / "7-8-0001.flac")
    monkeypatch.setattr("recipes.asr.audio.open", denied, raising=False)
    with pytest.raises(KeptBackAudio, match=f"^{path} cannot be read: Permission denied$"):
        AudioReader()(path, "7-8-0001")


@pytest.mark.parametrize("workers", [0, 1])
def test_unusable_audio_is_left_out_of_its_batch(corpus, workers):
    """A batch of none but such is one of silence without utterances, for a process must not be without a batch."""
    dataset, folder = dataset_of(corpus), corpus[0]
    broken = {"1-2-0003", *[dataset.ids[index] for index in data.test_batches(dataset, 2.0).batches()[0]]}
    for name in broken:
        corrupted(folder / f"{name}.flac")
    batches = list(data.loader(dataset, data.test_batches(dataset, 2.0), workers))
    assert sorted(chain(*(batch.ids for batch in batches))) == sorted(set(dataset.ids) - broken)
    unusable = {utterance.id: utterance for batch in batches for utterance in batch.unusable}
    assert unusable.keys() == broken
    path = folder / "1-2-0003.flac"
    assert unusable["1-2-0003"][:3] == ("1-2-0003", pytest.approx(0.4), "damaged audio file")
    assert unusable["1-2-0003"].reason.startswith(f"{path} cannot be read: ")
    silent = batches[0]
    assert silent.ids == silent.words == [] and isinstance(silent.unusable[0], Unusable)
    assert silent.audio.shape == (1, 1600) and silent.token_lengths.tolist() == [0]


# --- text ---------------------------------------------------------------------------------------------------


def test_tokens_and_back(corpus):
    _, tokenizer = corpus
    for words in SENTENCES:
        tokens = tokenize(tokenizer, words)
        assert tokens.dtype == torch.int64 and tokens.min() > 2
        assert detokenize(tokenizer, tokens.tolist()) == words


def test_characters_that_the_tokenizer_never_saw_are_left_out(corpus):
    """Their id would be CTC's blank, which no target may hold."""
    _, tokenizer = corpus
    assert tokenize(tokenizer, "QUÜEEN").tolist() == tokenize(tokenizer, "QUEEN").tolist()
    assert data.BLANK not in tokenize(tokenizer, "ZÜGE, ÄPFEL 7").tolist()


def test_outputs_above_the_tokenizers_say_nothing(corpus):
    """A model has vocab_size outputs, though the text may give fewer pieces."""
    _, tokenizer = corpus
    tokens = tokenize(tokenizer, "A BOX").tolist()
    assert tokenizer.vocab_size() < 32
    assert detokenize(tokenizer, [31, *tokens, tokenizer.vocab_size()]) == "A BOX"
    assert detokenize(tokenizer, [31]) == detokenize(tokenizer, []) == ""


# --- data sets ----------------------------------------------------------------------------------------------


def test_utterances_are_read_longest_first(corpus):
    dataset = dataset_of(corpus)
    items = [dataset[n] for n in range(len(dataset))]
    assert len(items) == 13
    lengths = [len(item.audio) for item in items]
    assert lengths == sorted(lengths, reverse=True)
    for item in items:
        number = int(item.id[-4:])
        assert item.words == SENTENCES[number % 4]
        assert len(item.audio) == round(16000 * (0.2 + 0.1 * ((number * 5) % 13)))
        assert item.tokens.tolist() == tokenize(corpus[1], item.words).tolist()


def test_utterances_are_read_by_the_reader_that_was_given(corpus):
    """Not by a copy of it, for which no epoch would ever begin."""
    reader = AudioReader(speeds=(80, 100, 120))
    dataset = dataset_of(corpus, reader=reader, longest=1.0)
    lengths = []
    for reader.epoch in (1, 2):
        lengths.append([len(dataset[n].audio) for n in range(len(dataset))])
    assert lengths[0] != lengths[1]


def test_a_dollar_in_a_transcript_is_text(corpus):
    folder, _ = corpus
    content = (folder / "train.csv").read_text()
    (folder / "train.csv").write_text(content.replace("A BOX", "A $BOX"))
    assert "A $BOX" in [item.words for item in dataset_of(corpus)]


def test_longer_utterances_are_left_out(corpus):
    dataset = dataset_of(corpus, longest=0.75)
    assert len(dataset) == 6
    assert max(len(dataset[n].audio) for n in range(6)) == 16000 * 0.7


@pytest.mark.parametrize("speeds", [(100,), (90, 100, 110), (100, 200)])
@pytest.mark.parametrize("seconds", [0.01, 0.0401, 0.33, 0.785, 1.0, 12.345])
@pytest.mark.parametrize("channels", [(2, 2), (2, 2, 2)], ids=["of four", "of eight"])
def test_frames_of_an_utterance_are_those_of_the_model(tmp_path, speeds, seconds, channels):
    soundfile.write(tmp_path / "a.wav", tone(seconds, 16000), 16000)
    seconds = soundfile.info(tmp_path / "a.wav").duration
    audio = AudioReader(speeds=(max(speeds),))(str(tmp_path / "a.wav"), "a")
    frontend = ConvFrontend(8, channels=channels)
    _, lengths = frontend(*LogMel()(audio[None], torch.tensor([len(audio)])))
    assert encoder_frames(AudioReader(speeds=speeds), seconds, frontend.subsampling) == lengths.item()


def test_utterances_with_more_tokens_than_frames_are_left_out(corpus):
    folder, tokenizer = corpus
    rows = list(read_rows(folder / "train.csv"))
    dataset = dataset_of(corpus, fit_ctc=True)
    frames = {row[0]: encoder_frames(AudioReader(), float(row[1])) for row in rows}
    unfit = [row[0] for row in rows if frames[row[0]] < frames_needed(tokenizer.encode(row[4]))]
    assert list(dataset.left_out[TOO_MANY_TOKENS]) == unfit and 0 < len(unfit) < 13
    assert sorted(dataset.ids + unfit) == [row[0] for row in rows]
    assert len(dataset_of(corpus)) == 13
    assert set(unfit) < set(dataset_of(corpus, fit_ctc=True, subsampling=8).left_out[TOO_MANY_TOKENS])
    faster = dataset_of(corpus, fit_ctc=True, reader=AudioReader(speeds=(100, 200)))
    assert set(unfit) < set(faster.left_out[TOO_MANY_TOKENS])


def test_no_utterance_with_frames_enough(corpus):
    manifest = corpus[0] / "train.csv"
    manifest.write_bytes(to_csv([["a", 0.1, "$data_root/1-2-0000.flac", "1-2", "SEVEN GREEN STONES"]]))
    with pytest.raises(DataError) as error:
        dataset_of(corpus, fit_ctc=True)
    assert str(error.value) == f"{manifest}: every utterance has more tokens than frames; take a larger vocab_size"


def test_empty_manifest(corpus):
    manifest = corpus[0] / "train.csv"
    manifest.write_bytes(to_csv([]))
    with pytest.raises(DataError) as error:
        dataset_of(corpus)
    assert str(error.value) == f"{manifest}: the manifest holds no utterance; prepare the data again"


def test_no_utterance_short_enough(corpus):
    with pytest.raises(DataError) as error:
        dataset_of(corpus, longest=0.1)
    assert str(error.value) == f"{corpus[0] / 'train.csv'}: no utterance is as short as 0.1 seconds; raise max_seconds"


# --- batches ------------------------------------------------------------------------------------------------


def test_collate_keeps_exact_lengths():
    """Also those that a share of the longest, in float32, would round."""
    lengths = [560_001, 559_999, 12_345, 1]
    items = [
        Utterance(f"u{n}", length / 16000, torch.full((length,), n + 1.0), torch.arange(3, 3 + n), "W " * n)
        for n, length in enumerate(lengths)
    ]
    batch = collate(items)
    assert batch.ids == ["u0", "u1", "u2", "u3"] and batch.words == [item.words for item in items]
    assert batch.lengths.tolist() == lengths and batch.lengths.dtype == torch.int64
    assert batch.token_lengths.tolist() == [0, 1, 2, 3]
    assert batch.audio.shape == (4, 560_001) and batch.tokens.shape == (4, 3)
    for n, length in enumerate(lengths):
        assert (batch.audio[n, :length] == n + 1).all() and (batch.audio[n, length:] == 0).all()
        assert batch.tokens[n].tolist() == [*range(3, 3 + n), *[data.BLANK] * (3 - n)]


def test_batch_moves_to_a_device(corpus):
    dataset = dataset_of(corpus)
    batch = collate([dataset[0], dataset[1]])
    moved = batch.to("meta")
    assert {part.device.type for part in moved if isinstance(part, torch.Tensor)} == {"meta"}
    assert moved.ids == batch.ids and moved.words == batch.words


@pytest.mark.parametrize("workers", [0, 1])
def test_every_epoch_has_every_utterance_once_in_new_batches(corpus, workers):
    dataset, epochs = dataset_of(corpus), []
    sampler = data.train_batches(dataset, batch_seconds=3.0, buckets=4, seed=5)
    for epoch in (1, 2, 3):
        sampler.epoch = epoch
        epochs.append([batch.ids for batch in data.loader(dataset, sampler, workers)])
        assert sorted(chain(*epochs[-1])) == sorted(dataset.ids)
        assert len(epochs[-1]) == len(sampler)
    assert epochs[0] != epochs[1] != epochs[2]


def test_curriculum_by_length_orders_the_first_epochs_alone(corpus):
    dataset = dataset_of(corpus)
    batches = data.train_batches(dataset, batch_seconds=2.0, buckets=10, seed=0, ascending_epochs=2)
    ascending = []
    for epoch in range(1, 6):
        batches.epoch = epoch
        assert sorted(chain(*batches.batches())) == list(range(len(dataset)))
        longest = [dataset.durations[batch].max() for batch in batches.batches()]
        ascending.append(longest == sorted(longest))
    assert ascending[:2] == [True, True] and not all(ascending[2:])


@pytest.mark.parametrize("use", ["train", "test"])
def test_batches_hold_no_more_seconds_than_asked(corpus, use):
    dataset = dataset_of(corpus)
    if use == "train":
        sampler = data.train_batches(dataset, batch_seconds=2.0, buckets=10, seed=0)
    else:
        sampler = data.test_batches(dataset, 2.0)
    padded = [batch.audio.numel() / 16000 for batch in data.loader(dataset, sampler, 0)]
    assert max(padded) <= 2.0 and len(padded) < 13


def test_evaluation_is_longest_first_and_the_same_each_time(corpus):
    dataset = dataset_of(corpus)
    loader = data.loader(dataset, data.test_batches(dataset, 2.0), 0)
    first = list(loader)
    assert sorted(chain(*(batch.ids for batch in first))) == sorted(dataset.ids)
    longest = [batch.lengths.max().item() for batch in first]
    assert longest == sorted(longest, reverse=True)
    assert [batch.ids for batch in first] == [batch.ids for batch in loader]
