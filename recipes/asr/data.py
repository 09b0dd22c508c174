"""From manifests to batches: loading processes read, resample and speed-perturb audio, and tokenise text."""

import random
from functools import partial
from pathlib import Path
from typing import NamedTuple

import soundfile
import torch
from sentencepiece import SentencePieceProcessor
from speechbrain.dataio.dataset import DynamicItemDataset
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from data_prep.ctc_fit import too_many_tokens
from data_prep.errors import DataError
from data_prep.manifest import utterances_by_id
from data_prep.tokenizer import BLANK
from recipes.asr.batches import DurationBatches
from recipes.asr.resample import resample
from recipes.training.processes import rank, ranks


class Batch(NamedTuple):
    """Padded utterances. Lengths are absolute: relative lengths, as in PaddedBatch, round frames away."""

    ids: list[str]
    audio: Tensor  # [B, samples]
    lengths: Tensor  # in samples, int64 [B]
    tokens: Tensor  # [B, U], padded with the blank
    token_lengths: Tensor  # int64 [B]
    words: list[str]

    def to(self, device) -> "Batch":
        moved = (part.to(device, non_blocking=True) if isinstance(part, Tensor) else part for part in self)
        return Batch(*moved)

    def pin_memory(self) -> "Batch":
        return Batch(*(part.pin_memory() if isinstance(part, Tensor) else part for part in self))


class AudioError(DataError):
    """Audio that cannot be used.

    torch raises the error of a loading process anew, with that process's whole traceback as the message; the
    traceback's last line is the original message.
    """

    def __init__(self, message: str):
        super().__init__(message.strip().rpartition("\n")[2].removeprefix(f"{__name__}.{type(self).__name__}: "))


class AudioReader:
    """Reads an utterance as 16 kHz mono float32, at a random speed of `speeds`, in percent.

    The speed follows from (seed, epoch, utterance) alone, so that a resumed run reads what the unbroken run would,
    whichever process reads it. Set `epoch` before each pass.
    """

    def __init__(self, *, speeds: tuple[int, ...] = (100,), sample_rate: int = 16000, seed: int = 0):
        self.speeds, self.sample_rate, self.seed, self.epoch = tuple(speeds), sample_rate, seed, 0

    def __call__(self, path: str, utterance: str) -> Tensor:
        """Returns `[samples]`. Raises AudioError, naming the file, when it cannot be read or holds no sample."""
        try:
            samples, rate = soundfile.read(path, dtype="float32", always_2d=True)
        except (OSError, RuntimeError) as error:
            raise AudioError(f"cannot read the audio of {utterance}, {path}: {error}; prepare the data again") from None
        if not len(samples):
            raise AudioError(f"the audio of {utterance}, {path}, holds no sample; prepare the data again")
        audio = torch.from_numpy(samples).mean(1)
        speed = random.Random(f"{self.seed} {self.epoch} {utterance}").choice(self.speeds)
        # To resample from a higher rate than the audio has makes speech faster. In two passes: 22050 Hz at 95 percent
        # has no common divisor with 16000, and resampling would take a minute.
        return resample(resample(audio, rate, self.sample_rate), speed, 100)


def tokenize(tokenizer: SentencePieceProcessor, words: str) -> Tensor:
    """Token ids `[U]`. Characters that the tokenizer never saw are left out: their id is CTC's blank."""
    return torch.tensor([token for token in tokenizer.encode(words) if token != BLANK], dtype=torch.long)


def detokenize(tokenizer: SentencePieceProcessor, tokens: list[int]) -> str:
    """The words of token ids. Ids above the tokenizer's own, which models have for short texts, are left out."""
    return tokenizer.decode([token for token in tokens if token < tokenizer.vocab_size()])


def utterances(
    manifest: Path,
    root: Path,
    reader: AudioReader,
    tokenizer: SentencePieceProcessor,
    *,
    longest: float | None = None,
    fit_ctc: bool = False,
) -> DynamicItemDataset:
    """The utterances of a manifest, longest first. longest: seconds; longer utterances are left out.

    fit_ctc: leave out utterances with more tokens than CTC can emit in their frames at the reader's highest speed, of
    which CTC would learn nothing; the dataset's `too_many_tokens` lists their IDs. Raises DataError when no utterance
    is left.
    """
    rows = utterances_by_id(manifest, root)
    if not rows:
        raise DataError(f"{manifest}: the manifest holds no utterance; prepare the data again")
    unfit = too_many_tokens(rows, tokenizer, partial(encoder_frames, reader)) if fit_ctc else []
    for identifier in unfit:
        del rows[identifier]
    if not rows:
        raise DataError(f"{manifest}: every utterance has more tokens than frames; take a larger vocab_size")
    dataset = DynamicItemDataset(rows)
    limits = {} if longest is None else {"duration": longest}
    dataset = dataset.filtered_sorted(key_max_value=limits, sort_key="duration", reverse=True)
    if not len(dataset):
        raise DataError(f"{manifest}: no utterance is as short as {longest} seconds; raise max_seconds")
    # After the sorting, which would copy the reader, so that the copy would not learn of the epochs.
    dataset.add_dynamic_item(reader, takes=["wav", "id"], provides="audio")
    dataset.add_dynamic_item(partial(tokenize, tokenizer), takes="wrd", provides="tokens")
    dataset.set_output_keys(["id", "audio", "tokens", "wrd"])
    dataset.too_many_tokens = unfit
    return dataset


def encoder_frames(reader: AudioReader, seconds: float) -> int:
    """Encoder frames of an utterance of so many seconds, read at the reader's highest speed.

    `recipes.models.LogMel` makes a feature frame every 10 ms, `recipes.models.ConvFrontend` one frame of four.
    """
    samples = -(-round(seconds * reader.sample_rate) * 100 // max(reader.speeds))
    feature_frames = 1 + samples // (reader.sample_rate // 100)
    return -(-feature_frames // 4)


def collate(items: list[dict]) -> Batch:
    audio, tokens = [item["audio"] for item in items], [item["tokens"] for item in items]
    return Batch(
        ids=[item["id"] for item in items],
        audio=pad_sequence(audio, batch_first=True),
        lengths=torch.tensor([len(samples) for samples in audio]),
        tokens=pad_sequence(tokens, batch_first=True, padding_value=BLANK),
        token_lengths=torch.tensor([len(pieces) for pieces in tokens]),
        words=[item["wrd"] for item in items],
    )


def train_batches(dataset: DynamicItemDataset, *, batch_seconds: float, buckets: int, seed: int) -> DurationBatches:
    """Batches to train on, new in every epoch, of which this process takes its share."""
    return DurationBatches(
        durations(dataset), batch_seconds, buckets=buckets, seed=seed, rank=rank(), ranks=ranks(), even=True
    )


def test_batches(dataset: DynamicItemDataset, batch_seconds: float) -> DurationBatches:
    """Batches to evaluate on: like lengths together, the longest first, every utterance in one process alone."""
    return DurationBatches(durations(dataset), batch_seconds, rank=rank(), ranks=ranks())


def durations(dataset: DynamicItemDataset) -> list[float]:
    """Seconds of each utterance of a dataset, in its order."""
    return [float(dataset.data[identifier]["duration"]) for identifier in dataset.data_ids]


def loader(dataset: DynamicItemDataset, batches: DurationBatches, workers: int) -> DataLoader:
    """Its processes are started anew for each pass, so that they know the epoch."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
    )
