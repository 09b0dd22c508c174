"""What identifies an evaluation: settings, files and data. They name its folder and tell which results go together."""

import hashlib
import json
import re
from collections.abc import Iterator, Mapping
from functools import cached_property
from pathlib import Path

from data_prep.errors import DataError
from data_prep.files import checksum
from recipes.asr.saved_run import SavedRun
from recipes.config import flatten, recipe_content
from recipes.config.keys import Role, keys_of
from recipes.errors import RecipeError
from recipes.release_files import LM_WEIGHTS
from recipes.scoring import RunSummary
from recipes.training.run_data import RunData
from recipes.training.run_folder import WEIGHTS
from recipes.training.tensors import digest

# What changes no result, and the data, which are known by their content.
UNNAMED_KEYS = keys_of(Role.WHERE, Role.KEPT, Role.DATA, Role.ABOUT)
LONGEST_NAME = 80


def short_hash(value: object, digits: int = 6) -> str:
    return hashlib.sha256(json.dumps(value, default=str).encode()).hexdigest()[:digits]


def read_summary(folder: Path) -> RunSummary | None:
    """The summary of a folder; None where there is none that can be read."""
    try:
        return RunSummary.read(folder)
    except RecipeError:
        return None


class Identity:
    """Identifies an evaluation of a saved run.

    root: the corpus that is decoded. manifests: SHA-256 of its test splits' manifests, by split. label: a part of the
    folder's name.
    """

    def __init__(self, run: SavedRun, eval_precision: str, root: Path, manifests: Mapping[str, str], label: str = ""):
        self.run, self.eval_precision, self.manifests, self.label = run, eval_precision, manifests, label
        self.other_root = str(root) if self.has_other_data(root) else None

    def has_other_data(self, root: Path) -> bool:
        """Whether the splits are other data than the run's own.

        A split that the run has not used counts as its own if it lies in the run's corpus.
        """
        known = known_manifests(self.run.folder)
        shared = [self.manifests[name] == known[name] for name in self.manifests.keys() & known.keys()]
        if shared:
            return not all(shared)
        try:
            return self.run.own_corpus().root.resolve() != root.resolve()
        except DataError:  # it is there no more
            return True

    @property
    def content(self) -> dict:
        """The recipe that decodes, as plain values by key."""
        return recipe_content(flatten(self.run.source, self.run.overrides))

    def settings(self) -> str:
        """A hash of everything that the result of a split depends on, except the split itself."""
        content = {key: value for key, value in sorted(self.content.items()) if key not in UNNAMED_KEYS}
        # The name of an average says the epochs, and not of which training.
        weights = [self.run.weights_name, *([digest(self.run.weights)] if self.run.which else [])]
        parts = [content, self.files, self.other_root, *weights, self.eval_precision]
        return short_hash(parts, digits=12)

    @cached_property
    def files(self) -> dict[str, str]:
        """SHA-256 of what the search reads: the language model's weights, an n-gram, a list of words."""
        content, folder = self.content, self.run.hparams["lm_folder"]
        paths = [] if folder is None else [Path(str(folder)) / WEIGHTS]
        paths.append(self.run.folder / LM_WEIGHTS)  # of a release
        paths += [Path(text) for text in texts_in(content.get("test_search"))]
        return {str(path): digest for path in paths if (digest := checksum(path))}

    def folder(self) -> Path:
        """Where the results go: a folder inside the run's, named after what differs from the run's own test.

        If it holds results of a split whose content has changed since (a repaired corpus), another name is used.
        """
        folder = self.run.folder / "evaluations" / self.name()
        summary = read_summary(folder)
        decoded = {} if summary is None else {name: result.manifest for name, result in summary.splits.items()}
        if any(decoded.get(name) not in (None, digest) for name, digest in self.manifests.items()):
            return folder.with_name(f"{folder.name},data={short_hash(sorted(self.manifests.items()))}")
        return folder

    def name(self) -> str:
        """What differs, in short, with a hash of the rest."""
        overrides = sorted(self.run.overrides.items())
        settings = {key: str(value) for key, value in overrides if key not in UNNAMED_KEYS}
        if self.eval_precision != "fp32":
            settings["eval_precision"] = self.eval_precision
        if self.run.which:
            settings = {"average": self.run.which, **settings}
        # Without the modules of classes and the folders of files.
        short = {key: re.sub(r"!new:[\w.]*\.|[^\s,:'\"{}\[\]]*/", "", value) for key, value in settings.items()}
        parts = [*([self.label] if self.label else []), *(f"{key}={value}" for key, value in short.items())]
        if self.other_root:
            parts.append(f"data={Path(self.other_root).name}")
        text = ",".join(parts) or "as-trained"
        name = re.sub(r"[^\w.=+-]+", "_", text)[:LONGEST_NAME].strip("_")
        reads_files = any(key.split(".")[0] in ("test_search", "lm_folder") for key in settings) and self.files
        if self.other_root or reads_files or "/" in "".join(settings.values()) or len(text) > LONGEST_NAME:
            name += "-" + short_hash([settings, self.files, self.other_root])
        return name


def known_manifests(folder: Path) -> dict[str, str]:
    """SHA-256 of the manifests that a run was trained, validated and tested on, by split."""
    data, summary = RunData.read(folder), read_summary(folder)
    trained = {**data.train.files, **data.valid.files} if data else {}
    tested = {} if summary is None else {name: result.manifest for name, result in summary.splits.items()}
    return {name: digest for name, digest in {**trained, **tested}.items() if digest}


def texts_in(value: object) -> Iterator[str]:
    """All texts among plain values."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, dict):
        for item in value.values():
            yield from texts_in(item)
    elif isinstance(value, list):
        for item in value:
            yield from texts_in(item)
