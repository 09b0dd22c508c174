"""Transcribe recordings with a trained run: python transcribe.py RUN talk.flac folder --format srt --out subtitles"""

import sys

from recipes.errors import command_line
from recipes.inference.command import load_engine, transcribe
from recipes.inference.options import parse


@command_line
def main(argv=None):
    request = parse(sys.argv[1:] if argv is None else argv)
    if request.streams:
        from recipes.inference.command_stream import stream

        return stream(request)
    transcribe(load_engine(request), request)


if __name__ == "__main__":
    sys.exit(main())
