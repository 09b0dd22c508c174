"""Turn a model trained with stock SpeechBrain into a run of ours that computes the same.

    python -m recipes.stock FOLDER --recipe hparams/NAME.yaml OUT [--key value …]

FOLDER is a checkpoint of a stock recipe (`…/save/CKPT+…`) or the folder of a published model. It holds the
weights (`model.ckpt` or `asr.ckpt`), `normalizer.ckpt`, `tokenizer.ckpt`, and `hyperparams.yaml` and `lm.ckpt`
if there are such; those that a checkpoint lacks are looked for in the folders that it lies in. Only tensors
are read from it, no code. Keys given at the end change the recipe, as for train.py. Test OUT, or decode with it, by

    python train.py OUT/recipe.yaml --data_folder /corpora/LibriSpeech --test_only
"""

import argparse
import pickle
import shutil
from pathlib import Path

import torch
from torch import Tensor, nn

from data_prep.tokenizer import load_tokenizer
from recipes.config import flatten, load
from recipes.config.arguments import parse_arguments
from recipes.config.layer_mixers import resolve
from recipes.config.source import Source, child, compose
from recipes.errors import RecipeError, command_line
from recipes.stock.language_model import renamed_lm, write_lm
from recipes.stock.names import State, renamed
from recipes.stock.settings import Hyperparameters, Kind, kind_of_weights, stock_options
from recipes.training.averaging import save_weights
from recipes.training.run_folder import WEIGHTS

FILES = {
    "weights": ("model.ckpt", "asr.ckpt"),
    "normaliser": ("normalizer.ckpt", "normalize.ckpt"),
    "tokenizer": ("tokenizer.ckpt",),
}
OPTIONAL = {"hyperparameters": ("hyperparams.yaml",), "language model": ("lm.ckpt",)}


