"""Batches of sentences for a language model, streamed from files of any size."""

import random
from collections.abc import Iterator
from itertools import islice
from pathlib import Path
from typing import NamedTuple

import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence
from torch.utils.data import DataLoader, IterableDataset, get_worker_info

from data_prep.errors import DataError
from data_prep.lm_text import TextSize, sentences, shuffled
from data_prep.tokenizer import END, IGNORED, START, UNKNOWN
from recipes.training.signals import outlive_first_signal

CHECKED_SENTENCES = 1000  # of the start of a text, to see whether the tokenizer fits
MAX_UNKNOWN = 0.2  # of the words


class TextBatch(NamedTuple):
    """Padded sentences: inputs `[B, U]` from the sentence start on, targets `[B, U]` the token after each.

    Targets end with the sentence end, and are IGNORED after it. words: of all the sentences together.
    """

    inputs: Tensor
    targets: Tensor
    words: int

    def to(self, device) -> "TextBatch":
        return TextBatch(
            self.inputs.to(device, non_blocking=True), self.targets.to(device, non_blocking=True), self.words
        )

    def pin_memory(self) -> "TextBatch":
        return TextBatch(self.inputs.pin_memory(), self.targets.pin_memory(), self.words)


class TextBatches(IterableDataset):
    """The sentences of `files` in batches of similar lengths, each sentence once in a pass.

    The text is shuffled about ``buffer`` sentences at a time and cut into batches. The order follows from (seed, epoch)
    alone: each of the loading ``workers`` goes through all of it, and tokenises the batches whose turn is its own.

    size: what ``data_prep.lm_text.count`` says of the files. longest: tokens that are kept of a sentence.
    rank, ranks: of several processes each takes every ``ranks``-th batch. even: all get equally many, as training
    together demands; who has no batch of its own left in the last round gets one that counts nothing.
    Set ``epoch`` before each pass, and ``skip`` to the number of batches, of all processes, that are done already.
    """

    def __init__(
        self,
        files: list[Path],
        tokenizer: SentencePieceProcessor,
        size: TextSize,
        *,
        batch_sentences: int,
        buffer: int = 10_000,
        longest: int | None = None,
        seed: int = 0,
        workers: int = 0,
        rank: int = 0,
        ranks: int = 1,
        even: bool = False,
    ):
        self.files, self.tokenizer, self.batch_sentences = files, tokenizer, batch_sentences
        self.buffer = max(buffer // batch_sentences, 1) * batch_sentences  # else every buffer had a short batch
        self.longest, self.seed, self.workers = longest, seed, workers
        self.rank, self.ranks, self.even, self.sentences = rank, ranks, even, size.sentences
        self.epoch, self.skip = 0, 0

    def total(self) -> int:
        """Batches of the whole epoch, those of every process."""
        return -(-self.sentences // self.batch_sentences)

    def __len__(self) -> int:
        """Batches that this process has still to do."""
        left = self.total() - self.skip
        return -(-left // self.ranks) if self.even else len(range(self.rank, left, self.ranks))

    def __iter__(self) -> Iterator[TextBatch]:
        # The loader asks its processes in turn, so that this one makes every `workers`-th of this rank's batches.
        worker = get_worker_info()
        first = self.skip + (worker.id if worker else 0) * self.ranks + self.rank
        end = self.skip + len(self) * self.ranks if self.even else self.total()
        own = range(first, end, max(self.workers, 1) * self.ranks)
        for number, batch in enumerate(self.batches()):
            if number in own:
                yield self.collate(batch)
        if own and own[-1] >= self.total():  # the last round has fewer batches than processes
            yield self.collate(next(self.batches()))

    def batches(self) -> Iterator[list[str]]:
        """All batches of the epoch, as lists of sentences."""
        key, size = f"{self.seed} {self.epoch} 0", self.batch_sentences
        for part in shuffled(sentences(self.files), self.buffer, key):
            part.sort(key=len)  # in characters, so that a resumed run need not tokenise what it passes over
            batches = [part[start : start + size] for start in range(0, len(part), size)]
            random.Random(key).shuffle(batches)
            yield from batches

    def collate(self, batch: list[str]) -> TextBatch:
        tokens = self.tokenizer.encode(batch)
        inputs = [torch.tensor([START, *sentence][: self.longest]) for sentence in tokens]
        targets = [torch.tensor([*sentence, END][: self.longest]) for sentence in tokens]
        return TextBatch(
            pad_sequence(inputs, batch_first=True, padding_value=END),
            pad_sequence(targets, batch_first=True, padding_value=IGNORED),
            sum(sentence.count(" ") + 1 for sentence in batch),
        )

    def loader(self) -> DataLoader:
        """Its processes start anew for each pass, so they see the current `epoch` and `skip`."""
        return DataLoader(
            self,
            batch_size=None,
            num_workers=self.workers,
            pin_memory=torch.cuda.is_available(),
            worker_init_fn=outlive_first_signal,
        )


def check_tokenizer(files: list[Path], tokenizer: SentencePieceProcessor) -> None:
    """Raises DataError when many of a text's first words are unknown to the tokenizer, as in lower case."""
    for file in files:
        words = [word for sentence in islice(sentences([file]), CHECKED_SENTENCES) for word in sentence.split()]
        unknown = [word for word, tokens in zip(words, tokenizer.encode(words), strict=True) if UNKNOWN in tokens]
        if len(unknown) > MAX_UNKNOWN * len(words):
            share = 100 * len(unknown) / len(words)
            raise DataError(
                f"{file}: {share:.0f} % of its words hold characters unknown to the tokenizer (as "
                f"'{unknown[0]}'): spell the text as the transcripts that the tokenizer was trained on"
            )
