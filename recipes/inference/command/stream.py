"""transcribe.py --stream: text while audio comes, from files, standard input or a microphone.

torch comes in only with a run.
"""

import sys
from collections.abc import Callable, Iterable, Iterator
from io import BufferedReader
from typing import cast

import numpy as np

from data_prep.errors import DataError
from recipes.errors import RecipeError
from recipes.inference.audio.reading import BEGINNINGS, is_mp3, may_be_mp3, parse_audio
from recipes.inference.audio.recordings import STDIN, STDIN_NAME, Recording, find_recordings
from recipes.inference.audio.samples import SAMPLE_RATE, check_length
from recipes.inference.command.options import Request, check_stream_keys
from recipes.inference.streams.chunks import CHUNK, check_chunks
from recipes.inference.streams.text_stream import StreamedText, TextStream

MP3_BYTES = 8192  # by which MP3 is told from bare samples that begin alike: a quarter of a second of these
MICROPHONE = "microphone"
SAMPLES_AT_ONCE = SAMPLE_RATE // 10  # samples fed at a time


def stream(request: Request) -> None:
    """Final texts go to standard output, one a line with its times; partial ones to the terminal, if it is one.

    Of several recordings each line begins with the name; one that cannot be used is named, and the others go on.
    """
    check_stream_options(request)
    open_stream, streamed, failed = load_streams(request), list(sources(request)), 0
    several = len(streamed) > 1
    for name, pieces in streamed:
        live = open_stream()
        print(f"{name}: chunks of {live.chunks.chunk} frames, known after {live.latency_ms:g} ms", file=sys.stderr)
        before = f"{name}\t" if several else ""
        try:
            for piece in pieces:
                show(live.feed(piece), before)
        except KeyboardInterrupt:
            if several or name not in (MICROPHONE, STDIN_NAME):  # these are switched off so
                raise
        except DataError as error:
            if not several:
                raise
            failed += 1
            print(f"error: {error}", file=sys.stderr)
            continue
        show(live.finish(), before)
        print(figures(live), file=sys.stderr)
    if failed:
        raise RecipeError(f"{failed} of {len(streamed)} recordings could not be transcribed; they are named above")


def load_streams(request: Request) -> Callable[[], TextStream]:
    """What opens a stream of the model that the command line names."""
    own = request.own
    if own.onnx is not None:
        from recipes.inference.command.exported import load_onnx_stream

        return load_onnx_stream(own, request.rest).stream
    from recipes.inference.command.run import load_transcriber

    chunk = CHUNK if own.chunk is None else own.chunk
    check_chunks(chunk, own.left_chunks)
    transcriber = load_transcriber(own, request.rest)
    return lambda: transcriber.stream(chunk=chunk, left_chunks=own.left_chunks, rescore=own.rescore)


def check_stream_options(request: Request) -> None:
    """Raises RecipeError for options that a stream does not have."""
    own = request.own
    for name, unset in (("out", None), ("nbest", 1), ("window", None), ("format", "txt")):
        if getattr(own, name) != unset:
            raise RecipeError(f"--{name} is not for streams, which write their text as they hear it")
    if not own.rescore and own.onnx is None:
        given = [name for name in ("ngram", "piece", "batch_seconds") if getattr(own, name) is not None]
        if given:
            raise RecipeError(f"--{given[0]} is for a search, and streams are decoded greedily: give --rescore too")
    if own.onnx is None:
        check_stream_keys(request.rest, own.rescore)
    if own.rate not in (None, SAMPLE_RATE):
        raise RecipeError(f"--rate {own.rate}: a stream of bare samples must have {SAMPLE_RATE} Hz")
    if own.microphone and own.audio:
        raise RecipeError("--microphone hears the microphone alone: leave out the audio, or give --stream")


def sources(request: Request) -> Iterator[tuple[str, Iterable[np.ndarray]]]:
    """What is streamed, by name, in pieces of samples."""
    if request.own.microphone:
        yield MICROPHONE, microphone()
        return
    for argument in dict.fromkeys(request.audio):
        if argument == STDIN:
            yield STDIN_NAME, standard_input()
        else:
            for recording in find_recordings([argument]):
                yield recording.name, pieces_of(recording)


def pieces_of(recording: Recording) -> Iterator[np.ndarray]:
    """Read when the first one is asked for. Raises DataError for what cannot be used."""
    yield from in_pieces(recording.read())


def in_pieces(samples: np.ndarray) -> Iterator[np.ndarray]:
    return (samples[start : start + SAMPLES_AT_ONCE] for start in range(0, len(samples), SAMPLES_AT_ONCE))


def standard_input() -> Iterator[np.ndarray]:
    """Bare samples as they come: 16 kHz, 16-bit, little-endian, one channel; or a file, read to its end first.

    Raises DataError at the end of what was too short for a word.
    """
    pipe = cast(BufferedReader, sys.stdin.buffer)
    content, samples = pipe.read(4), 0
    if may_be_mp3(content):
        content += pipe.read(MP3_BYTES)
    if content.startswith(BEGINNINGS) or is_mp3(content):
        yield from in_pieces(parse_audio(content + pipe.read(), STDIN_NAME))
        return
    while True:
        whole = len(content) // 2 * 2
        samples += whole // 2
        yield np.frombuffer(content[:whole], "<i2")
        more = pipe.read1(2 * SAMPLES_AT_ONCE)
        if not more:
            check_length(samples / SAMPLE_RATE, STDIN_NAME)
            return
        content = content[whole:] + more


def microphone() -> Iterator[np.ndarray]:
    """Pieces of what the default microphone hears, until interrupted. Raises RecipeError where there is none."""
    try:
        import sounddevice
    except (ImportError, OSError) as error:  # OSError: without the library that it wraps
        raise RecipeError(f"--microphone needs sounddevice (pip install sounddevice): {error}") from None
    try:
        with sounddevice.InputStream(samplerate=SAMPLE_RATE, channels=1, dtype="float32") as device:
            while True:
                yield device.read(SAMPLES_AT_ONCE)[0][:, 0]
    except sounddevice.PortAudioError as error:
        raise RecipeError(f"--microphone: {error}") from None


def show(texts: Iterable[StreamedText], before: str = "") -> None:
    """before: of each line."""
    is_terminal = sys.stderr.isatty()
    for text in texts:
        if is_terminal:
            print(f"\r\x1b[K{'' if text.final else text.text[-100:]}", end="", file=sys.stderr, flush=True)
        if text.final:
            print(f"{before}{text.start:.2f}\t{text.end:.2f}\t{text.text}", flush=True)


def figures(live: TextStream) -> str:
    """How long chunks took to compute."""
    if not live.computing or not live.seconds:
        return "nothing was heard"
    p50, p95 = (1000 * float(np.percentile(list(live.computing), share)) for share in (50, 95))
    factor = live.computing_seconds / live.seconds
    return (
        f"{live.seconds:.1f} s of audio: {live.latency_ms:g} ms for a chunk to be complete, then {p50:.1f} ms to "
        f"compute it (median; 95 % within {p95:.1f} ms); real-time factor {factor:.3f}"
    )
