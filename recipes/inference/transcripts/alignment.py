"""When the tokens of a text were said, by CTC forced alignment."""

from collections.abc import Sequence
from itertools import pairwise

import torch
from torch import Tensor
from torchaudio.functional import forced_align

from data_prep.tokenizer import BLANK
from recipes.inference.transcripts.words import TokenSpan, spans_of_path


def align(log_probs: Tensor, tokens: Sequence[int]) -> list[TokenSpan]:
    """The frames of each token on the likeliest CTC path of the text.

    log_probs: float32 ``[T, vocab_size]`` on the CPU. A text that CTC cannot write in so few frames, which an
    attention decoder may find all the same, is spread over them evenly, with probability zero.
    """
    if not tokens:
        return []
    frames, repeats = len(log_probs), sum(token == following for token, following in pairwise(tokens))
    if frames < len(tokens) + repeats:
        bounds = [number * frames // len(tokens) for number in range(len(tokens) + 1)]
        return [
            TokenSpan(token, start, max(end, start + 1), 0.0)
            for token, (start, end) in zip(tokens, pairwise(bounds), strict=True)
        ]
    path, scores = forced_align(log_probs[None], torch.tensor(tokens)[None], blank=BLANK)
    return spans_of_path(path[0].tolist(), scores[0].exp().tolist())
