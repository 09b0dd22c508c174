"""What a folder holds to transcribe with, as one thing, whoever wrote the folder."""

from collections.abc import Callable, Mapping
from pathlib import Path
from typing import NamedTuple

from recipes import release_files
from recipes.asr.saved_run import SavedRun, check_decoding_keys, load_search_language_model, with_ngram
from recipes.config import read_recipe
from recipes.errors import RecipeError
from recipes.files import read_json
from recipes.inference import release_folder
from recipes.inference.recognition import LoadedModel
from recipes.scoring.records import from_json
from recipes.training.run_data import RunData
from recipes.training.run_folder import RECIPE, TOKENIZER


class Settings(NamedTuple):
    """How to decode: keys of the recipe, as evaluate.py takes them; a word n-gram; which average of checkpoints.

    trust: whether the folder's recipe may name any class.
    """

    keys: Mapping[str, object] = {}
    ngram: Path | None = None
    average: str | None = None
    trust: bool = False


def load_run(folder: Path, settings: Settings) -> LoadedModel:
    """A run of train.py. Raises RecipeError, one line, for what is missing and for settings that do not fit."""
    keys = with_ngram(settings.ngram, dict(settings.keys))
    source = read_recipe(folder / RECIPE, trust=settings.trust)
    run = SavedRun(folder, keys, settings.average, source=source)
    language_model = load_search_language_model(run.hparams, folder / TOKENIZER)
    name = f"{folder}, {run.weights_name}"
    mean = mean_utterance(RunData.read(folder))
    return LoadedModel(run.hparams["model"], run.tokenizer, run.hparams["test_search"], language_model, name, mean)


def load_release(folder: Path, settings: Settings) -> LoadedModel:
    """A release, with errors as `load_run`."""
    if settings.average is not None:
        raise RecipeError(f"{folder} is a release, which holds one average of checkpoints: leave out --average")
    keys = with_ngram(settings.ngram, dict(settings.keys))
    release = release_folder.load_release(folder, keys, trust=settings.trust)
    hparams = release.recipe.hparams
    check_decoding_keys(keys, hparams)
    language_model = load_search_language_model(hparams, folder / release_files.TOKENIZER)
    search = hparams["test_search"]
    if "lm_folder" not in keys and search is not None and search.takes_lm:
        language_model = release.language_model
    name = f"{folder}, release {release.info.name}"
    data = read_json(folder / release_folder.INFO).get("data")
    mean = mean_utterance(from_json(RunData, data, str(folder / release_folder.INFO)) if data else None)
    return LoadedModel(release.recogniser, release.tokenizer, search, language_model, name, mean)


def mean_utterance(data: RunData | None) -> float | None:
    """Seconds, of what was trained on."""
    counts = data.train.counts if data else {}
    return 3600 * counts["hours"] / counts["utterances"] if counts.get("hours") and counts.get("utterances") else None


# The file by which a folder is known, and what reads it; the first one that is there counts.
KINDS: dict[str, Callable[[Path, Settings], LoadedModel]] = {release_files.INFO: load_release, RECIPE: load_run}


def load_model(folder: Path, settings: Settings) -> LoadedModel:
    """Raises RecipeError, one line, for a folder that holds nothing of the kind, or that is incomplete."""
    return KINDS[check_folder(folder)](folder, settings)


def check_folder(folder: Path) -> str:
    """The file by which a folder is known. Raises RecipeError where it has none."""
    for file in KINDS:
        if (folder / file).is_file():
            return file
    missing = "it has no recipe.yaml" if folder.is_dir() else "there is no such folder"
    raise RecipeError(f"{folder} is no run folder ({missing}): give first one that train.py wrote")
