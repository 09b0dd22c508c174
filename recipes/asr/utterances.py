"""The utterances of a manifest as a dataset: columns in memory, of which an utterance is read when it is asked for."""

from functools import partial
from pathlib import Path
from typing import NamedTuple

import numpy as np
import torch
from sentencepiece import SentencePieceProcessor
from torch import Tensor
from torch.utils.data import Dataset

from data_prep.columns import Columns, read_columns
from data_prep.ctc_fit import too_many_tokens
from data_prep.errors import DataError
from data_prep.manifest import located
from data_prep.tokenizer import BLANK
from recipes.asr.audio import AudioError, AudioReader
from recipes.asr.remarks import TOO_LONG, TOO_MANY_TOKENS


class Utterance(NamedTuple):
    """An utterance as read. audio: `[samples]`, or the error if it cannot be used; tokens: int64 `[U]`."""

    id: str
    seconds: float
    audio: Tensor | AudioError
    tokens: Tensor
    words: str


class Utterances(Dataset[Utterance | tuple[Utterance, ...]]):
    """Utterances of a manifest, longest first; picklable, for loading processes that are not forked.

    root: the folder that `$data_root` stands for. chosen: which rows of the manifest are used. left_out: the seconds of
    the other utterances, by the kind of their problem and by name.
    """

    def __init__(
        self,
        columns: Columns,
        root: Path,
        reader: AudioReader,
        tokenizer: SentencePieceProcessor,
        *,
        chosen: np.ndarray,
        left_out: dict[str, dict[str, float]],
    ):
        self.columns, self.root, self.reader, self.tokenizer = columns, root, reader, tokenizer
        self.order = chosen[np.argsort(-columns.durations[chosen], kind="stable")]
        self.durations, self.left_out = columns.durations[self.order], left_out

    @property
    def total(self) -> int:
        """Utterances of the manifest, those left out included."""
        return len(self.columns.ids)

    @property
    def ids(self) -> list[str]:
        return [self.columns.ids[row] for row in self.order]

    def __len__(self) -> int:
        return len(self.order)

    def stretches(self) -> list[np.ndarray]:
        """Numbers of utterances that follow one another in the manifest and are of one speaker, in that order."""
        by_row = np.argsort(self.order)
        rows = self.order[by_row]
        goes_on = self.columns.goes_on[rows[1:]] & (np.diff(rows) == 1)
        return np.split(by_row, np.flatnonzero(~goes_on) + 1)

    def __getitem__(self, index: int | tuple[int, ...]) -> Utterance | tuple[Utterance, ...]:
        """An utterance, or several that are to be one recording."""
        return tuple(map(self.read, index)) if isinstance(index, tuple) else self.read(index)

    def read(self, index: int) -> Utterance:
        row = self.order[index]
        name, words = self.columns.ids[row], self.columns.words[row]
        audio = self.reader.attempt(located(self.columns.paths[row], self.root), name)
        return Utterance(name, float(self.durations[index]), audio, tokenize(self.tokenizer, words), words)


def read_utterances(
    manifest: Path,
    root: Path,
    reader: AudioReader,
    tokenizer: SentencePieceProcessor,
    *,
    longest: float | None = None,
    fit_ctc: bool = False,
    subsampling: int = 4,
) -> Utterances:
    """The utterances of a manifest. longest: seconds; longer utterances are left out.

    fit_ctc: leave out utterances with more tokens than CTC can emit in their frames at the reader's highest speed, of
    which CTC would learn nothing. subsampling: feature frames that make one of its frames. Raises DataError when no
    utterance is left.
    """
    columns = read_columns(manifest)
    durations, chosen = columns.durations, np.ones(len(columns.durations), dtype=bool)

    def leave_out(rows: np.ndarray) -> dict[str, float]:
        chosen[rows] = False
        return {columns.ids[row]: float(durations[row]) for row in rows}

    if not chosen.any():
        raise DataError(f"{manifest}: the manifest holds no utterance; prepare the data again")
    frames = partial(encoder_frames, reader, subsampling=subsampling)
    unfit = too_many_tokens(durations, columns.words, tokenizer, frames) if fit_ctc else []
    left_out = {TOO_MANY_TOKENS: leave_out(np.array(unfit, dtype=int))}
    if not chosen.any():
        raise DataError(f"{manifest}: every utterance has more tokens than frames; take a larger vocab_size")
    too_long = chosen & (durations > (np.inf if longest is None else longest))
    left_out[TOO_LONG] = leave_out(np.flatnonzero(too_long))
    if not chosen.any():
        raise DataError(f"{manifest}: no utterance is as short as {longest} seconds; raise max_seconds")
    return Utterances(columns, root, reader, tokenizer, chosen=np.flatnonzero(chosen), left_out=left_out)


def encoder_frames(reader: AudioReader, seconds: float, subsampling: int = 4) -> int:
    """Encoder frames of an utterance of so many seconds, read at the reader's highest speed.

    `recipes.models.LogMel` makes a feature frame every 10 ms, `recipes.models.ConvFrontend` one of ``subsampling``.
    """
    samples = -(-round(seconds * reader.sample_rate) * 100 // max(reader.speeds))
    feature_frames = 1 + samples // (reader.sample_rate // 100)
    return -(-feature_frames // subsampling)


def tokenize(tokenizer: SentencePieceProcessor, words: str) -> Tensor:
    """Token ids `[U]`. Characters that the tokenizer never saw are left out: their id is CTC's blank."""
    return torch.tensor([token for token in tokenizer.encode(words) if token != BLANK], dtype=torch.long)
