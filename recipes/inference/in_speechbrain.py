"""A release behind SpeechBrain's interfaces, `EncoderASR` (greedy CTC) and `EncoderDecoderASR` (the recipe's search).

The hyperparams.yaml of a release names what stands here, so these names stay.
"""

from pathlib import Path
from typing import Any

import torch
from sentencepiece import SentencePieceProcessor
from speechbrain.utils.fetching import FetchSource
from speechbrain.utils.parameter_transfer import Pretrainer
from torch import Tensor, nn

from mixers import Context
from recipes.decoding.ctc import greedy_ctc
from recipes.decoding.search import Search
from recipes.models import Encoded, Recogniser, TransformerLM
from recipes.release_files import put_weights

SearchResult = tuple[list[list[int]], None, list[float] | None, None]

__all__ = ["Decoder", "Encoder", "FilesOfRelease", "greedy_decoding", "put_weights"]


class FilesOfRelease(Pretrainer):
    """SpeechBrain's Pretrainer, for files that lie beside hyperparams.yaml under names of their own.

    SpeechBrain's looks for relative paths in the working directory, and beside the file for `KEY.ckpt` alone.
    """

    def collect_files(self, default_source=None, **options):
        if default_source is not None:
            self.add_paths({name: beside(default_source, path) for name, path in self.paths.items()})
        return super().collect_files(default_source, **options)


def beside(source: str | Path | FetchSource, file: str) -> str | FetchSource:
    """The path of a file in a folder, or on a model hub."""
    if isinstance(source, FetchSource):
        return FetchSource(source[0], f"{source[1]}/{file}")
    return f"{source}/{file}"


class Encoder(nn.Module):
    """``(audio [B, samples], relative lengths [B])`` → frames ``[B, T, d_model]``, zero in padding and only there.

    chunk, left_chunks: of the context under which the recipe tests, `test_chunk`; None: the whole utterance.
    """

    def __init__(self, recogniser: Recogniser, chunk: int | None = None, left_chunks: int | None = None):
        super().__init__()
        self.recogniser = recogniser
        self.context = None if chunk is None else Context(chunk, left_chunks)

    def forward(self, audio: Tensor, relative_lengths: Tensor) -> Tensor:
        lengths = (relative_lengths * audio.shape[1]).round().long()
        return self.recogniser.encode(audio, lengths, self.context).frames


class Decoder(nn.Module):
    """Frames of `Encoder` → tokens of each utterance, and the rest of what SpeechBrain's searches return, as None.

    search: that of the recipe, with its language_model; None: greedy CTC.
    """

    def __init__(
        self,
        recogniser: Recogniser,
        tokenizer: SentencePieceProcessor,
        search: Search | None = None,
        language_model: TransformerLM | None = None,
    ):
        super().__init__()
        self.recogniser, self.tokenizer, self.search = recogniser, tokenizer, search
        self.language_model = language_model
        self.prepared = search is None

    @torch.no_grad()
    def forward(self, frames: Tensor, relative_lengths: Tensor) -> SearchResult:
        encoded, log_probs = log_probs_of(frames, self.recogniser)
        if self.search is None:
            return known_tokens(greedy_ctc(log_probs, encoded.lengths), self.tokenizer), None, None, None
        if not self.prepared:  # the tokenizer is loaded only after this was made
            self.search.prepare(self.tokenizer)
            self.prepared = True
        decoder: Any = self.recogniser.decoder
        best = [hypotheses[0] for hypotheses in self.search(decoder, encoded, log_probs, self.language_model)]
        tokens = known_tokens([hypothesis.tokens for hypothesis in best], self.tokenizer)
        return tokens, None, [hypothesis.score for hypothesis in best], None


@torch.no_grad()
def greedy_decoding(
    frames: Tensor, relative_lengths: Tensor, *, recogniser: Recogniser, tokenizer: SentencePieceProcessor
) -> list[list[int]]:
    """Tokens of each utterance by greedy CTC, of frames of `Encoder`."""
    encoded, log_probs = log_probs_of(frames, recogniser)
    return known_tokens(greedy_ctc(log_probs, encoded.lengths), tokenizer)


def log_probs_of(frames: Tensor, recogniser: Recogniser) -> tuple[Encoded, Tensor]:
    """Frames with their lengths, which are seen: SpeechBrain hands over relative lengths, that may round one away."""
    real = (frames != 0).any(-1)
    last = torch.arange(1, frames.shape[1] + 1, device=frames.device) * real
    return Encoded(frames, last.amax(1)), recogniser.ctc(frames).float().log_softmax(-1)


def known_tokens(sentences: list[list[int]], tokenizer: SentencePieceProcessor) -> list[list[int]]:
    """Without ids above the tokenizer's own, which models have for short texts."""
    pieces = tokenizer.vocab_size()
    return [[token for token in tokens if token < pieces] for tokens in sentences]
