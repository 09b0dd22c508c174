"""The recogniser: audio → features → convolutional front end → encoder → CTC head and decoder."""

from typing import Any, NamedTuple

import torch
from torch import Tensor, nn

from mixers.base import Context, Mixer, Streaming
from recipes.models.augment import Augment
from recipes.models.encoder import Encoded, Encoder, EncoderState
from recipes.models.features import GlobalNorm, LogMel, SamplesState
from recipes.models.frontend import ConvFrontend, FrontendState
from recipes.models.options import SIZE, check_options
from recipes.models.utterance_norm import UtteranceNorm

N_MELS = 80  # where no part says how many


class Output(NamedTuple):
    """Encoder frames, CTC logits ``[B, T, vocab_size]``, and the decoder's logits or None.

    Those of an attention decoder are ``[B, U, vocab_size]``, those of a transducer ``[B, T, U, vocab_size]``.
    """

    encoded: Encoded
    ctc_logits: Tensor
    decoder_logits: Tensor | None


class StreamState(NamedTuple):
    """The streaming states of the recogniser's parts."""

    features: SamplesState
    frontend: FrontendState
    encoder: EncoderState


class Recogniser(nn.Module):
    """CTC and a decoder over any encoder: joint CTC/attention (https://arxiv.org/abs/1609.06773), or a transducer.

    encoder: ``(frames [B, T, d_model], lengths) -> Encoded``. decoder: ``(Encoded, tokens) -> logits``; None for CTC
    alone.
    Everything that is trained is called in ``forward``, because distributed training wraps no other method.
    Raises ValueError for features, normalisation and front end of different n_mels.
    """

    n_mels: int  # of the features
    # The parts that have a row for each token, and are of no use with another tokenizer.
    token_parts = ("ctc", "decoder.embedding", "decoder.prediction.embedding", "decoder.out")

    def __init__(
        self,
        *,
        features: LogMel,
        normalize: GlobalNorm | UtteranceNorm,
        augment: Augment,
        frontend: ConvFrontend,
        encoder: Encoder,
        decoder: nn.Module | None,
        d_model: int,
        vocab_size: int,
    ):
        super().__init__()
        check_options("Recogniser", d_model=(d_model, SIZE), vocab_size=(vocab_size, SIZE))
        parts = {"features": features, "normalize": normalize, "frontend": frontend}
        bands: dict[str, Any] = {name: part.n_mels for name, part in parts.items() if hasattr(part, "n_mels")}
        if len(set(bands.values())) > 1:
            sizes = ", ".join(f"{name} {n_mels}" for name, n_mels in bands.items())
            raise ValueError(f"Recogniser: its parts must have the same n_mels, not {sizes}")
        self.features, self.normalize, self.augment = features, normalize, augment
        self.frontend, self.encoder, self.decoder = frontend, encoder, decoder
        self.ctc = nn.Linear(d_model, vocab_size)
        self.n_mels = next(iter(bands.values()), N_MELS)

    def encode(self, audio: Tensor, lengths: Tensor, context: Context | None = None, views: int = 1) -> Encoded:
        """audio ``[B, samples]`` at 16 kHz, lengths in samples → encoder frames of 40 ms.

        context: what a frame of the encoder may see, as in a stream; None: the whole utterance. Features and front
        end see the same either way.

        views: with several, the output has ``views * B`` rows: all utterances, then all again. In training the views
        differ by their masks.
        """
        return self.encoder(*self.encoder_input(audio, lengths, views), context)

    def encoder_input(self, audio: Tensor, lengths: Tensor, views: int = 1) -> tuple[Tensor, Tensor]:
        """As ``encode``, up to the encoder: frames ``[B, T, d_model]`` and their lengths."""
        features, lengths = self.features(audio, lengths)
        features = self.normalize(features, lengths)
        if views == 1:
            return self.frontend(self.augment(features, lengths), lengths)
        return self.frontend(self.augment.views(features, lengths, views), lengths.repeat(views))

    def forward(
        self,
        audio: Tensor,
        lengths: Tensor,
        tokens: Tensor | None = None,
        context: Context | None = None,
        views: int = 1,
    ) -> Output:
        """``encode``, then the heads. tokens ``[B, U]``: decoder input, the sentence start first.

        Without tokens or without a decoder, `decoder_logits` is None.
        """
        encoded = self.encode(audio, lengths, context, views)
        if tokens is not None:
            tokens = tokens.repeat(views, 1)
        logits = self.decoder(encoded, tokens) if self.decoder is not None and tokens is not None else None
        return Output(encoded, self.ctc(encoded.frames), logits)

    # --- streaming ------------------------------------------------------------------------------------------

    def check_streaming(self) -> None:
        """Raise ValueError, naming the part and its reason, if a part of the model cannot stream."""
        for module in self.modules():
            if isinstance(module, Streaming):
                module.check_streaming()

    def init_state(self, batch: int, context: Context) -> StreamState:
        """The state of ``batch`` streams before their first sample. Raises ValueError as ``check_streaming``."""
        self.check_streaming()
        return StreamState(
            self.features.init_state(batch, context),
            self.frontend.init_state(batch, context),
            self.encoder.init_state(batch, context),
        )

    @torch.no_grad()
    def step(self, audio: Tensor, state: StreamState, last: bool = False) -> tuple[Output, StreamState]:
        """The next samples ``[B, n]``, however many → frames and CTC logits of the chunks that they complete.

        All of them together equal ``forward(…, context)`` on the whole utterance. They depend neither on how the
        samples were cut nor on the other streams. last: the streams end with these samples.
        """
        features, samples = self.features.step(audio, state.features, last)
        frames, inputs = self.frontend.step(self.normalize.normalized(features), state.frontend, last)
        frames, encoder = self.encoder.step(frames, state.encoder, last)
        lengths = torch.full((len(frames),), frames.shape[1], device=frames.device)
        return Output(Encoded(frames, lengths), self.ctc(frames), None), StreamState(samples, inputs, encoder)

    def state_size(self, frames: int, context: Context | None = None) -> int:
        """Numbers that a stream keeps after ``frames`` encoder frames, when a chunk has just been completed."""
        parts = self.features, self.frontend, self.encoder
        return sum(part.state_size(frames, context) for part in parts)

    @property
    def is_linear(self) -> bool:
        """Whether time and memory of its encoder grow in proportion to the length of the audio."""
        return all(mixer.linear for mixer in self.encoder.modules() if isinstance(mixer, Mixer))

    @property
    def frame_samples(self) -> int:
        """Samples from one encoder frame to the next."""
        return self.features.hop * self.frontend.subsampling

    def algorithmic_latency_ms(self, context: Context) -> float:
        """How long the first sample of a chunk waits until the chunk is complete; computing comes on top.

        A chunk of n frames lasts ``n * frame_samples`` samples. The window of its last feature frame reaches 2.5 ms
        beyond its end; the other 22.5 ms of this window lie in the chunk or before it.
        """
        samples = context.chunk * self.frame_samples + self.features.latency_samples
        return 1000 * samples / self.features.sample_rate
