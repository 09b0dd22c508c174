"""Encoding a long recording in windows that overlap: the encoder has a few of them at a time in memory."""

from collections.abc import Callable

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from recipes.inference.long_recordings.windows import Windows


def encode_in_windows(
    windows: Windows, encode: Callable[[Tensor, Tensor], tuple[Tensor, Tensor]], audio: Tensor, hop: int, at_once: int
) -> Tensor:
    """``[samples]`` → ``[T, d_model]``. This equals one pass if no frame sees farther than a window's margin.

    hop: samples of a frame. at_once: how many windows are a batch.
    """
    cut, parts = windows.cut(audio, hop), list[Tensor]()
    for first in range(0, len(cut), at_once):
        batch = cut[first : first + at_once]
        lengths = torch.tensor([len(part) for part in batch], device=audio.device)
        frames, lengths = encode(pad_sequence(batch, batch_first=True), lengths)
        parts += [part[:length] for part, length in zip(frames, lengths.tolist(), strict=True)]
    return torch.cat(windows.kept(parts))
