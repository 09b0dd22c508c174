"""A trained model as ONNX: `python -m recipes.inference.export RUN OUT.onnx`.

The file takes samples and gives CTC's log probabilities, for any batch and any length, exact in padding; or, with
`--part encoder`, takes log mel features and gives encoder frames. With `--part transducer` OUT is a folder of three
files: encoder, prediction network (decoder.onnx) and joint network (joiner.onnx). A file, or such a folder, holds
vocabulary, sample rate, mixer and the hash of its recipe, so that `transcribe.py --onnx OUT` needs nothing else, not
even torch.
"""

import argparse
from pathlib import Path

from recipes.errors import ArgumentParser, RecipeError, command_line
from recipes.inference.loading import Settings, load_model
from recipes.inference.onnx_file import CTC, ENCODER, INSTALL, TRANSDUCER


def parse(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m recipes.inference.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a folder that train.py wrote, or a release")
    parser.add_argument("out", type=Path, metavar="OUT", help="a name that ends in .onnx; of a transducer, a folder")
    parser.add_argument("--part", default=CTC, choices=[CTC, ENCODER, TRANSDUCER], help="default: %(default)s")
    parser.add_argument("--int8", action="store_true", help="weights of matrix products in 8 bits")
    parser.add_argument("--average", help="weights: best-5, last-5, or epochs 3-7; without it, those of the run's test")
    options = parser.parse_args(argv)
    if options.part == TRANSDUCER and options.out.suffix == ".onnx":
        raise RecipeError(f"{options.out}: a transducer is a folder of three files: give a name without .onnx")
    if options.part != TRANSDUCER and options.out.suffix != ".onnx":
        raise RecipeError(f"{options.out}: the name of an ONNX file ends in .onnx")
    if options.out.exists():
        raise RecipeError(f"{options.out} is there already: give another name")
    return options


@command_line
def main(argv=None):
    options = parse(argv)
    try:
        from recipes.inference.onnx_export import export, export_transducer
    except ImportError as error:
        raise RecipeError(f"{error.name or error} is not installed: {INSTALL}") from None
    loaded = load_model(options.run, Settings(average=options.average))
    if options.part == TRANSDUCER:
        exported, files = export_transducer(loaded, options.out, int8=options.int8), sorted(options.out.iterdir())
    else:
        exported, files = export(loaded, options.out, part=options.part, int8=options.int8), [options.out]
    megabytes = sum(file.stat().st_size for file in files) / 2**20
    of = "the weights in 8 bits change" if options.int8 else "differs from torch by"
    print(f"{options.out}: {exported.info.part} of {loaded.name}, {megabytes:.1f} MB; {of} {exported.difference:.1e}")


if __name__ == "__main__":
    raise SystemExit(main())
