"""Turn a model trained with SpeechBrain's own recipes into a run folder of ours that computes the same.

    python -m recipes.stock FOLDER --recipe hparams/NAME.yaml OUT [--key value …]

FOLDER is a checkpoint of a SpeechBrain recipe (`…/save/CKPT+…`) or the folder of a published model. It holds the
weights (`model.ckpt` or `asr.ckpt`), `normalizer.ckpt`, `tokenizer.ckpt`, and perhaps `hyperparams.yaml` and
`lm.ckpt`; those that a checkpoint lacks are looked for in the two folders above it. Only tensors are read from it,
no code. Keys given at the end change the recipe, as for train.py. Test OUT, or decode with it, by

    python train.py OUT/recipe.yaml --data_folder /corpora/LibriSpeech --test_only
"""

import shutil
from pathlib import Path

from torch import nn

from data_prep.arguments import ArgumentParser
from recipes.config import flatten, load
from recipes.config.arguments import parse_arguments
from recipes.config.layer_mixers import resolve
from recipes.config.source import Source, compose
from recipes.errors import RecipeError, command_line
from recipes.files import check_free, new_folder
from recipes.stock.checks import check_kind, check_sizes, check_tokenizer
from recipes.stock.files import find_files, read_tensors
from recipes.stock.language_model import renamed_lm, write_lm
from recipes.stock.names import State, renamed
from recipes.stock.settings import Hyperparameters, kind_of_weights, stock_options
from recipes.training.run_folder import WEIGHTS
from recipes.training.tensors import save_weights

DESCRIPTION = "Turn a model trained with SpeechBrain's own recipes into a run folder of ours that computes the same."


def convert(folder: Path, recipe: Path, out: Path, overrides: dict[str, object] | None = None) -> Path:
    """Write the run folder ``out``: recipe.yaml, averaged.ckpt, tokenizer/, and lm/ if there is a language model.

    The recipe gets the options in which SpeechBrain differs from our defaults, then ``overrides``. Raises
    RecipeError for files that are missing, damaged or of another model than the recipe's. ``out`` appears whole
    or not at all.
    """
    overrides = overrides or {}
    files = find_files(folder)
    check_free(out)
    weights = read_tensors(files["weights"])
    kind, source = kind_of_weights(weights, files["weights"]), flattened(recipe, overrides)
    check_kind(kind, source, files["weights"])
    stock = Hyperparameters(files.get("hyperparameters"))
    options = {**stock_options(kind, resolve(source)[0], stock), **overrides, "output_folder": str(out)}
    hparams = load(recipe, {**options, "data_folder": "."}).hparams
    check_sizes(weights, stock, hparams, files["weights"], recipe)
    model = hparams["model"]
    heads = model.encoder.blocks[0].mixer.heads
    state = renamed(weights, model, kind.encoder, heads, str(files["weights"]), str(recipe))
    state |= normalisation(files["normaliser"], model.normalize)
    check_tokenizer(files["tokenizer"], hparams["vocab_size"])
    model.load_state_dict(state)

    with new_folder(out) as unfinished:
        if "language model" in files and convert_lm(files, stock, unfinished / "lm", out / "lm"):
            options = {"lm_folder": str(out / "lm"), **options}
        (unfinished / "recipe.yaml").write_text(flatten(recipe, options), encoding="utf-8")
        save_weights(model.state_dict(), unfinished / WEIGHTS)
        (unfinished / "tokenizer").mkdir()
        shutil.copyfile(files["tokenizer"], unfinished / "tokenizer" / "tokenizer.model")
    return out


def convert_lm(files: dict[str, Path], stock: Hyperparameters, folder: Path, final: Path) -> bool:
    """Write a run folder of a language model into ``folder``, which will be moved to ``final``.

    Returns False, and writes the tensors unchanged, when they are not those of SpeechBrain's TransformerLM.
    """
    folder.mkdir()
    tensors = read_tensors(files["language model"])
    state = renamed_lm(tensors)
    if state is None:
        save_weights(tensors, folder / "lm.ckpt")
    else:
        write_lm(state, stock, files["tokenizer"], folder, final, files["language model"])
    return state is not None


def flattened(recipe: Path, overrides: dict[str, object]) -> Source:
    """The recipe with its bases and overrides, as YAML nodes."""
    text = flatten(recipe, overrides)
    return Source(str(recipe), text, compose(text, str(recipe)))


def normalisation(file: Path, normalize: nn.Module) -> State:
    """Mean and standard deviation of SpeechBrain's InputNormalization, by our names."""
    statistics = read_tensors(file)
    mean, std = statistics.get("glob_mean"), statistics.get("glob_std")
    needed = normalize.mean.shape
    if mean is None or std is None or mean.shape != needed:
        content = "no global mean and deviation" if mean is None or std is None else f"a mean of {list(mean.shape)}"
        raise RecipeError(f"{file} holds {content} where {list(needed)} is needed: was the model trained?")
    return {"normalize.mean": mean.float(), "normalize.std": std.float().clamp(min=1e-10).expand_as(mean).clone()}


@command_line
def main(argv=None):
    parser = ArgumentParser(
        prog="python -m recipes.stock",
        description=DESCRIPTION,
        allow_abbrev=False,
        epilog="Keys of the recipe may follow, as for train.py: --layers 12",
    )
    parser.add_argument("folder", type=Path, help="a checkpoint of SpeechBrain, or the folder of a published model")
    parser.add_argument("--recipe", type=Path, required=True, help="our recipe of the same model")
    parser.add_argument("out", type=Path, help="the run folder to write")
    arguments, keys = parser.parse_known_args(argv)
    overrides = parse_arguments([str(arguments.recipe), *keys]).overrides
    out = convert(arguments.folder, arguments.recipe, arguments.out, overrides)
    if "hyperparameters" not in find_files(arguments.folder):
        print("no hyperparams.yaml there: window, decoder activation and rotary heads are the recipe's, do check them")
    if (out / "lm" / "lm.ckpt").is_file():
        print(f"{out / 'lm' / 'lm.ckpt'} is no stock TransformerLM: kept as it was, of no use in decoding")
    elif (out / "lm").is_dir():
        print(f"its language model is a run folder of its own, {out / 'lm'}, and the recipe's lm_folder names it")
    print(f"converted; try it: python train.py {out / 'recipe.yaml'} --data_folder FOLDER --test_only")
