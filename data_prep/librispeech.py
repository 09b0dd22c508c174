"""LibriSpeech folder to manifests: `python -m data_prep.librispeech DATA_FOLDER OUT`.

For what is done about damage see `data_prep.split_manifest`; `--check` decodes all audio. Corpora of other layouts are
read by the same rules: see `data_prep.problems.RULES` and docs/data.md.
"""

from pathlib import Path
from typing import Any

from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError, command_line
from data_prep.pairing import pair
from data_prep.source import list_source
from data_prep.split_manifest import SplitWriter, add_options
from data_prep.splits import available_splits, find_corpus, named_splits
from data_prep.text import is_utf8, printable


def prepare_split(root, split: str, out_folder, workers: int | None = None, **options: Any) -> Path:
    """Write `out_folder/<split>.csv` and its report `<split>.json`; both stay when the source hasn't changed.

    For workers and options see `SplitWriter`. The report's fingerprint is that of `list_source`. Raises DataError when
    the split is refused.
    """
    if not is_utf8(split):
        raise DataError(f"{printable(split)} in {root} is no UTF-8 name: rename the folder")
    writer = SplitWriter(split, out_folder, workers=workers, **options)
    folders, fingerprint = list_source(Path(root) / split)
    if writer.is_unchanged(fingerprint):
        return writer.manifest
    content = pair(Path(root), split, folders, writer.workers)
    del folders  # the names of all files, which would stay in memory
    return writer.write(content, fingerprint)


@command_line
def main(argv=None):
    parser = ArgumentParser(prog="python -m data_prep.librispeech", description="LibriSpeech to manifests.")
    parser.add_argument("data_folder", help="folder that holds train*, dev* (or valid*) and test*, or its parent")
    parser.add_argument("out_folder", help="where <split>.csv and the report <split>.json go")
    parser.add_argument("--splits", nargs="+", metavar="NAME", help="only these (default: all that are there)")
    add_options(parser)
    options = parser.parse_args(argv)
    root = find_corpus(options.data_folder)
    splits = available_splits(root)
    if options.splits:
        splits = named_splits(splits, options.splits)
    for split in splits:
        prepare_split(
            root, split, options.out_folder, options.workers, check=options.check, normalizer=options.normalizer
        )


if __name__ == "__main__":
    raise SystemExit(main())
