"""Time and memory of a corpus of LibriSpeech's size: python -m benchmarks.preparation

A corpus of hard links to a few files is made in a new folder, and removed at the end. `python -m data_prep.librispeech`
prepares it twice. The first time it reads every header (from memory, since the files have just been written); the
second time nothing has changed. Then train.py is started twice, and stopped at its first batch. The first time it makes
manifests and tokenizer, the second time it finds them.
"""

import argparse
import json
from pathlib import Path

from benchmarks.preparation.corpus import TRAIN
from benchmarks.preparation.measure import measure
from data_prep.arguments import ArgumentParser
from data_prep.errors import command_line


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
