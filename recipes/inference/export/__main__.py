"""A trained model as ONNX: `python -m recipes.inference.export RUN OUT.onnx`.

The file takes samples and gives CTC's log probabilities, for any batch and any length, exact in padding; or, with
`--part encoder`, takes log mel features and gives encoder frames. With `--part transducer` OUT is a folder of three
files: encoder, prediction network (decoder.onnx) and joint network (joiner.onnx). With `--part stream` it takes the
next chunk of streams and their state, for `transcribe.py --onnx OUT --stream`: OUT.onnx gives CTC's log probabilities,
a folder is a transducer. A file, or such a folder, holds vocabulary, sample rate, mixer and the hash of its recipe, so
that `transcribe.py --onnx OUT` needs nothing else, not even torch.
"""

import argparse
from pathlib import Path

from data_prep.arguments import ArgumentParser
from mixers import Context
from recipes.errors import RecipeError, command_line
from recipes.inference.onnx.info import CTC, ENCODER, INSTALL, STREAM, TRANSDUCER
from recipes.inference.recognition.loading import Settings, load_model
from recipes.inference.streams.chunks import CHUNK, check_chunks
from recipes.models import Transducer


def parse(argv=None) -> argparse.Namespace:
    parser = ArgumentParser(
        prog="python -m recipes.inference.export",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("run", type=Path, help="a folder that train.py wrote, or a release")
    parser.add_argument("out", type=Path, metavar="OUT", help="a name that ends in .onnx; of a transducer, a folder")
    parser.add_argument("--part", default=CTC, choices=[CTC, ENCODER, TRANSDUCER, STREAM], help="default: %(default)s")
    parser.add_argument("--chunk", type=int, metavar="FRAMES", help=f"of a stream, 40 ms each (default: {CHUNK})")
    parser.add_argument("--left_chunks", type=int, metavar="N", help="that a chunk of a stream sees (default: all)")
    parser.add_argument("--int8", action="store_true", help="weights of matrix products in 8 bits")
    parser.add_argument("--average", help="weights: best-5, last-5, or epochs 3-7; without it, those of the run's test")
    parser.add_argument("--trust", action="store_true", help="the recipe may name any class: only of a run you know")
    options = parser.parse_args(argv)
    if options.part == TRANSDUCER and options.out.suffix == ".onnx":
        raise RecipeError(f"{options.out}: a transducer is a folder of three files: give a name without .onnx")
    if options.part not in (TRANSDUCER, STREAM) and options.out.suffix != ".onnx":
        raise RecipeError(f"{options.out}: the name of an ONNX file ends in .onnx")
    if options.out.exists():
        raise RecipeError(f"{options.out} is there already: give another name")
    for name in ("chunk", "left_chunks"):
        if options.part != STREAM and getattr(options, name) is not None:
            raise RecipeError(f"--{name} is for --part {STREAM}")
    options.chunk = CHUNK if options.chunk is None else options.chunk
    check_chunks(options.chunk, options.left_chunks)
    return options


@command_line
def main(argv=None):
    options = parse(argv)
    try:
        from recipes.inference.export.files import export_model, export_stream, export_transducer
    except ImportError as error:
        raise RecipeError(f"{error.name or error} is not installed: {INSTALL}") from None
    settings = Settings({"lm_folder": None}, average=options.average, trust=options.trust)
    loaded, int8 = load_model(options.run, settings), options.int8
    if options.part == STREAM:
        context, transducer = Context(options.chunk, options.left_chunks), options.out.suffix != ".onnx"
        if transducer and not isinstance(loaded.model.decoder, Transducer):
            raise RecipeError(f"{options.out}: the model has no transducer: for its CTC head give a name with .onnx")
        exported = export_stream(loaded, options.out, context, transducer=transducer, int8=int8)
    elif options.part == TRANSDUCER:
        exported = export_transducer(loaded, options.out, int8=int8)
    else:
        exported = export_model(loaded, options.out, part=options.part, int8=int8)
    files = sorted(options.out.iterdir()) if options.out.is_dir() else [options.out]
    megabytes = sum(file.stat().st_size for file in files) / 2**20
    of = "outputs differ from float32 by at most" if options.int8 else "outputs differ from torch by at most"
    print(f"{options.out}: {exported.info.part} of {loaded.name}, {megabytes:.1f} MB; {of} {exported.difference:.1e}")
    if options.int8:
        print("what 8 bits cost in words only a test says: transcribe a test set with both files")


if __name__ == "__main__":
    raise SystemExit(main())
