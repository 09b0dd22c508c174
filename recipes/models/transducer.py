"""The transducer: a prediction network reads the text so far, a joint network combines its output with a frame."""

from typing import Any, NamedTuple, Protocol, TypeVar

import torch
from torch import Tensor, nn
from torch.nn.functional import pad
from torch.utils._pytree import tree_map

from data_prep.tokenizer import BLANK
from mixers.dropout import Dropout
from recipes.models.encoder import Encoded
from recipes.models.options import SHARE, SIZE, check_options


class LastTokens(NamedTuple):
    """The tokens before the next one of N texts, int64 ``[N, history - 1]``; BLANK stands before a text."""

    tokens: Tensor


class LSTMState(NamedTuple):
    """Hidden and cell values of N texts, each ``[N, layers, size]``."""

    hidden: Tensor
    cell: Tensor


Cache = LastTokens | LSTMState
State = TypeVar("State")


class Prediction(Protocol):
    """A prediction network. size: the width of its output."""

    size: int

    def __call__(self, tokens: Tensor) -> Tensor:
        """tokens ``[B, U]``, the sentence start first → ``[B, U, size]``. Causal: later tokens change nothing."""

    def init_cache(self, texts: int) -> Cache:
        """The cache before the sentence start; batch first."""

    def step(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """The next token of each text ``[N]`` → ``[N, size]`` and the new cache."""


class StatelessPrediction(nn.Module):
    """Embeddings of the last ``history`` tokens, weighted by place and summed, then ReLU.

    As good as an LSTM in Ghodsi et al. 2020, "RNN-Transducer with stateless prediction network" (ICASSP: the last token
    alone), and in icefall, whose two tokens are the default here. Raises ValueError for sizes below 1.
    """

    def __init__(self, vocab_size: int, size: int, *, history: int = 2, dropout: float = 0.0):
        super().__init__()
        check_options(
            "StatelessPrediction",
            vocab_size=(vocab_size, SIZE),
            size=(size, SIZE),
            history=(history, SIZE),
            dropout=(dropout, SHARE),
        )
        self.size, self.history = size, history
        self.embedding = nn.Embedding(vocab_size, size)
        self.by_place = nn.Parameter(torch.randn(history, size) / history**0.5)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        earlier = pad(tokens, (self.history - 1, 0), value=BLANK)
        windows = self.dropout(self.embedding(earlier)).unfold(1, self.history, 1)  # [B, U, size, history]
        return (windows * self.by_place.T).sum(-1).relu()

    def init_cache(self, texts: int) -> LastTokens:
        return LastTokens(torch.full((texts, self.history - 1), BLANK, device=self.by_place.device))

    def step(self, tokens: Tensor, cache: LastTokens) -> tuple[Tensor, LastTokens]:
        window = torch.cat([cache.tokens, tokens[:, None]], 1)
        return (self.embedding(window) * self.by_place).sum(1).relu(), LastTokens(window[:, 1:])


class LSTMPrediction(nn.Module):
    """Embeddings through an LSTM, which has read the whole text (https://arxiv.org/abs/1211.3711).

    Raises ValueError for sizes below 1.
    """

    def __init__(self, vocab_size: int, size: int, *, layers: int = 1, dropout: float = 0.0):
        super().__init__()
        check_options(
            "LSTMPrediction",
            vocab_size=(vocab_size, SIZE),
            size=(size, SIZE),
            layers=(layers, SIZE),
            dropout=(dropout, SHARE),
        )
        self.size, self.layers = size, layers
        self.embedding = nn.Embedding(vocab_size, size)
        self.lstm = nn.LSTM(size, size, layers, batch_first=True, dropout=dropout if layers > 1 else 0.0)
        self.dropout = Dropout(dropout)

    def forward(self, tokens: Tensor) -> Tensor:
        return self.dropout(self.read(self.dropout(self.embedding(tokens)))[0])

    def read(self, inputs: Tensor, state: tuple[Tensor, ...] | None = None) -> tuple[Tensor, tuple[Tensor, ...]]:
        """The LSTM; on a CPU in full precision, because torch's kernel takes less on some processors alone."""
        with torch.autocast("cpu", enabled=False):
            return self.lstm(inputs, state)

    def init_cache(self, texts: int) -> LSTMState:
        zeros = self.embedding.weight.new_zeros(texts, self.layers, self.size)
        return LSTMState(zeros, zeros)

    def step(self, tokens: Tensor, cache: LSTMState) -> tuple[Tensor, LSTMState]:
        layers_first = tuple(part.transpose(0, 1).contiguous() for part in cache)
        output, state = self.read(self.embedding(tokens)[:, None], layers_first)
        return output[:, 0], LSTMState(*(part.transpose(0, 1) for part in state))


class Transducer(nn.Module):
    """RNN transducer (https://arxiv.org/abs/1211.3711) over ``vocab_size`` outputs, of which BLANK ends a frame.

    Joint network: tanh of a projection of the frame and one of the prediction, both ``joint_size`` wide, then the
    output layer. ``forward`` gives all logits at once for training, ``[B, T, U, vocab_size]``: the memory of a
    training step is a few times that. A search asks for them one by one: ``prepare``, ``predict``, ``joint``.
    Raises ValueError for sizes below 1.
    """

    prediction: Any  # a module that is a Prediction

    def __init__(self, d_model: int, vocab_size: int, *, prediction: nn.Module, joint_size: int):
        super().__init__()
        check_options(
            "Transducer", d_model=(d_model, SIZE), vocab_size=(vocab_size, SIZE), joint_size=(joint_size, SIZE)
        )
        self.prediction = prediction
        self.of_frame = nn.Linear(d_model, joint_size)
        self.of_prediction = nn.Linear(self.prediction.size, joint_size, bias=False)
        self.out = nn.Linear(joint_size, vocab_size)

    def forward(self, encoded: Encoded, tokens: Tensor) -> Tensor:
        """tokens ``[B, U]``, the sentence start first → logits of the next output ``[B, T, U, vocab_size]``."""
        frames, predicted = self.prepare(encoded), self.of_prediction(self.prediction(tokens))
        return self.joint(frames[:, :, None], predicted[:, None])

    def prepare(self, encoded: Encoded) -> Tensor:
        """The frames as the joint network takes them, ``[B, T, joint_size]``."""
        return self.of_frame(encoded.frames)

    def init_cache(self, texts: int) -> Cache:
        """The cache of texts before the sentence start."""
        return self.prediction.init_cache(texts)

    def predict(self, tokens: Tensor, cache: Cache) -> tuple[Tensor, Cache]:
        """The next token of each text ``[N]`` → prediction as the joint network takes it, and the new cache."""
        predicted, cache = self.prediction.step(tokens, cache)
        return self.of_prediction(predicted), cache

    def joint(self, frames: Tensor, predicted: Tensor) -> Tensor:
        """``[…, joint_size]``, of frames and of predictions, which may be broadcast → logits ``[…, vocab_size]``."""
        return self.out((frames + predicted).tanh())


def chosen(mask: Tensor, new: State, old: State) -> State:
    """The new state of the texts where ``mask`` ``[N]`` is True, the old one of the others; both batch first."""
    return tree_map(lambda ours, theirs: torch.where(mask.view(-1, *[1] * (ours.dim() - 1)), ours, theirs), new, old)
