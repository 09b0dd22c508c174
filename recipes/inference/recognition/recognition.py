"""From the samples of recordings to their transcripts, one batch at a time."""

import contextlib
import functools
import threading
from collections.abc import Callable, Iterable, Sequence
from heapq import nlargest
from itertools import product
from typing import NamedTuple, cast

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from data_prep.tokenizer import detokenize
from recipes.asr.batches import DurationBatches
from recipes.asr.contexts import tested_context
from recipes.decoding import Hypothesis
from recipes.decoding.search import Decoder
from recipes.inference.audio.recordings import Recording
from recipes.inference.audio.samples import SAMPLE_RATE
from recipes.inference.long_recordings.encoding import encode_in_windows
from recipes.inference.long_recordings.pieces import choose_cuts, pieces
from recipes.inference.long_recordings.windows import WINDOW, Windows
from recipes.inference.recognition.loaded_model import LoadedModel
from recipes.inference.transcripts.alignment import align
from recipes.inference.transcripts.transcript import Transcript
from recipes.inference.transcripts.words import TokenSpan, greedy_path, spans_of_path, words_of
from recipes.models import Encoded
from recipes.models.frame_wise import frame_wise
from recipes.scoring import ScoredText
from recipes.scoring.transcription import distinct


class Encoding(NamedTuple):
    """A recording, encoded: frames ``[T, d_model]``, and CTC's log probabilities ``[T, vocab_size]`` in float32."""

    frames: Tensor
    log_probs: Tensor


class SearchedPart(NamedTuple):
    """Frames of a recording, from ``start`` up to but without ``end``. hypotheses: best first; None: greedy CTC."""

    start: int
    end: int
    hypotheses: list[Hypothesis] | None


