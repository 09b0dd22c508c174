"""Time and memory of a corpus of LibriSpeech's size: python -m benchmarks.preparation

Makes a corpus in a new folder (hard links to a few files), and removes it. It is prepared twice, by the command
`python -m data_prep.librispeech`: the first time every header is read, from memory, since the files have just been
written; the second time nothing has changed. Then train.py is started, and stopped at its first batch, twice: the
first time manifests and tokenizer are made, the second time they are there.
"""

import argparse
import json
from pathlib import Path

from benchmarks.preparation.corpus import TRAIN
from benchmarks.preparation.measure import measure
from data_prep.errors import ArgumentParser, command_line


@command_line
def main(argv=None) -> None:
    parser = ArgumentParser(
        prog="python -m benchmarks.preparation",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--utterances", type=int, default=sum(TRAIN.values()), help="default: %(default)s")
    parser.add_argument("--folder", type=Path, help="where the corpus is made (default: the system's temporary folder)")
    parser.add_argument("--no_start", action="store_true", help="do not start a training")
    options = parser.parse_args(argv)
    print(json.dumps(measure(options.utterances, options.folder, not options.no_start)))
