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
from data_prep.lm_text import TextSize, sentences, shard, shuffled
from data_prep.tokenizer import END, IGNORED, START, UNKNOWN

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

    Of n loading processes each takes every n-th sentence, shuffles about `buffer` of them at a time, and cuts these
    into batches. The order follows from (seed, epoch) and the number of processes. Set `epoch` before each pass, and
    `skip` to the number of its batches that are done already.
    size: sentences and words of the files, from `data_prep.lm_text.count`. longest: tokens that are kept of a
    sentence. workers: loading processes, 0 for none. ranks: processes that train together; all get equally many
    batches, so that none waits for ever. Raises DataError where there are fewer sentences than ranks.
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
        ranks: int = 1,
        rank: int = 0,
    ):
        self.files, self.tokenizer, self.batch_sentences = files, tokenizer, batch_sentences
        self.buffer = max(buffer // batch_sentences, 1) * batch_sentences  # else every buffer had a short batch
        self.longest, self.seed, self.workers, self.shards = longest, seed, workers, max(workers, 1)
        self.rank, self.ranks, self.sentences = rank, ranks, size.sentences // ranks
        self.epoch, self.skip = 0, 0
        if not self.sentences:
            raise DataError(f"{files[0]}: {size.sentences} sentences are too few for {ranks} processes")

    def __len__(self) -> int:
        return sum(-(-self.share(index) // self.batch_sentences) for index in range(self.shards))

    def share(self, index: int) -> int:
        """How many sentences loading process `index` takes."""
        return len(range(index, self.sentences, self.shards))

    def __iter__(self) -> Iterator[TextBatch]:
        worker = get_worker_info()
        # The loader asks its processes in turn, from the first on. Where a pass goes on in the middle of a round,
        # the first must take the part of the process whose turn it was.
        index = ((worker.id if worker else 0) + self.skip) % self.shards
        done = len(range(index, self.skip, self.shards))
        return map(self.collate, islice(self.batches(index), done, None))

    def batches(self, index: int) -> Iterator[list[str]]:
        """The sentences of loading process `index`, in batches."""
        own = shard(shard(sentences(self.files), self.rank, self.ranks), index, self.shards)
        key, size = f"{self.seed} {self.epoch} {self.rank} {index}", self.batch_sentences
        for buffer in shuffled(islice(own, self.share(index)), self.buffer, key):
            buffer.sort(key=len)  # in characters, so that a resumed run need not tokenise what it passes over
            batches = [buffer[start : start + size] for start in range(0, len(buffer), size)]
            random.Random(key).shuffle(batches)
            yield from batches

    def collate(self, batch: list[str]) -> TextBatch:
        pieces = self.tokenizer.encode(batch)
        inputs = [torch.tensor([START, *tokens][: self.longest]) for tokens in pieces]
        targets = [torch.tensor([*tokens, END][: self.longest]) for tokens in pieces]
        return TextBatch(
            pad_sequence(inputs, batch_first=True, padding_value=END),
            pad_sequence(targets, batch_first=True, padding_value=IGNORED),
            sum(sentence.count(" ") + 1 for sentence in batch),
        )

    def loader(self) -> DataLoader:
        """Its processes are started anew for each pass, so that they know `epoch` and `skip`."""
        return DataLoader(self, batch_size=None, num_workers=self.workers, pin_memory=torch.cuda.is_available())


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
