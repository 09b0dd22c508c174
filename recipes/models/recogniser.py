"""The recogniser: audio → features → convolutional front end → encoder → CTC and attention heads."""

from typing import NamedTuple

from torch import Tensor, nn

from recipes.models.encoder import Encoded
from recipes.models.options import SIZE, check_options


class Output(NamedTuple):
    """Encoder frames, CTC logits ``[B, T, vocab_size]``, and attention logits ``[B, U, vocab_size]`` or None."""

    encoded: Encoded
    ctc_logits: Tensor
    attention_logits: Tensor | None


class Recogniser(nn.Module):
    """Joint CTC/attention model (https://arxiv.org/abs/1609.06773) over any encoder.

    encoder: ``(frames [B, T, d_model], lengths) -> Encoded``. decoder: None for CTC alone.
    Everything that is trained is called in ``forward``, because distributed training wraps no other method.
    """

    def __init__(
        self,
        *,
        features: nn.Module,
        normalize: nn.Module,
        augment: nn.Module,
        frontend: nn.Module,
        encoder: nn.Module,
        decoder: nn.Module | None,
        d_model: int,
        vocab_size: int,
    ):
        super().__init__()
        check_options("Recogniser", d_model=(d_model, SIZE), vocab_size=(vocab_size, SIZE))
        self.features, self.normalize, self.augment = features, normalize, augment
        self.frontend, self.encoder, self.decoder = frontend, encoder, decoder
        self.ctc = nn.Linear(d_model, vocab_size)

    def encode(self, audio: Tensor, lengths: Tensor) -> Encoded:
        """audio ``[B, samples]`` at 16 kHz, lengths in samples → encoder frames of 40 ms."""
        features, lengths = self.features(audio, lengths)
        features = self.augment(self.normalize(features, lengths), lengths)
        return self.encoder(*self.frontend(features, lengths))

    def forward(self, audio: Tensor, lengths: Tensor, tokens: Tensor | None = None) -> Output:
        """As ``encode``, and the heads. tokens ``[B, U]``: decoder input, the sentence start first.

        Without tokens or without decoder there are no attention logits.
        """
        encoded = self.encode(audio, lengths)
        attention = self.decoder(encoded, tokens) if self.decoder is not None and tokens is not None else None
        return Output(encoded, self.ctc(encoded.frames), attention)
