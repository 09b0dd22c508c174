"""The parts of a recogniser that can be exported, as modules from tensors to tensors."""

import math
from collections.abc import Callable
from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.nn.functional import conv1d, linear

from data_prep.tokenizer import START
from mixers.base import lengths_to_mask
from recipes.errors import RecipeError
from recipes.inference.audio.samples import SAMPLE_RATE
from recipes.inference.onnx.info import BEFORE_START, CTC, ENCODER, FROM_START
from recipes.inference.onnx.steps import RunGraph
from recipes.models import Encoded, LogMel, LSTMPrediction, Recogniser, StatelessPrediction, Transducer
from recipes.models.transducer import LastTokens

TRIED = [(3, 1.3), (1, 0.4), (2, 7.3)]  # utterances, and seconds of the longest; the export saw other sizes
LSTM_WEIGHTS = ("weight_ih", "weight_hh", "bias_ih", "bias_hh")  # of a layer, as torch names them


class DftLogMel(LogMel):
    """`LogMel` by a convolution with cosines and sines in place of torch.stft, whose complex numbers ONNX lacks."""

    kernel: Tensor  # [2 * bins, 1, window_length]

    def __init__(self, original: LogMel):
        length, n_mels = original.window_length, original.filters.shape[1]
        super().__init__(
            sample_rate=original.sample_rate, n_mels=n_mels, window_length=length, range_db=original.range_db
        )
        self.floor, self.hop = original.floor, original.hop
        self.filters.copy_(original.filters)
        times = torch.arange(length, dtype=torch.float64)
        angles = 2 * math.pi / length * torch.arange(length // 2 + 1)[:, None] * times
        waves = torch.cat([angles.cos(), angles.sin()]) * original.window
        self.register_buffer("kernel", waves[:, None].float(), persistent=False)

    def log_mel(self, samples: Tensor) -> Tensor:
        cosines, sines = conv1d(samples[:, None], self.kernel, stride=self.hop).chunk(2, 1)
        power = (cosines.square() + sines.square()).transpose(1, 2)
        return 10 * (power @ self.filters).clamp(min=self.floor).log10()


class Part(nn.Module):
    """A part of a model that is exported as one graph.

    inputs, outputs: the names of what ``forward`` takes and returns. timed: whether the first input is ``[B, time, …]``
    and the first output ``[B, T, …]``, each followed by its lengths. shortest: the time of a first input that becomes
    two frames, where it is timed.
    """

    inputs: tuple[str, ...]
    outputs: tuple[str, ...]
    timed = True
    shortest = 2

    def example(self, batch: int, seconds: float) -> tuple[Any, ...]:
        """Random inputs. seconds: the length of the longest, for a timed part."""
        raise NotImplementedError

    def dynamic_shapes(self) -> tuple[dict[int, Any], ...]:
        # A single frame is not the general case to torch: without a minimum it traces twice, the second time with one.
        batch, length = torch.export.Dim("batch"), torch.export.Dim("length", min=self.shortest)
        return ({0: batch, 1: length}, {0: batch}) if self.timed else tuple({0: batch} for _ in self.inputs)

    @torch.no_grad()
    def difference(self, run: RunGraph) -> float:
        """The largest difference from its graph, in real frames of random input; infinite if shapes differ."""
        largest = 0.0
        for batch, seconds in TRIED:
            example = self.example(batch, seconds)
            expected = self(*example)
            inputs = {name: value.numpy() for name, value in zip(self.inputs, example, strict=True)}
            results = [torch.from_numpy(result) for result in run(**inputs)]
            if self.timed:
                (values, lengths), (onnx_values, onnx_lengths) = expected, results
                if onnx_values.shape != values.shape or not onnx_lengths.equal(lengths):
                    return math.inf
                real = lengths_to_mask(lengths, values.shape[1])
                expected, results = [values[real]], [onnx_values[real]]
            for result, value in zip(results, expected, strict=True):
                largest = max(largest, largest_distance(result, value))
        return largest


def largest_distance(result: Tensor, expected: Tensor) -> float:
    """Between two numbers of the same place; infinite where shapes differ or one is no number."""
    if result.shape != expected.shape:
        return math.inf
    largest = (result - expected).abs().max().item()
    return math.inf if math.isnan(largest) else largest


class CtcPart(Part):
    """Samples ``[B, samples]`` at 16 kHz and their lengths → log probabilities ``[B, T, vocab_size]``, frames."""

    inputs, outputs = ("audio", "lengths"), ("log_probs", "frames")

    def __init__(self, model: Recogniser):
        super().__init__()
        self.model, self.features = model, DftLogMel(cast(LogMel, model.features))
        self.shortest = model.frame_samples

    def forward(self, audio: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames, lengths = encode(self.model, *self.features(audio, lengths))
        return self.head(frames), lengths

    def head(self, frames: Tensor) -> Tensor:
        return self.model.ctc(frames).log_softmax(-1)

    def example(self, batch: int, seconds: float) -> tuple[Tensor, ...]:
        return random_audio(batch, seconds)


class EncoderPart(Part):
    """Features of `LogMel` ``[B, T, n_mels]`` and their lengths → frames ``[B, ceil(T / 4), d_model]``, theirs."""

    inputs, outputs = ("features", "lengths"), ("encoded", "frames")

    def __init__(self, model: Recogniser):
        super().__init__()
        self.model = model
        self.shortest = model.frontend.subsampling + 1

    def forward(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        frames, lengths = encode(self.model, features, lengths)
        return frames, lengths

    def example(self, batch: int, seconds: float) -> tuple[Tensor, ...]:
        return cast(LogMel, self.model.features)(*random_audio(batch, seconds))


class TransducerEncoderPart(CtcPart):
    """Samples ``[B, samples]`` and their lengths → frames as the joint network takes them ``[B, T, joint_size]``."""

    outputs = ("encoder_out", "encoder_out_lens")

    def head(self, frames: Tensor) -> Tensor:
        return transducer_of(self.model).of_frame(frames)


class StatelessPart(Part):
    """The last ``history`` tokens ``[N, history]`` → what the joint network takes of them ``[N, joint_size]``.

    A text begins with FROM_START, and BEFORE_START fills what is missing before that.
    """

    inputs, outputs, timed = ("y",), ("decoder_out",), False

    def __init__(self, decoder: Transducer):
        super().__init__()
        self.prediction, self.projection = decoder.prediction, decoder.of_prediction
        self.history = self.prediction.history

    def forward(self, y: Tensor) -> tuple[Tensor]:
        tokens = tokens_of(y)
        predicted, _ = self.prediction.step(tokens[:, -1], LastTokens(tokens[:, :-1]))
        return (self.projection(predicted),)

    def example(self, batch: int, seconds: float) -> tuple[Tensor, ...]:
        return (random_tokens(self.prediction, batch, self.history),)


class LSTMPart(Part):
    """The newest token ``[N, 1]`` and the state before it → what the joint network takes of it, and the new state.

    FROM_START comes before a text, with a state of zeros; states are ``[N, layers, size]``, as in `LSTMState`.
    """

    inputs, outputs, timed = ("y", "hidden", "cell"), ("decoder_out", "next_hidden", "next_cell"), False
    history = 1

    def __init__(self, decoder: Transducer):
        super().__init__()
        self.prediction, self.projection = decoder.prediction, decoder.of_prediction

    def forward(self, y: Tensor, hidden: Tensor, cell: Tensor) -> tuple[Tensor, Tensor, Tensor]:
        """One step of torch's LSTM, written out: the exporter's own has no fixed shape."""
        lstm, x, states = self.prediction.lstm, self.prediction.embedding(tokens_of(y)[:, 0]), []
        for layer in range(self.prediction.layers):
            of_input, of_hidden, *biases = (getattr(lstm, f"{name}_l{layer}") for name in LSTM_WEIGHTS)
            gates = linear(x, of_input, biases[0]) + linear(hidden[:, layer], of_hidden, biases[1])
            enter, keep, new, out = gates.chunk(4, 1)
            kept = keep.sigmoid() * cell[:, layer] + enter.sigmoid() * new.tanh()
            x = out.sigmoid() * kept.tanh()
            states.append((x, kept))
        new_hidden, new_cell = (torch.stack(layers, 1) for layers in zip(*states, strict=True))
        return self.projection(x), new_hidden, new_cell

    def example(self, batch: int, seconds: float) -> tuple[Tensor, ...]:
        state = torch.randn(2, batch, self.prediction.layers, self.prediction.size).tanh()
        return random_tokens(self.prediction, batch, 1), *state


class JointPart(Part):
    """Frames and predictions ``[N, joint_size]`` → logits ``[N, vocab_size]``."""

    inputs, outputs, timed = ("encoder_out", "decoder_out"), ("logit",), False

    def __init__(self, decoder: Transducer):
        super().__init__()
        self.decoder = decoder

    def forward(self, encoder_out: Tensor, decoder_out: Tensor) -> tuple[Tensor]:
        return (self.decoder.joint(encoder_out, decoder_out),)

    def example(self, batch: int, seconds: float) -> tuple[Tensor, ...]:
        return tuple(torch.randn(2, batch, self.decoder.out.in_features))


PARTS: dict[str, Callable[[Recogniser], Part]] = {CTC: CtcPart, ENCODER: EncoderPart}
PREDICTIONS: dict[type, type[StatelessPart] | type[LSTMPart]] = {
    StatelessPrediction: StatelessPart,
    LSTMPrediction: LSTMPart,
}


def transducer_of(model: Recogniser) -> Transducer:
    """Raises RecipeError for a model whose decoder is no transducer, or has a prediction network of its own kind."""
    if not isinstance(model.decoder, Transducer):
        raise RecipeError("--part transducer: the model's decoder is none: leave --part out for its CTC head")
    if type(model.decoder.prediction) not in PREDICTIONS:
        known = " and ".join(kind.__name__ for kind in PREDICTIONS)
        raise RecipeError(f"{type(model.decoder.prediction).__name__} cannot be exported: {known} can")
    return model.decoder


def encode(model: Recogniser, features: Tensor, lengths: Tensor) -> Encoded:
    return model.encoder(*model.frontend(model.normalize(features, lengths), lengths))


def random_audio(batch: int, seconds: float) -> tuple[Tensor, Tensor]:
    """Noise ``[B, samples]`` and lengths, the first of which is the longest."""
    longest = round(SAMPLE_RATE * seconds)
    lengths = [max(longest - 4321 * number, longest // 3) for number in range(batch)]
    return 0.1 * torch.randn(batch, longest), torch.tensor(lengths)


def random_tokens(prediction: StatelessPrediction | LSTMPrediction, batch: int, history: int) -> Tensor:
    """``[B, history]``; the first text has just begun."""
    tokens = torch.randint(START + 1, prediction.embedding.num_embeddings, (batch, history))
    tokens[0, :-1], tokens[0, -1] = BEFORE_START, FROM_START
    return tokens


def tokens_of(y: Tensor) -> Tensor:
    """Tokens as this project has them: START begins a text, and BLANK stands before it."""
    return torch.where(y == FROM_START, START, y.clamp(min=0))
