"""Users' manifests to this project's: `python -m data_prep.own my_train.csv my_test.jsonl OUT`."""

from data_prep.arguments import ArgumentParser
from data_prep.corpus import Corpus
from data_prep.errors import command_line
from data_prep.split_manifest import add_options


@command_line
def main(argv=None):
    parser = ArgumentParser(
        prog="python -m data_prep.own",
        description="Check manifests of own recordings, and turn them into this project's.",
    )
    parser.add_argument("manifests", nargs="+", help="CSV, TSV, JSONL (NeMo's and Lhotse's too), Kaldi's data folders")
    parser.add_argument("out_folder", help="where <name>.csv and the report <name>.json go")
    parser.add_argument("--data_folder", help="where relative paths are looked for that are not beside their manifest")
    add_options(parser)
    options = parser.parse_args(argv)
    corpus = Corpus(options.data_folder, test=options.manifests, normalizer=options.normalizer)
    corpus.prepare(options.out_folder, [], [], workers=options.workers, check=options.check)


if __name__ == "__main__":
    raise SystemExit(main())
