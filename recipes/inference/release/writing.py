"""Make a folder of a trained run that others can load.

The folder holds the weights as safetensors, the tokenizer, the flattened recipe, a model card (README.md: data, word
error rates with their intervals, licence, commit, how to use it), hyperparams.yaml for SpeechBrain, and release.json.
It needs no file of the run, and no path of this machine stands in it. Load it by `Transcriber.load(OUT)`,
transcribe.py, or SpeechBrain's EncoderDecoderASR; see docs/release.md.
"""

import datetime
import shutil
from pathlib import Path

from ruamel.yaml.nodes import Node, ScalarNode
from safetensors.torch import save
from torch import Tensor, nn

from data_prep.files import checksum, write_atomically
from recipes.asr.saved_run import SavedRun
from recipes.asr.transfer import RECORD as INIT_FROM
from recipes.config import read_recipe
from recipes.config.flattening import flattened
from recipes.config.merge import set_keys
from recipes.config.source import STANDARD, Source
from recipes.errors import RecipeError
from recipes.files import check_free, new_folder, read_json, write_json
from recipes.inference.release.hyperparams import hyperparams, resolved
from recipes.inference.release.model_card import model_card
from recipes.provenance import commit
from recipes.release_files import (
    CARD,
    FORMAT,
    INFO,
    LM_WEIGHTS,
    RECIPE,
    SPEECHBRAIN,
    TOKENIZER,
    WEIGHTS,
)
from recipes.scoring import RunSummary
from recipes.scoring.records import to_json
from recipes.scoring.results import SUMMARY
from recipes.training.run_data import RunData

LICENCE = "apache-2.0"
OF_THIS_MACHINE = ("decoded_by", "remarks")  # in a summary: may hold paths
NULL = ScalarNode(f"{STANDARD}null", "null")
# In the recipe of a release: what is of one machine, or lies outside the folder.
ELSEWHERE = {
    "data_folder": ScalarNode("!PLACEHOLDER", ""),
    "output_folder": ScalarNode("!ref", "runs/<recipe>/<mixer_name>/<seed>"),
    **dict.fromkeys(("lm_folder", "train_manifest", "valid_manifest", "test_manifest"), NULL),
    **dict.fromkeys(("init_from", "new_tokenizer", "freeze"), NULL),  # the others are for init_from alone
}


def write_release(
    run: SavedRun, out: Path, *, name: str | None = None, licence: str = LICENCE, data: str | None = None
) -> Path:
    """Write the release ``out`` of a run, with the weights that the run itself was tested with.

    name: of the model, in the card; by default of recipe and mixer. licence: of the weights, an identifier of SPDX.
    data: what the card says of the data beside their names and hours.
    Raises RecipeError for an ``out`` that is there already, and for a search that reads a file outside.
    ``out`` appears whole or not at all.
    """
    check_free(out)
    check_search(run)
    language_model = run.search_language_model()
    recipe = recipe_of(run, with_language_model=language_model is not None)
    facts = {
        "format": FORMAT,
        "name": name or f"{run.recipe.name}-{run.hparams['mixer_name']}",
        "licence": licence,
        "released": datetime.date.today().isoformat(),
        "commit": commit(),
        "recipe": run.recipe.name,
        "recipe_hash": run.recipe.hash,
        "mixer": run.hparams["mixer_name"],
        "parameters": size_of(run.hparams["model"]),
        "weights": run.weights_name,
        "began_with": began_with(run.folder),
        "language_model_parameters": size_of(language_model) if language_model else None,
        "about_data": data,
        "data": to_json(RunData.read(run.folder)),
        "summary": results_of(run),
    }
    with new_folder(out) as unfinished:
        write_weights(run.weights, unfinished / WEIGHTS)
        if language_model is not None:
            write_weights(language_model.state_dict(), unfinished / LM_WEIGHTS)
        shutil.copyfile(run.tokenizer_file, unfinished / TOKENIZER)
        write_atomically(unfinished / RECIPE, recipe.text)
        write_atomically(unfinished / SPEECHBRAIN, hyperparams(recipe))
        summed = (TOKENIZER, WEIGHTS, *([LM_WEIGHTS] if language_model is not None else []))
        files = {file: checksum(unfinished / file) for file in summed}
        write_json(unfinished / INFO, facts | {"files": files})
        write_atomically(unfinished / CARD, model_card(facts, recipe))
    return out


def results_of(run: SavedRun) -> dict | None:
    """The run's own summary; None where it was not tested, or with another recipe than it has now."""
    if not (run.folder / SUMMARY).is_file():
        return None
    summary = RunSummary.read(run.folder)
    values = {key: value for key, value in to_json(summary).items() if key not in OF_THIS_MACHINE}
    return values if summary.recipe_hash == run.recipe.hash else None


def began_with(folder: Path) -> dict | None:
    """Which weights the training of a run began with; None: with random ones."""
    record = folder / INIT_FROM
    if not record.is_file():
        return None
    began = read_json(record)
    return {key: began.get(key) for key in ("recipe", "recipe_hash", "weights", "loaded", "new")}


def check_search(run: SavedRun) -> None:
    """Raises RecipeError for a search that needs more than the folder will hold."""
    ngram = getattr(run.hparams["test_search"], "ngram", None)
    if ngram is not None:
        raise RecipeError(
            f"{run.folder / RECIPE} has a search that reads {ngram}, which a release does not hold: give it another one"
        )


def recipe_of(run: SavedRun, with_language_model: bool) -> Source:
    """The flattened recipe without the folders of this machine, the language model of the search in it."""
    source, values = flattened(run.source), dict[str, Node](ELSEWHERE)
    if getattr(run.hparams["valid_search"], "ngram", None) is not None:  # the release holds no n-gram
        values["valid_search"] = NULL
    if with_language_model:
        lm_recipe = flattened(read_recipe(Path(str(run.hparams["lm_folder"])) / RECIPE))
        language_model = lm_recipe.find("language_model")
        assert language_model is not None  # or the run could not have been loaded
        values["language_model"] = resolved(language_model, lm_recipe)
    return set_keys(source, {key: value for key, value in values.items() if source.find(key) or key not in ELSEWHERE})


def write_weights(weights: dict[str, Tensor], path: Path) -> None:
    # A tensor may share memory with another one, which safetensors does not write.
    write_atomically(path, save({key: value.clone().contiguous() for key, value in weights.items()}))


def size_of(model: nn.Module) -> int:
    return sum(parameter.numel() for parameter in model.parameters())
