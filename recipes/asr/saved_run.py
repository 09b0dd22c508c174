"""A trained recogniser, loaded from its run folder to decode with."""

import json
from collections.abc import Mapping
from pathlib import Path

from data_prep.corpus import USES, Corpus
from data_prep.files import checksum
from data_prep.tokenizer import load_tokenizer
from recipes import release_files
from recipes.asr.contexts import check_contexts
from recipes.asr.searches import check_searches
from recipes.config import load, read_recipe
from recipes.config.keys import TO_TEST, Role, free_keys, keys_of
from recipes.config.limits import check_needed
from recipes.config.source import Source, plain
from recipes.errors import RecipeError
from recipes.lm.saved_model import load_language_model
from recipes.models.language_model import TransformerLM
from recipes.release_files import check_files, is_release, put_weights, read_info, read_weights
from recipes.training.run_data import tokenizer_of
from recipes.training.run_folder import TOKENIZER, WEIGHTS
from recipes.training.tensors import load_weights

DECODING_KEYS = free_keys() - keys_of(Role.ABOUT) | {"data_folder"}


def with_ngram(ngram: Path | None, overrides: dict) -> dict:
    """The overrides, with the search for this word n-gram where there is one. Raises RecipeError for two searches."""
    if ngram is None:
        return overrides
    if "test_search" in overrides:
        raise RecipeError("--ngram and --test_search both choose the search: give one of them")
    path = json.dumps(str(ngram), ensure_ascii=False)
    # Settings of the search come after its choice.
    return {"test_search": f"!new:recipes.decoding.NgramCTCSearch {{ngram: {path}}}", **overrides}


def check_decoding_keys(overrides: Mapping[str, object], hparams: Mapping) -> None:
    """Raises RecipeError for a key that says more than how to decode."""
    keys = {name.split(".")[0] for name in overrides}
    if keys - DECODING_KEYS:
        raise RecipeError(
            f"--{min(keys - DECODING_KEYS)} says what was trained and cannot change any more; evaluate.py takes "
            + ", ".join(f"--{key}" for key in sorted(DECODING_KEYS & {*hparams}))
        )


class SavedRun:
    """Recipe, tokenizer and weights of a run folder, or of a release; `recipe.hparams["model"]` holds the weights.

    overrides: keys of the recipe, only such as change the decoding. which: an average of checkpoints, see
    `recipes.training.choose_checkpoints`; None: the weights that the run itself was tested with. source: the folder's
    recipe as it was read before (with `trust`, say); None: read here. Raises RecipeError or DataError, one line each,
    for whatever is missing.
    """

    def __init__(self, folder: Path, overrides: dict, which: str | None = None, *, source: Source | None = None):
        self.folder, self.overrides, self.which = folder, overrides, which
        self.source = source or read_recipe(folder / "recipe.yaml")
        if self.source.find("model") is None:
            raise RecipeError(f"{folder} is no run of a recogniser: a language model is for --lm_folder")
        self.recipe = load(self.source, overrides, training=False)
        self.hparams = self.recipe.hparams
        check_needed(str(folder / "recipe.yaml"), self.hparams, {"model": TO_TEST})
        check_decoding_keys(overrides, self.hparams)
        check_contexts(folder / "recipe.yaml", self.hparams)
        check_searches(folder / "recipe.yaml", self.hparams)
        self.released = read_info(folder) if is_release(folder) else None
        if self.released:
            check_files(folder, self.released)
        self.tokenizer_file = folder / (release_files.TOKENIZER if self.released else TOKENIZER)
        self.tokenizer = load_tokenizer(self.tokenizer_file) if self.released else tokenizer_of(folder)
        self.weights, self.weights_name = self.find_weights()
        try:
            self.hparams["model"].load_state_dict(self.weights)
        except RuntimeError:
            recipe = folder / "recipe.yaml"
            raise RecipeError(f"the {self.weights_name} do not fit {recipe}: was it changed?") from None

    def own_corpus(self) -> Corpus:
        """The data of the run itself, without overrides. Raises DataError if they no longer exist."""
        keys = ("data_folder", *(f"{use}_manifest" for use in USES))
        nodes = {key: node for key in keys if (node := self.source.find(key)) is not None}
        values = {key: plain(node) for key, node in nodes.items() if node.tag != "!PLACEHOLDER"}
        return Corpus.named_by({"data_folder": None, **values})

    def find_weights(self) -> tuple[dict, str]:
        """A state dict, and in words what it is."""
        if self.released:
            if self.which is not None:
                raise RecipeError(f"{self.folder} is a release, of one average of checkpoints: leave out --average")
            digest = self.released.files[release_files.WEIGHTS]
            words = f"release {self.released.name}, weights {digest[:12]}"
            return read_weights(self.folder / release_files.WEIGHTS), words
        weights, checkpoints = self.folder / WEIGHTS, self.folder / "checkpoints"
        if self.which is None and weights.is_file():
            return load_weights(weights), f"weights {checksum(weights)[:12]} of its own test"
        # SpeechBrain's checkpoints: most of a second to import, which loading the run's own weights need not wait for.
        from recipes.training.averaging import average_checkpoints
        from recipes.training.stored_checkpoints import StoredCheckpoints

        stored = StoredCheckpoints(checkpoints)
        if not stored.list_checkpoints():
            train = f" and no {WEIGHTS}: train first, python train.py {self.folder / 'recipe.yaml'}"
            raise RecipeError(
                f"{self.folder} holds no checkpoint"
                + (f" to average, only {WEIGHTS}: leave out --average" if weights.is_file() else train)
            )
        average = average_checkpoints(stored, self.which or f"best-{self.hparams['average_checkpoints']}")
        return average.weights, "average of epochs " + ", ".join(map(str, average.epochs))

    def search_language_model(self) -> TransformerLM | None:
        """The language model of the test search: that in `lm_folder`, or the release's own. Raises RecipeError."""
        own, search = self.hparams.get("language_model"), self.hparams["test_search"]
        if "lm_folder" not in self.overrides and (search is None or not search.takes_lm):
            return None  # the search was chosen in place of one with a language model
        if not self.released or own is None or "lm_folder" in self.overrides:
            return load_search_language_model(self.hparams, self.tokenizer_file)
        put_weights(own, self.folder / release_files.LM_WEIGHTS)
        return own.eval()

    def change(self, overrides: dict) -> None:
        """Add overrides to the recipe. Its objects must have been changed accordingly already."""
        self.overrides = self.overrides | overrides
        self.recipe = self.recipe._replace(hash=load(self.source, self.overrides, training=False).hash)


def load_search_language_model(hparams: Mapping, tokenizer: Path) -> TransformerLM | None:
    """The language model in `lm_folder` for the test search; None where the recipe names none, or decodes greedily.

    tokenizer: the recogniser's `tokenizer.model`. Raises RecipeError for a folder without a language model, and for
    one that does not fit the recogniser or its search.
    """
    folder, search = hparams["lm_folder"], hparams["test_search"]
    if folder is None or search is None:
        return None
    if not search.takes_lm:
        raise RecipeError(f"{type(search).__name__} takes no language model: give --lm_folder null")
    language_model = load_language_model(Path(str(folder)), tokenizer)
    outputs = hparams["model"].ctc.out_features
    if language_model.vocab_size != outputs:
        raise RecipeError(
            f"the language model in {folder} has {language_model.vocab_size} outputs and the recogniser {outputs}: "
            f"train it with --vocab_size {outputs}"
        )
    return language_model
