"""How a stream finds tokens in its frames without a search: greedy CTC, or greedy decoding of a transducer."""

from typing import Any, NamedTuple, Protocol

import torch
from torch import Tensor

from data_prep.tokenizer import BLANK
from recipes.decoding import Search, TransducerSearch
from recipes.decoding.transducer import GreedyState, greedy_start, greedy_transducer
from recipes.inference.streams.frame_tokens import FrameTokens, tokens_of_path
from recipes.models import Encoded, Transducer


class Listener(Protocol):
    """Finds tokens in frames. Its state is batch first, so that streams can be computed together."""

    def start(self, batch: int) -> Any:
        """The state of ``batch`` streams before their first frame."""

    def hear(self, frames: Tensor, log_probs: Tensor, state: Any) -> tuple[list[list[FrameTokens]], Any]:
        """The next frames of each stream ``[B, T, d_model]`` and CTC's log probabilities ``[B, T, vocab_size]``.

        Returns the tokens of each frame of each stream, and the new state.
        """


class CtcState(NamedTuple):
    """The output of the last frame of each stream ``[B]``."""

    last: Tensor


class CtcListener:
    """CTC's best output of every frame: a token begins where it differs from the output before."""

    def start(self, batch: int) -> CtcState:
        return CtcState(torch.full((batch,), BLANK))

    def hear(self, frames: Tensor, log_probs: Tensor, state: CtcState) -> tuple[list[list[FrameTokens]], CtcState]:
        best, output = (part.cpu() for part in log_probs.max(-1))
        outputs = torch.cat([state.last[:, None], output], 1)
        rows = zip(outputs.tolist(), best.exp().tolist(), strict=True)
        return [tokens_of_path(path, probabilities) for path, probabilities in rows], CtcState(outputs[:, -1])


class TransducerListener:
    """The transducer's likeliest outputs; see `recipes.decoding.transducer.greedy_transducer`."""

    def __init__(self, decoder: Transducer, max_symbols: int):
        self.decoder, self.max_symbols = decoder, max_symbols

    def start(self, batch: int) -> GreedyState:
        return greedy_start(self.decoder, batch)

    def hear(
        self, frames: Tensor, log_probs: Tensor, state: GreedyState
    ) -> tuple[list[list[FrameTokens]], GreedyState]:
        lengths = torch.full((len(frames),), frames.shape[1], device=frames.device)
        emitted, state = greedy_transducer(self.decoder, Encoded(frames, lengths), state, self.max_symbols)
        heard = []
        for tokens in emitted:
            by_frame: list[list[tuple[int, float]]] = [[] for _ in range(frames.shape[1])]
            for item in tokens:
                by_frame[item.frame].append((item.token, item.probability))
            heard.append([FrameTokens(tuple(items)) for items in by_frame])
        return heard, state


def listener_of(decoder: object, search: Search | None) -> Listener:
    """The transducer where the recipe searches with it, else CTC."""
    if isinstance(search, TransducerSearch) and isinstance(decoder, Transducer):
        return TransducerListener(decoder, search.max_symbols)
    return CtcListener()
