"""Users' manifests to this project's: `python -m data_prep.own my_train.csv my_test.jsonl OUT`."""

from data_prep.corpus import Corpus
from data_prep.errors import ArgumentParser, command_line
from data_prep.text import NORMALIZERS


@command_line
def main(argv=None):
    parser = ArgumentParser(
        prog="python -m data_prep.own",
        description="Check manifests of own recordings, and turn them into this project's.",
    )
    parser.add_argument("manifests", nargs="+", help="CSV, TSV, JSONL (NeMo's and Lhotse's too), Kaldi's data folders")
    parser.add_argument("out_folder", help="where <name>.csv and the report <name>.json go")
    parser.add_argument("--data_folder", help="where relative paths are looked for that are not beside their manifest")
    parser.add_argument(
        "--text_normalizer",
        "--normalizer",
        dest="normalizer",
        default="none",
        choices=NORMALIZERS,
        help="of the words (default: none)",
    )
    parser.add_argument("--workers", type=int, help="files read at a time (default: number of cores)")
    parser.add_argument("--check", action="store_true", help="decode all audio to find damage inside files")
    options = parser.parse_args(argv)
    corpus = Corpus(options.data_folder, test=options.manifests, normalizer=options.normalizer)
    corpus.prepare(options.out_folder, [], [], workers=options.workers, check=options.check)


if __name__ == "__main__":
    raise SystemExit(main())
