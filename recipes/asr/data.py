"""From utterances to padded batches, in loading processes."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader

from data_prep.errors import DataError
from data_prep.tokenizer import BLANK
from recipes.asr.audio import AudioError
from recipes.asr.batches import DurationBatches, Recording
from recipes.asr.joining import Joining
from recipes.asr.utterances import Utterance, Utterances
from recipes.training.processes import rank, ranks
from recipes.training.signals import outlive_first_signal

SILENCE = 1600  # samples


class Unusable(NamedTuple):
    """An utterance whose audio cannot be used. kind: of the problem; reason: with the file."""

    id: str
    seconds: float
    kind: str
    reason: str


class Batch(NamedTuple):
    """Padded utterances. Lengths are absolute: relative lengths, as in PaddedBatch, round frames away.

    If none of its audio could be read, a batch has no ids, and a tenth of a second of silence as its audio.
    """

    ids: list[str]
    audio: Tensor  # [B, samples]
    lengths: Tensor  # in samples, int64 [B]
    tokens: Tensor  # [B, U], padded with the blank
    token_lengths: Tensor  # int64 [B]
    words: list[str]
    unusable: tuple[Unusable, ...] = ()  # left out

    def to(self, device) -> "Batch":
        moved = (part.to(device, non_blocking=True) if isinstance(part, Tensor) else part for part in self)
        return Batch(*moved)

    def repeated(self, times: int) -> "Batch":
        """All utterances ``times`` times over, in the order of a model's output for several views."""
        tensors = (part.repeat(times, *(1,) * (part.dim() - 1)) for part in self if isinstance(part, Tensor))
        audio, lengths, tokens, token_lengths = tensors
        return Batch(self.ids * times, audio, lengths, tokens, token_lengths, self.words * times)

    def pin_memory(self) -> "Batch":
        return Batch(*(part.pin_memory() if isinstance(part, Tensor) else part for part in self))


def collate(recordings: Sequence[Utterance | tuple[Utterance, ...]]) -> Batch:
    """A batch of the utterances whose audio could be read; its `unusable` names the others.

    A tuple of utterances is joined into one recording.
    """
    several = [(recording,) if isinstance(recording, Utterance) else recording for recording in recordings]
    unusable = [
        Unusable(utterance.id, utterance.seconds, utterance.audio.kind, str(utterance.audio))
        for parts in several
        for utterance in parts
        if isinstance(utterance.audio, AudioError)
    ]
    readable = ([part for part in parts if isinstance(part.audio, Tensor)] for parts in several)
    heard = [joined(parts) for parts in readable if parts]
    audio = [utterance.audio for utterance in heard] or [torch.zeros(SILENCE)]
    tokens = [utterance.tokens for utterance in heard] or [torch.zeros(0, dtype=torch.long)]
    return Batch(
        ids=[utterance.id for utterance in heard],
        audio=pad_sequence(audio, batch_first=True),
        lengths=torch.tensor([len(samples) for samples in audio]),
        tokens=pad_sequence(tokens, batch_first=True, padding_value=BLANK),
        token_lengths=torch.tensor([len(pieces) for pieces in tokens]),
        words=[utterance.words for utterance in heard],
        unusable=tuple(unusable),
    )


def joined(utterances: Sequence[Utterance]) -> Utterance:
    """Several utterances as one, one after the other without pauses between them."""
    first, last = utterances[0], utterances[-1]
    return Utterance(
        id=first.id if first is last else f"{first.id} to {last.id}",
        seconds=sum(utterance.seconds for utterance in utterances),
        audio=torch.cat([utterance.audio for utterance in utterances]),
        tokens=torch.cat([utterance.tokens for utterance in utterances]),
        words=" ".join(utterance.words for utterance in utterances),
    )


def train_batches(
    dataset: Utterances,
    *,
    batch_seconds: float,
    buckets: int,
    seed: int,
    ascending_epochs: int = 0,
    joined_seconds: float | None = None,
) -> DurationBatches:
    """This process's share of the training batches, which are drawn anew for every epoch.

    joined_seconds: join consecutive utterances of a speaker up to this length. Raises DataError if none can be joined.
    """
    joining = None
    if joined_seconds is not None:
        joining = Joining(dataset.stretches(), dataset.durations, joined_seconds, seed)
        if all(len(stretch) == 1 for stretch in joining.stretches):
            raise DataError("joined_seconds: no two utterances in a row are of one known speaker: give null for it")
    return DurationBatches(
        dataset.durations,
        batch_seconds,
        buckets=buckets,
        seed=seed,
        ascending_epochs=ascending_epochs,
        joining=joining,
        rank=rank(),
        ranks=ranks(),
        even=True,
    )


def test_batches(dataset: Utterances, batch_seconds: float) -> DurationBatches:
    """Batches to evaluate on: similar lengths together, the longest first, each utterance in only one process."""
    return DurationBatches(dataset.durations, batch_seconds, rank=rank(), ranks=ranks())


def read(dataset: Utterances, recordings: Sequence[Recording]) -> Batch:
    """Read a batch in this process."""
    return collate([dataset[recording] for recording in recordings])


def loader(dataset: Utterances, batches: Iterable[list[Recording]], workers: int) -> DataLoader:
    """Reads batches in loading processes. These start anew for each pass, so they see the current epoch."""
    return DataLoader(
        dataset,
        batch_sampler=batches,
        collate_fn=collate,
        num_workers=workers,
        pin_memory=torch.cuda.is_available(),
        worker_init_fn=outlive_first_signal,
    )