class Recognition:
    """A model on its device with its search. Calling it changes nothing, so that threads may share it.

    window, piece: seconds; see `recipes.inference.transcriber.Transcriber`. autocast: the dtype of mixed
    precision, or None.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        device: torch.device,
        *,
        window: float | None,
        piece: float | None,
        batch_seconds: float,
        autocast: torch.dtype | None,
    ):
        self.device, self.batch_seconds, self.dtype = device, batch_seconds, autocast
        self.model, self.tokenizer, self.search = loaded.model.to(device).eval(), loaded.tokenizer, loaded.search
        self.context = tested_context(loaded.recipe.hparams)
        self.encode_audio = functools.partial(self.model.encode, context=self.context)
        self.decoder = cast(Decoder | None, self.model.decoder)
        lm = loaded.language_model
        self.language_model = lm.to(device).eval() if lm is not None else None
        self.hop = self.model.frame_samples
        self.frame_seconds = self.hop / SAMPLE_RATE
        self.linear = self.model.is_linear
        longest = window if window is not None or self.linear else WINDOW
        chunk = self.context.chunk if self.context else 1
        self.windows = Windows(longest, self.frame_seconds, chunk) if longest is not None else None
        self.input_windows = Windows(WINDOW, self.frame_seconds)
        self.cuts = choose_cuts(piece, loaded.utterance_seconds)
        safe = self.search is None or self.search.thread_safe
        self.turn = contextlib.nullcontext() if safe else threading.Lock()

    @torch.inference_mode()
    def __call__(self, batch: Sequence[tuple[Recording, Tensor]], nbest: int) -> list[Transcript]:
        """The transcripts of recordings with their samples, ``[samples]`` on the CPU."""
        encodings = self.encode([audio.to(self.device) for _, audio in batch])
        return [
            self.transcript(recording, len(audio) / SAMPLE_RATE, encoding, parts, nbest)
            for (recording, audio), encoding, parts in zip(batch, encodings, self.search_all(encodings), strict=True)
        ]

    def autocast(self) -> contextlib.AbstractContextManager:
        return torch.autocast(self.device.type, self.dtype) if self.dtype else contextlib.nullcontext()

    def encode(self, audios: Sequence[Tensor]) -> list[Encoding]:
        """Encodings of recordings ``[samples]``. Each is what it would be alone."""
        frames: dict[int, Tensor] = {}
        with self.autocast():
            for number, audio in enumerate(audios):
                if self.windows is not None and len(audio) > self.windows.frames * self.hop:
                    frames[number] = self.in_windows(self.windows, self.encode_audio, audio)
                elif len(audio) > self.input_windows.frames * self.hop and self.input_is_local:
                    frames[number] = self.in_one_pass(audio)
            whole = [number for number in range(len(audios)) if number not in frames]
            if whole:
                lengths = torch.tensor([len(audios[number]) for number in whole], device=self.device)
                padded = pad_sequence([audios[number] for number in whole], batch_first=True)
                encoded = self.encode_audio(padded, lengths)
                for number, row, length in zip(whole, encoded.frames, encoded.lengths.tolist(), strict=True):
                    frames[number] = row[:length]
            rows = [frames[number] for number in range(len(audios))]
            return [Encoding(row, frame_wise(self.ctc_log_probs, row)) for row in rows]

    def ctc_log_probs(self, frames: Tensor) -> Tensor:
        """``[T, d_model]`` → ``[T, vocab_size]``, float32."""
        return self.model.ctc(frames).float().log_softmax(-1)

    @property
    def input_is_local(self) -> bool:
        """Whether the encoder's input hangs on the audio nearby alone, and not on all of the utterance."""
        return not (self.model.features.cannot_stream or getattr(self.model.normalize, "cannot_stream", ""))

    def in_windows(self, windows: Windows, encode: Callable, audio: Tensor) -> Tensor:
        """The frames ``[T, d_model]`` that ``encode`` makes of ``[samples]``, window by window."""
        at_once = max(int(self.batch_seconds / windows.seconds), 1)
        return encode_in_windows(windows, encode, audio, self.hop, at_once)

    def in_one_pass(self, audio: Tensor) -> Tensor:
        """``[samples]`` → ``[T, d_model]``, of the encoder over all of it.

        Features and front end see little around a frame, and take more memory than an encoder: they go in windows.
        """
        frames = self.in_windows(self.input_windows, self.model.encoder_input, audio)
        lengths = torch.tensor([len(frames)], device=self.device)
        return self.model.encoder(frames[None], lengths, self.context).frames[0]

    def search_all(self, encodings: Sequence[Encoding]) -> list[list[SearchedPart]]:
        """Search all recordings, long ones cut at silences. Returns the parts of each recording in their order."""
        if self.search is None:
            return [[SearchedPart(0, len(encoding.frames), None)] for encoding in encodings]
        cut = [
            (number, start, end)
            for number, encoding in enumerate(encodings)
            for start, end in pieces(encoding.log_probs, self.frame_seconds, self.cuts)
        ]
        results: dict[int, list[Hypothesis]] = {}
        seconds = [(end - start) * self.frame_seconds for _, start, end in cut]
        for batch in DurationBatches(seconds, self.batch_seconds).batches():
            chosen = [(encodings[number], slice(start, end)) for number, start, end in (cut[index] for index in batch)]
            lengths = torch.tensor([part.stop - part.start for _, part in chosen], device=self.device)
            frames = pad_sequence([encoding.frames[part] for encoding, part in chosen], batch_first=True)
            log_probs = pad_sequence([encoding.log_probs[part] for encoding, part in chosen], batch_first=True)
            with self.turn, self.autocast():
                hypotheses = self.search(self.decoder, Encoded(frames, lengths), log_probs, self.language_model)
            results |= dict(zip(batch, hypotheses, strict=True))
        parts: list[list[SearchedPart]] = [[] for _ in encodings]
        for index, (number, start, end) in enumerate(cut):
            parts[number].append(SearchedPart(start, end, results[index]))
        return parts

    def transcript(
        self, recording: Recording, duration: float, encoding: Encoding, parts: Sequence[SearchedPart], nbest: int
    ) -> Transcript:
        """The best of the parts as one text, with the times of its words."""
        spans: list[TokenSpan] = []
        for part in parts:
            log_probs = encoding.log_probs[part.start : part.end].cpu()
            if part.hypotheses is None:
                own = spans_of_path(*greedy_path(log_probs.numpy()))
            else:
                own = align(log_probs, part.hypotheses[0].tokens)
            spans += [span._replace(start=span.start + part.start, end=span.end + part.start) for span in own]
        searched = [part.hypotheses for part in parts if part.hypotheses is not None]
        joined = join_readings(searched, nbest) if searched else []
        readings = [ScoredText(detokenize(self.tokenizer, tokens), score) for tokens, score in joined]
        return Transcript(
            id=recording.id,
            text=detokenize(self.tokenizer, [span.token for span in spans]),
            duration=duration,
            words=words_of(spans, self.tokenizer, self.frame_seconds, duration),
            score=readings[0].score if readings else None,
            nbest=distinct(readings)[:nbest] if nbest > 1 else [],
            audio=recording.path and recording.name,
        )


def join_readings(parts: Iterable[Sequence[Hypothesis]], count: int) -> list[Hypothesis]:
    """The ``count`` best readings of a whole recording, made of the readings of its parts, whose scores are added."""
    joined = [Hypothesis([], 0.0)]
    for hypotheses in parts:
        pairs = product(joined, hypotheses)
        both = (Hypothesis(head.tokens + tail.tokens, head.score + tail.score) for head, tail in pairs)
        joined = nlargest(count, both, key=lambda hypothesis: hypothesis.score)
    return joined
