"""The command line of transcribe.py: its options, and which combinations are refused."""

import argparse
import math
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.arguments import ArgumentParser
from data_prep.audio import FORMATS as AUDIO_FORMATS
from recipes.config.split import split
from recipes.errors import RecipeError
from recipes.inference.audio.recordings import STDIN
from recipes.inference.streams.chunks import CHUNK
from recipes.inference.transcripts.formats import FORMATS

DESCRIPTION = """\
Transcribe recordings with a run that train.py left. The folder of the run comes first, then the audio: files, folders,
patterns ("talks/**/*.mp3"), or - for standard input. Options come last. Any rate, number of channels and format that
libsndfile reads will do. Keys of the recipe that say how to decode may be given as to evaluate.py:
--test_search.beam 20, --test_search null (greedy CTC), --lm_folder runs/lm."""
MOST_THREADS = 1024
USAGE = "transcribe.py RUN AUDIO… [--key value …]"


class Request(NamedTuple):
    """A command line: transcribe.py's own options, and what is left for the recipe."""

    own: argparse.Namespace
    rest: list[str]

    @property
    def audio(self) -> list[str]:
        """With an exported model there is no run before the audio."""
        first = [self.own.run] if self.own.onnx and self.own.run else []
        return [*first, *self.own.audio]

    @property
    def streams(self) -> bool:
        return self.own.stream or self.own.microphone


def parser() -> ArgumentParser:
    result = ArgumentParser(
        prog="transcribe.py",
        description=DESCRIPTION,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add = result.add_argument
    add("run", nargs="?", metavar="RUN", help="a folder that train.py wrote")
    add("audio", nargs="*", metavar="AUDIO", help="files, folders, patterns, or -")
    add("--format", default="txt", choices=FORMATS, help="what is written (default: txt)")
    add("--out", type=Path, metavar="FOLDER", help="one file a recording, in this folder; without it, on the screen")
    add("--nbest", type=int, default=1, metavar="N", help="keep the N best readings, at most the beam (format json)")
    add("--ngram", type=Path, help="CTC search with this word n-gram in place of the recipe's search")
    add("--average", help="weights: best-5, last-5, or epochs 3-7; without it, those of the run's own test")
    add("--window", type=float, metavar="SECONDS", help="encode what is longer in overlapping windows of this length")
    add("--piece", type=float, metavar="SECONDS", help="search what is longer in pieces of at most this length")
    add("--batch_seconds", type=float, metavar="SECONDS", help="padded audio computed at once (default: 100)")
    add("--rate", type=int, metavar="HZ", help="of bare samples on standard input: 16-bit, little-endian, one channel")
    add("--device", help="cpu, cuda or cuda:1 (default: the first GPU, or the CPU where there is none)")
    add("--eval_precision", metavar="NAME", help="of the computation: fp32, bf16 or fp16 (default: fp32)")
    add("--trust", action="store_const", const=True, help="let the run's recipe name any class: only of one you know")
    add("--threads", type=int, metavar="N", help="of the CPU")
    add("--noprogressbar", action="store_true")
    add("--stream", action="store_true", help="as a live stream: text while audio comes, with times")
    add("--microphone", action="store_true", help="stream what the microphone hears")
    add("--chunk", type=int, metavar="FRAMES", help=f"of a stream, 40 ms each (default: {CHUNK})")
    add("--left_chunks", type=int, metavar="N", help="that a chunk of a stream sees before it (default: all)")
    add("--rescore", action="store_true", help="search what a stream heard at the end of each utterance")
    add("--onnx", type=Path, metavar="FILE", help="an exported model in place of a run; of a transducer, its folder")
    return result


def check_threads(threads: int | None) -> None:
    """Raises RecipeError for no thread, and for thousands, with which OpenMP hangs or crashes."""
    if threads is not None and not 1 <= threads <= MOST_THREADS:
        raise RecipeError(f"--threads must be from 1 to {MOST_THREADS}, not {threads}")


def parse(argv: Sequence[str]) -> Request:
    """The options of transcribe.py, and what is left for the recipe. Raises RecipeError for wrong values."""
    for argument in argv:
        if argument.startswith("-") and "=" not in argument and Path(argument).suffix.lower() in AUDIO_FORMATS:
            raise RecipeError(f"{argument} is no option: for a file of that name write ./{argument}")
    own, rest = parser().parse_known_args(argv)
    request = Request(own, rest)
    if not request.audio and not own.microphone:
        raise RecipeError("no audio to transcribe: give RUN, then files, folders, patterns or -, then options")
    for name in ("nbest", "rate"):
        value = getattr(own, name)
        if value is not None and value < 1:
            raise RecipeError(f"--{name} must be 1 or more, not {value}")
    check_threads(own.threads)
    for name in ("window", "piece", "batch_seconds"):
        value = getattr(own, name)
        if value is not None and not 0 < value < math.inf:
            raise RecipeError(f"--{name} must be a number of seconds above 0, not {value:g}")
    for name in ("chunk", "left_chunks", "rescore"):
        if not request.streams and getattr(own, name) not in (None, False):
            raise RecipeError(f"--{name} is for streams: give --stream too")
    if own.rate is not None and STDIN not in request.audio:
        raise RecipeError(f"--rate {own.rate} is for bare samples on standard input, and - is not among the audio")
    if own.nbest > 1 and own.format != "json":
        raise RecipeError(f"--nbest {own.nbest}: only --format json holds more than the best reading")
    return request


def check_stream_keys(rest: Sequence[str], rescore: bool) -> None:
    """Raises RecipeError for keys of the recipe that a stream would not heed. rest: of the command line."""
    keys = split(rest, usage=USAGE)[1]
    for key in ("test_chunk", "test_left_chunks"):
        if key in keys:
            raise RecipeError(f"--{key} is for tests: give a stream --{key.removeprefix('test_')}")
    if keys.get("test_search") == "null":  # greedy, as streams are
        del keys["test_search"]
    searches = [key for key in keys if key == "lm_folder" or key.partition(".")[0] == "test_search"]
    if searches and not rescore:
        raise RecipeError(f"--{searches[0]} is for a search, and streams are decoded greedily: give --rescore too")
