"""Transcribe recordings with a trained run: python transcribe.py RUN talk.flac folder --format srt --out subtitles"""

import sys

from recipes.errors import command_line
from recipes.inference.command.options import parse
from recipes.inference.command.transcribe import load_engine, transcribe


@command_line
def main(argv=None):
    request = parse(sys.argv[1:] if argv is None else argv)
    if request.streams:
        from recipes.inference.command.stream import stream

        return stream(request)
    transcribe(load_engine(request), request)


if __name__ == "__main__":
    sys.exit(main())
