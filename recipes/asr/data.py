"""From manifests to batches: loading processes read audio and tokenise text."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

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
from recipes.asr.audio import AudioError, AudioReader
from recipes.asr.batches import DurationBatches
from recipes.asr.remarks import TOO_LONG, TOO_MANY_TOKENS
from recipes.training.processes import rank, ranks

SILENCE = 1600  # samples


class Unread(NamedTuple):
    """An utterance whose audio cannot be used. kind: of the problem; reason: with the file."""

    id: str
    seconds: float
    kind: str
    reason: str


class Batch(NamedTuple):
    """Padded utterances. Lengths are absolute: relative lengths, as in PaddedBatch, round frames away.

    A batch of which no audio could be read has no ids, and a tenth of a second of silence to stand for them.
    """

    ids: list[str]
    audio: Tensor  # [B, samples]
    lengths: Tensor  # in samples, int64 [B]
    tokens: Tensor  # [B, U], padded with the blank
    token_lengths: Tensor  # int64 [B]
    words: list[str]
    unread: tuple[Unread, ...] = ()  # left out

    def to(self, device) -> "Batch":
        moved = (part.to(device, non_blocking=True) if isinstance(part, Tensor) else part for part in self)
        return Batch(*moved)

    def pin_memory(self) -> "Batch":
        return Batch(*(part.pin_memory() if isinstance(part, Tensor) else part for part in self))


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
    which CTC would learn nothing. The dataset's `left_out` has the seconds of those left out by kind and name, its
    `total` the number of all. Raises DataError when no utterance is left.
    """
    rows = utterances_by_id(manifest, root)
    if not rows:
        raise DataError(f"{manifest}: the manifest holds no utterance; prepare the data again")
    unfit = too_many_tokens(rows, tokenizer, partial(encoder_frames, reader)) if fit_ctc else []
    left_out, total = {TOO_MANY_TOKENS: {name: rows.pop(name)["duration"] for name in unfit}}, len(rows) + len(unfit)
    if not rows:
        raise DataError(f"{manifest}: every utterance has more tokens than frames; take a larger vocab_size")
    too_long = [name for name, row in rows.items() if longest is not None and row["duration"] > longest]
    left_out[TOO_LONG] = {name: rows.pop(name)["duration"] for name in too_long}
    if not rows:
        raise DataError(f"{manifest}: no utterance is as short as {longest} seconds; raise max_seconds")
    dataset = DynamicItemDataset(rows).filtered_sorted(sort_key="duration", reverse=True)
    # After the sorting, which would copy the reader, so that the copy would not learn of the epochs.
    dataset.add_dynamic_item(reader.attempt, takes=["wav", "id"], provides="audio")
    dataset.add_dynamic_item(partial(tokenize, tokenizer), takes="wrd", provides="tokens")
    dataset.set_output_keys(["id", "audio", "tokens", "wrd", "duration"])
    dataset.left_out, dataset.total = left_out, total
    return dataset


def encoder_frames(reader: AudioReader, seconds: float) -> int:
    """Encoder frames of an utterance of so many seconds, read at the reader's highest speed.

    `recipes.models.LogMel` makes a feature frame every 10 ms, `recipes.models.ConvFrontend` one frame of four.
    """
    samples = -(-round(seconds * reader.sample_rate) * 100 // max(reader.speeds))
    feature_frames = 1 + samples // (reader.sample_rate // 100)
    return -(-feature_frames // 4)


def collate(items: list[dict]) -> Batch:
    """A batch of the utterances whose audio could be read; the others are named in it."""
    unread = [
        Unread(item["id"], item["duration"], item["audio"].kind, str(item["audio"]))
        for item in items
        if isinstance(item["audio"], AudioError)
    ]
    items = [item for item in items if isinstance(item["audio"], Tensor)]
    audio = [item["audio"] for item in items] or [torch.zeros(SILENCE)]
    tokens = [item["tokens"] for item in items] or [torch.zeros(0, dtype=torch.long)]
    return Batch(
        ids=[item["id"] for item in items],
        audio=pad_sequence(audio, batch_first=True),
        lengths=torch.tensor([len(samples) for samples in audio]),
        tokens=pad_sequence(tokens, batch_first=True, padding_value=BLANK),
        token_lengths=torch.tensor([len(pieces) for pieces in tokens]),
        words=[item["wrd"] for item in items],
        unread=tuple(unread),
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
