"""Decode test sets with a saved run, under other settings than its own test: what evaluate.py does."""

import hashlib
import json
import re
import shlex
import shutil
from collections.abc import Sequence
from pathlib import Path

from speechbrain.utils.run_opts import RunOptions

from data_prep import librispeech
from data_prep.files import checksum, write_atomically
from recipes.asr.brain import ASRBrain
from recipes.asr.decode import decode_splits, load_search_language_model, summarise
from recipes.asr.saved_run import SavedRun
from recipes.config import flatten, recipe_content
from recipes.config.keys import Role, keys_of
from recipes.errors import RecipeError
from recipes.scoring import RunSummary, SplitResult, decoded_file
from recipes.training.averaging import save_weights
from recipes.training.logger import RunLogger
from recipes.training.run_data import DATA
from recipes.training.run_folder import TOKENIZER, WEIGHTS
from recipes.training.run_options import Machine

# What changes no result, and what a folder's summary tells apart by itself.
UNNAMED_KEYS = keys_of(Role.WHERE, Role.KEPT, Role.DATA, Role.ABOUT)
LONGEST_NAME = 80


class Evaluation:
    """A saved run, and the folder for what it decodes.

    output: the folder; None: a folder inside the run's, named after what differs, with the `label` first. command: to
    be named in the report as the way to decode again. Raises RecipeError for run options that do not fit the machine,
    and for a folder that holds a trained run.
    """

    def __init__(
        self, run: SavedRun, run_options: RunOptions, *, output: Path | None = None, label: str = "", command: str = ""
    ):
        self.run, self.eval_precision = run, run_options.eval_precision
        self.command = command or shlex.join(["python", "evaluate.py", str(run.folder)])
        self.folder = output or run.folder / "evaluations" / self.name(label)
        if self.folder.resolve() == run.folder.resolve() or (self.folder / "checkpoints").exists():
            raise RecipeError(f"--output {self.folder} holds a trained run, which would be lost: give another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.logger = RunLogger(self.folder)
        Machine(run.recipe, run_options)
        self.brain = ASRBrain(
            run.recipe,
            run_options,
            tokenizer=run.tokenizer,
            language_model=load_search_language_model(run.hparams, run.folder),
            logger=self.logger,
        )
        if run.which:
            self.keep_weights()
        self.logger.info(f"{run.folder}, {run.weights_name}; everything is written to {self.folder}")

    def name(self, label: str) -> str:
        """Of the results' folder: what differs from the run's own test, in short, with a hash of the rest."""
        overrides = sorted(self.run.overrides.items())
        settings = {key: str(value) for key, value in overrides if key not in UNNAMED_KEYS}
        if self.eval_precision != "fp32":
            settings["eval_precision"] = self.eval_precision
        if self.run.which:
            settings = {"average": self.run.which, **settings}
        # Without the modules of classes and the folders of files.
        short = {key: re.sub(r"!new:[\w.]*\.|[^\s,:'\"{}\[\]]*/", "", value) for key, value in settings.items()}
        parts = [*([label] if label else []), *(f"{key}={value}" for key, value in short.items())]
        text = ",".join(parts) or "as-trained"
        name = re.sub(r"[^\w.=+-]+", "_", text)[:LONGEST_NAME].strip("_")
        if "/" in "".join(settings.values()) or len(text) > LONGEST_NAME:
            name += "-" + hashlib.sha256(repr(settings).encode()).hexdigest()[:6]
        return name

    def keep_weights(self) -> None:
        """Another average becomes a run folder of its own: weights, recipe, tokenizer, and what it was trained on."""
        save_weights(self.run.weights, self.folder / WEIGHTS)
        (self.folder / TOKENIZER).parent.mkdir(exist_ok=True)
        for name in (TOKENIZER, DATA):
            if (self.run.folder / name).is_file():
                shutil.copyfile(self.run.folder / name, self.folder / name)

    def prepare(self, splits: Sequence[str]) -> librispeech.Prepared:
        """The manifests of these splits: the run's own where the data are, which need not be measured again."""
        moved = "data_folder" in self.run.overrides
        return librispeech.prepare(
            self.run.hparams["data_folder"],
            (self.folder if moved else self.run.folder) / "manifests",
            train=[],
            valid=[],
            test=splits,
            progress=not self.brain.noprogressbar,
        )

    def evaluate(self, nbest: int = 1) -> RunSummary:
        """Decode the test splits; returns the summary, which is written with transcripts, recipe and report.

        Splits that the same weights were tested on before, with the same settings, stay in the summary.
        """
        run = self.run
        prepared = self.prepare(run.hparams["test_splits"])
        text = flatten(run.source, {**run.overrides, "output_folder": str(self.folder)})
        write_atomically(self.folder / "recipe.yaml", text)
        if (run.folder / "log.jsonl").is_file():  # the learning curves of the report
            shutil.copyfile(run.folder / "log.jsonl", self.folder / "log.jsonl")
        settings = self.settings(text, prepared.root)
        tested, trained = self.tested_before(settings), read_summary(run.folder)
        return summarise(
            run.recipe,
            self.brain,
            tested | decode_splits(self.brain, prepared, self.folder, nbest),
            self.folder,
            seconds=trained.seconds if trained else None,
            weights=run.weights_name,
            settings=settings,
            decoded_by=self.command,
        )

    def settings(self, text: str, root: Path) -> str:
        """A hash of all that the result of a split depends on."""
        content = recipe_content(text)
        content = {key: value for key, value in sorted(content.items()) if key not in UNNAMED_KEYS}
        folder = self.run.hparams["lm_folder"]
        language_model = checksum(Path(str(folder)) / WEIGHTS) if folder is not None else None
        settings = [content, str(root), language_model, self.run.weights_name, self.eval_precision]
        return hashlib.sha256(json.dumps(settings, default=str).encode()).hexdigest()[:12]

    def tested_before(self, settings: str) -> dict[str, SplitResult]:
        """Splits that were decoded with the same settings, as far as their transcripts are there."""
        summary = read_summary(self.folder)
        if summary is None or summary.settings != settings:
            return {}
        splits = summary.splits.items()
        return {name: result for name, result in splits if decoded_file(self.folder, name).is_file()}


def read_summary(folder: Path) -> RunSummary | None:
    """The summary of a folder; None where there is none that can be read."""
    try:
        return RunSummary.read(folder)
    except RecipeError:
        return None
