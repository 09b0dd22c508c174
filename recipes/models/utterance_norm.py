"""Normalisation of features by the utterance itself: for corpora of few hours, many microphones and no streaming."""

from collections.abc import Iterable

from torch import Tensor

from mixers.base import Streaming, lengths_to_mask, zero_padding
from recipes.models.options import POSITIVE, check_options


class UtteranceNorm(Streaming):
    """Zero mean and unit variance of each mel band over the real frames of the utterance.

    It takes the recording's loudness and the colour of its microphone away, which `GlobalNorm` leaves in: with three
    hours of speech CTC learns sooner (docs/findings_real_speech.md). What an utterance gives depends on its end, so
    it cannot stream. floor: added to the standard deviation, in dB, so that a band of silence stays finite.
    """

    cannot_stream = "its mean is that of the whole utterance"

    def __init__(self, floor: float = 0.01):
        super().__init__()
        check_options("UtteranceNorm", floor=(floor, POSITIVE))
        self.floor = floor

    def measure(self, batches: Iterable[tuple[Tensor, Tensor]]) -> None:
        """Does nothing: the training set is not needed."""

    def forward(self, features: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, n_mels]`` → the same shape, zero in padded frames. lengths: in frames."""
        mask = lengths_to_mask(lengths, features.shape[1])
        frames = lengths.clamp(min=1)[:, None, None].to(features.dtype)
        features = zero_padding(features, mask)
        centred = features - features.sum(1, keepdim=True) / frames
        centred = zero_padding(centred, mask)
        std = (centred.square().sum(1, keepdim=True) / frames).sqrt()
        return centred / (std + self.floor)

    def normalized(self, features: Tensor) -> Tensor:
        """Raises ValueError: single frames of a stream cannot be normalised."""
        self.check_streaming()
        raise NotImplementedError
