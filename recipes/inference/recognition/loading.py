"""Load a model to transcribe with, from the folder of a run or of a release."""

from collections.abc import Mapping
from pathlib import Path
from typing import NamedTuple

from recipes.asr.saved_run import SavedRun, with_ngram
from recipes.config import read_recipe
from recipes.errors import RecipeError
from recipes.files import read_json
from recipes.inference.recognition.loaded_model import LoadedModel
from recipes.release_files import INFO, check_complete, is_release, read_info
from recipes.scoring.records import from_json
from recipes.training.run_data import RunData
from recipes.training.run_folder import RECIPE


class Settings(NamedTuple):
    """How to decode: keys of the recipe, as evaluate.py takes them; a word n-gram; which average of checkpoints.

    trust: whether the folder's recipe may name any class.
    """

    keys: Mapping[str, object] = {}
    ngram: Path | None = None
    average: str | None = None
    trust: bool = False


def load_model(folder: Path, settings: Settings) -> LoadedModel:
    """A run of train.py, or a release. Raises RecipeError, one line, for what is missing or does not fit."""
    check_folder(folder)
    keys = with_ngram(settings.ngram, dict(settings.keys))
    if is_release(folder):
        check_complete(folder, read_info(folder))  # before its recipe is read
        keys = {"data_folder": ".", **keys}  # which its recipe asks for, and nothing here reads
    run = SavedRun(folder, keys, settings.average, source=read_recipe(folder / RECIPE, trust=settings.trust))
    model, search, name = run.hparams["model"], run.hparams["test_search"], f"{folder}, {run.weights_name}"
    mean = mean_utterance(trained_on(folder))
    return LoadedModel(model, run.tokenizer, search, run.search_language_model(), name, run.recipe, mean)


def trained_on(folder: Path) -> RunData | None:
    """The record of a run's or a release's training data; None if it has none."""
    if not is_release(folder):
        return RunData.read(folder)
    data = read_json(folder / INFO).get("data")
    return from_json(RunData, data, str(folder / INFO)) if data else None


def mean_utterance(data: RunData | None) -> float | None:
    """The mean length of the training utterances, in seconds."""
    counts = data.train.counts if data else {}
    return 3600 * counts["hours"] / counts["utterances"] if counts.get("hours") and counts.get("utterances") else None


def check_folder(folder: Path) -> None:
    """Raises RecipeError for a folder that is neither a run nor a release."""
    if not (folder / RECIPE).is_file() and not is_release(folder):
        no_folder = "it is a file" if folder.exists() else "there is no such folder"
        missing = "it has no recipe.yaml" if folder.is_dir() else no_folder
        raise RecipeError(f"{folder} is no run folder ({missing}): give first one that train.py wrote")
