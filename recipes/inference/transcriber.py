"""A trained recogniser, ready to transcribe: `Transcriber.load(RUN).transcribe("a.flac").text`."""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Self

import torch

from mixers import Context
from recipes.asr.batches import DurationBatches
from recipes.errors import RecipeError, ran_out_of_memory
from recipes.inference.audio.prefetch import groups_by_seconds, read_batches
from recipes.inference.audio.recordings import Recording, check_rate, recording_of
from recipes.inference.audio.samples import SAMPLE_RATE
from recipes.inference.recognition.description import describe_recognition
from recipes.inference.recognition.engine import Outcome
from recipes.inference.recognition.loaded_model import LoadedModel
from recipes.inference.recognition.loading import Settings, load_model
from recipes.inference.recognition.recognition import Recognition
from recipes.inference.streams.chunks import CHUNK
from recipes.inference.streams.endpoint import Endpoint
from recipes.inference.streams.stream import Stream

BATCH_SECONDS = 100.0
GROUP = 10  # batches whose recordings are sorted by length together; texts come in the order of the recordings
PRECISIONS = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}


class Transcriber:
    """A recogniser with its weights, tokenizer and search. Transcribing changes nothing in it: threads may share it.

    loaded: what `load_model` returns. device: where it runs; None: the first GPU, or the CPU where there is none.
    window: seconds; longer recordings are encoded in windows of this length that overlap. None: in one pass where all
    mixers are linear, else in windows of 40 s. piece: seconds; longer recordings are searched in pieces of at most this
    length, cut at silences. None: what is longer than three mean training utterances, in pieces of four thirds of one.
    batch_seconds: of padded audio encoded, or searched, at once. precision: fp32, bf16 or fp16. Raises RecipeError for
    values that cannot be, and for a device that is not there.
    """

    def __init__(
        self,
        loaded: LoadedModel,
        *,
        device: str | None = None,
        window: float | None = None,
        piece: float | None = None,
        batch_seconds: float = BATCH_SECONDS,
        precision: str = "fp32",
    ):
        if precision not in PRECISIONS:
            raise RecipeError(f"precision must be one of {', '.join(PRECISIONS)}, not {precision}")
        for name, value in (("window", window), ("piece", piece), ("batch_seconds", batch_seconds)):
            if value is not None and not 0 < value < math.inf:
                raise RecipeError(f"{name} must be a number of seconds above 0, not {value}")
        self.name, self.batch_seconds = loaded.name, batch_seconds
        if loaded.search is not None:
            loaded.search.prepare(loaded.tokenizer)
        self.recognise = Recognition(
            loaded,
            usable_device(device),
            window=window,
            piece=piece,
            batch_seconds=batch_seconds,
            autocast=PRECISIONS[precision],
        )

    @classmethod
    def load(
        cls,
        folder: str | Path,
        *,
        settings: Mapping[str, object] | None = None,
        ngram: str | Path | None = None,
        average: str | None = None,
        **options: Any,
    ) -> Self:
        """The recogniser of a run folder, or of a release.

        settings: keys of the recipe as evaluate.py takes them, `{"test_search.beam": 20, "lm_folder": "runs/lm"}`;
        `{"test_search": None}` is greedy CTC. ngram: file of a word n-gram, to search with in place of the recipe's
        search. average: of checkpoints, such as best-5. options: of the class. Raises RecipeError or DataError, one
        line, for a folder that is incomplete and for what does not fit it.
        """
        chosen = Settings(settings or {}, Path(ngram) if ngram is not None else None, average)
        return cls(load_model(Path(folder), chosen), **options)

    def transcribe(self, audio: Any, rate: int | None = None, *, nbest: int = 1) -> Any:
        """A recording's `Transcript`, or a list of them for a list (or tuple) of recordings.

        audio: a path, or samples ``[samples]`` or ``[samples, channels]`` (an array, or a tensor on the CPU) of this
        rate in Hz; whole numbers are shares of their type's range. nbest: readings to keep with their scores.
        Raises DataError, which names the recording, for one that cannot be used, and RecipeError for readings that
        the search does not have, and for a rate where there are only paths.
        """
        several = isinstance(audio, (list, tuple))
        check_rate(audio if several else [audio], rate)
        recordings = [
            recording_of(item, rate, f"recording {number}" if several else "recording")
            for number, item in enumerate(audio if several else [audio])
        ]
        self.check_nbest(nbest)
        transcripts = []
        for outcome in self.transcribe_each(recordings, nbest=nbest):
            if outcome.error is not None:
                raise outcome.error
            transcripts.append(outcome.transcript)
        return transcripts if several else transcripts[0]

    def transcribe_each(
        self, recordings: Sequence[Recording], *, nbest: int = 1, on_progress: Callable[[float], object] | None = None
    ) -> Iterator[Outcome]:
        """See `recipes.inference.recognition.engine.Engine`. Recordings of like length are padded together."""
        for group in groups_by_seconds(recordings, GROUP * self.batch_seconds):
            batches = DurationBatches([recording.seconds() for recording in group], self.batch_seconds).batches()
            outcomes: dict[int, Outcome] = {}
            for audios, errors in read_batches(group, batches):
                outcomes |= {number: Outcome(group[number], None, error) for number, error in errors.items()}
                batch = [(group[number], torch.from_numpy(audio)) for number, audio in audios.items()]
                for number, transcript in zip(audios, self.recognise_batch(batch, nbest), strict=True):
                    outcomes[number] = Outcome(group[number], transcript)
                if on_progress:
                    on_progress(sum(len(audio) for audio in audios.values()) / SAMPLE_RATE)
            yield from (outcomes[number] for number in range(len(group)))

    def check_nbest(self, nbest: int) -> None:
        """Raises RecipeError for a number of readings that the search does not have."""
        if nbest < 1:
            raise RecipeError(f"--nbest must be 1 or more, not {nbest}")
        if nbest > 1 and self.recognise.search is None:
            raise RecipeError(f"--nbest {nbest}: greedy CTC (test_search: null) has one reading alone")

    def recognise_batch(self, batch: list, nbest: int) -> list:
        """As `Recognition`. Raises RecipeError where memory does not suffice."""
        try:
            return self.recognise(batch, nbest) if batch else []
        except (MemoryError, RuntimeError) as error:
            if not ran_out_of_memory(error):
                raise
            raise RecipeError(
                f"{self.recognise.device} has too little memory: lower --batch_seconds (now {self.batch_seconds:g}) or "
                "--window, or take a narrower search"
            ) from error

    def stream(
        self,
        *,
        chunk: int = CHUNK,
        left_chunks: int | None = None,
        endpoint: Endpoint | None = None,
        rescore: bool = False,
    ) -> Stream:
        """A stream that hears chunks of so many frames of 40 ms, each with the chunks before it; None: all of them.

        endpoint: when an utterance is over; None: the rules of `Endpoint`. rescore: see
        `recipes.inference.streams.stream.Stream`. Raises RecipeError for a model that cannot stream.
        """
        return Stream(self.recognise, Context(chunk, left_chunks), endpoint or Endpoint(), rescore)

    def describe(self, longest: float) -> list[str]:
        """See `recipes.inference.recognition.engine.Engine`."""
        return [f"{self.name}, on {self.recognise.device}", *describe_recognition(self.recognise, longest)]


def usable_device(name: str | None) -> torch.device:
    """Raises RecipeError for a device that torch does not know or that this machine lacks."""
    try:
        device = torch.device(name or ("cuda" if torch.cuda.is_available() else "cpu"))
        torch.ones(1, device=device).item()  # the device meta has no values
    except (RuntimeError, AssertionError, ImportError) as error:
        raise RecipeError(f"device {name} cannot be used: {str(error).splitlines()[0]}") from None
    return device