def convert(folder: Path, recipe: Path, out: Path, overrides: dict[str, object] | None = None) -> Path:
    """Write the run folder ``out``: recipe.yaml, averaged.ckpt, tokenizer/, and lm/ where there is one.

    The recipe gets what stock does otherwise than ours; ``overrides`` come last. Raises RecipeError, one line,
    for files that are missing, damaged or of another model than the recipe's. ``out`` appears whole or not at all.
    """
    overrides = overrides or {}
    files = find_files(folder)
    if out.exists() and (not out.is_dir() or any(out.iterdir())):
        raise RecipeError(f"{out} is there already: give another folder")
    weights = read_tensors(files["weights"])
    kind, source = kind_of_weights(weights, files["weights"]), flattened(recipe, overrides)
    check_kind(kind, source, files["weights"])
    stock = Hyperparameters(files.get("hyperparameters"))
    options = {**stock_options(kind, resolve(source)[0], stock), **overrides, "output_folder": str(out)}
    loaded = load(recipe, {**options, "data_folder": "."})
    check_sizes({**sizes(weights), **heads(weights, stock)}, loaded.hparams, files["weights"], recipe)
    model = loaded.hparams["model"]
    state = renamed(weights, model, model.encoder.blocks[0].mixer.heads, str(files["weights"]), str(recipe))
    state.update(normalisation(files["normaliser"], model.normalize))
    check_tokenizer(files["tokenizer"], loaded.hparams["vocab_size"])
    model.load_state_dict(state)

    out.parent.mkdir(parents=True, exist_ok=True)
    unfinished = out.with_name(f".{out.name}.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    (unfinished / "tokenizer").mkdir(parents=True)
    if "language model" in files and convert_lm(files, stock, unfinished / "lm", out / "lm"):
        options = {"lm_folder": str(out / "lm"), **options}
    (unfinished / "recipe.yaml").write_text(flatten(recipe, options), encoding="utf-8")
    save_weights(model.state_dict(), unfinished / WEIGHTS)
    shutil.copyfile(files["tokenizer"], unfinished / "tokenizer" / "tokenizer.model")
    if out.is_dir():
        out.rmdir()
    unfinished.rename(out)
    return out


def convert_lm(files: dict[str, Path], stock: Hyperparameters, folder: Path, final: Path) -> bool:
    """Write a run folder of a language model; False, and the tensors as they are, for no stock TransformerLM."""
    folder.mkdir()
    tensors = read_tensors(files["language model"])
    state = renamed_lm(tensors)
    if state is None:
        save_weights(tensors, folder / "lm.ckpt")
    else:
        write_lm(state, stock, files["tokenizer"], folder, final, files["language model"])
    return state is not None


def find_files(folder: Path) -> dict[str, Path]:
    """What FOLDER holds, by role. RecipeError for a missing folder or file, and for the parent of checkpoints."""
    if not folder.is_dir():
        raise RecipeError(f"there is no folder {folder}")
    places = [folder, *folder.resolve().parents[:2]] if folder.resolve().name.startswith("CKPT") else [folder]
    found = {}
    for role, names in {**FILES, **OPTIONAL}.items():
        candidates = [place / name for place in places for name in names if (place / name).is_file()]
        if candidates:
            found[role] = candidates[0]
        elif role in FILES:
            inside = sorted(path.name for path in folder.glob("CKPT+*"))
            hint = f"; it holds checkpoints: name one, {folder / inside[-1]}" if inside else ""
            raise RecipeError(f"{folder} has no {role} ({' or '.join(names)}){hint}")
    return found


def read_tensors(file: Path) -> State:
    """The tensors of a checkpoint by name, on the CPU. RecipeError for anything else."""
    try:
        state = torch.load(file, map_location="cpu", weights_only=True)
    except (RuntimeError, EOFError, ValueError, pickle.UnpicklingError):
        raise RecipeError(f"{file} is damaged, or holds other things than tensors") from None
    tensors = {name: one for name, one in state.items() if isinstance(one, Tensor)} if isinstance(state, dict) else {}
    if not tensors:
        raise RecipeError(f"{file} holds no tensors by name")
    return tensors


def flattened(recipe: Path, overrides: dict[str, object]) -> Source:
    text = flatten(recipe, overrides)
    return Source(str(recipe), text, compose(text, str(recipe)))


def check_kind(kind: Kind, source: Source, file: Path) -> None:
    model, table = source.find("model"), source.find("mixers")
    encoder = child(model, "encoder") if model is not None else None
    if encoder is None or table is None:
        raise RecipeError(f"{source.name} is no recipe of a recogniser: it has no model with an encoder and mixers")
    mixers = dict.fromkeys(child(table, name).tag.rpartition(".")[2] for name in resolve(source))
    described = Kind(encoder.tag.rpartition(".")[2], " and ".join(mixers))
    if described != kind:
        raise RecipeError(f"{file} holds {kind}, but {source.name} is {described}: give the model's own recipe")


def sizes(weights: State) -> dict[str, int]:
    """The sizes of a stock model by the names of our recipes' keys."""

    def layers(part: str) -> int:
        return len({name.split(".")[3] for name in weights if name.startswith(f"1.{part}.layers.")})

    ends = {
        "d_model": ("1.custom_src_module.layers.0.w.weight", 0),
        "vocab_size": ("3.w.weight", 0),
        "d_ffn": ("1.decoder.layers.0.pos_ffn.ffn.0.weight", 0),
        "kernel_size": ("1.encoder.layers.0.convolution_module.conv.weight", 2),
    }
    known = {key: weights[name].shape[axis] for key, (name, axis) in ends.items() if name in weights}
    return {"layers": layers("encoder"), "decoder_layers": layers("decoder"), **known}


def heads(weights: State, stock: Hyperparameters) -> dict[str, int]:
    """The number of heads where it can be told: rotary attention keeps it in hyperparams.yaml alone."""
    layer = "1.encoder.layers.0.mha_layer"
    if f"{layer}.pos_bias_u" in weights:
        return {"heads": weights[f"{layer}.pos_bias_u"].shape[1]}
    if f"{layer}.hyper.w1_gen.fc1_weights" in weights:
        return {"heads": weights[f"{layer}.hyper.w1_gen.fc1_weights"].shape[0]}
    nhead = stock.value("Transformer.nhead")
    return {"heads": int(nhead)} if nhead else {}


def check_sizes(found: dict[str, int], hparams: dict, file: Path, recipe: Path) -> None:
    other = {key: size for key, size in found.items() if hparams.get(key, size) != size}
    if other:
        theirs = ", ".join(f"{key} {size}" for key, size in other.items())
        ours = ", ".join(f"{key} {hparams[key]}" for key in other)
        options = " ".join(f"--{key} {size}" for key, size in other.items())
        raise RecipeError(f"{file} has {theirs}, but {recipe} has {ours}: give the model's own recipe, or {options}")


def normalisation(file: Path, ours: nn.Module) -> State:
    """Mean and standard deviation as InputNormalization keeps them."""
    statistics = read_tensors(file)
    mean, std = statistics.get("glob_mean"), statistics.get("glob_std")
    if mean is None or std is None or mean.shape != ours.mean.shape:
        found = "no global mean and deviation" if mean is None or std is None else f"a mean of {list(mean.shape)}"
        raise RecipeError(f"{file} holds {found} where {list(ours.mean.shape)} is needed: was the model trained?")
    return {"normalize.mean": mean.float(), "normalize.std": std.float().clamp(min=1e-10).expand_as(mean).clone()}


def check_tokenizer(file: Path, vocab_size: int) -> None:
    pieces = load_tokenizer(file).vocab_size()
    if pieces > vocab_size:
        raise RecipeError(f"{file} has {pieces} pieces, but the model has only {vocab_size} outputs")


@command_line
def main(argv=None):
    description = "Turn a model trained with stock SpeechBrain into a run of ours that computes the same."
    parser = argparse.ArgumentParser(
        prog="python -m recipes.stock",
        description=description,
        allow_abbrev=False,
        epilog="Keys of the recipe may follow, as for train.py: --layers 12",
    )
    parser.add_argument("folder", type=Path, help="a stock checkpoint, or the folder of a published model")
    parser.add_argument("--recipe", type=Path, required=True, help="our recipe of the same model")
    parser.add_argument("out", type=Path, help="the run folder to write")
    arguments, rest = parser.parse_known_args(argv)
    overrides = parse_arguments([str(arguments.recipe), *rest]).overrides
    out = convert(arguments.folder, arguments.recipe, arguments.out, overrides)
    if "hyperparameters" not in find_files(arguments.folder):
        print("no hyperparams.yaml there: window, decoder activation and rotary heads are the recipe's, do check them")
    if (out / "lm" / "lm.ckpt").is_file():
        print(f"{out / 'lm' / 'lm.ckpt'} is no stock TransformerLM: kept as it was, of no use in decoding")
    elif (out / "lm").is_dir():
        print(f"its language model is a run folder of its own, {out / 'lm'}, and the recipe's lm_folder names it")
    print(f"converted; try it: python train.py {out / 'recipe.yaml'} --data_folder FOLDER --test_only")
