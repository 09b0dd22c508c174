"""A run that is trained, to be decoded again with other settings: what evaluate.py does."""

import hashlib
import json
import re
import shlex
import shutil
from pathlib import Path

from speechbrain.utils.checkpoints import Checkpointer

from data_prep import librispeech
from data_prep.files import checksum, write_atomically
from data_prep.splits import available_splits, choose_splits
from data_prep.tokenizer import load_tokenizer
from recipes.asr.decode import decode, decode_splits, load_lm, make_brain, summarise
from recipes.config import flatten, load, recipe_content
from recipes.config.limits import check_limits
from recipes.errors import RecipeError
from recipes.files import write_json
from recipes.scoring import RunSummary, SplitResult, decoded_file
from recipes.training.averaging import average, choose_checkpoints, epoch_of, load_weights, save_weights
from recipes.training.logger import Journal
from recipes.training.run_folder import FREE_KEYS, TOKENIZER, WEIGHTS

DECODING_KEYS = FREE_KEYS | {"data_folder"}
# What changes no result, and what a folder's summary tells apart by itself.
UNNAMED_KEYS = {"data_folder", "output_folder", "test_splits", "workers", "test_batch_seconds", "tensorboard"}
LONGEST_NAME = 80


class SavedRun:
    """Weights, tokenizer and recipe of a run folder, and a folder inside it for what they decode.

    overrides: keys of the recipe, only such as change the decoding. average: see
    ``recipes.training.averaging.choose_checkpoints``; None: the weights that the run itself was tested with. output:
    the folder for the results; None: one inside the run's, named after what differs, with the ``label`` first.
    Raises RecipeError or DataError, one line each, for whatever is missing.
    """

    def __init__(
        self,
        run: Path,
        overrides: dict,
        run_options,
        *,
        average: str | None = None,
        output: Path | None = None,
        label: str = "",
        command: str = "",
    ):
        self.run, self.overrides, self.which, self.label = run, overrides, average, label
        self.command, self.eval_precision = command, run_options.eval_precision
        self.recipe = load(run / "recipe.yaml", overrides)
        self.hparams = self.recipe.hparams
        if "model" not in self.hparams:
            raise RecipeError(f"{run} is no run of a recogniser: a language model is for --lm_folder")
        self.check_overrides()
        check_limits(self.recipe)
        if not (run / TOKENIZER).is_file():
            raise RecipeError(
                f"{run} has no {TOKENIZER}: was the run stopped before it began? give its train.py command again"
            )
        weights, self.weights_name = self.find_weights()
        self.folder = output or run / "evaluations" / self.name()
        if self.folder.resolve() == run.resolve() or (self.folder / "checkpoints").exists():
            raise RecipeError(f"--output {self.folder} holds a trained run, which would be lost: give another folder")
        self.folder.mkdir(parents=True, exist_ok=True)
        self.journal = Journal(self.folder)
        self.brain = make_brain(self.recipe, run_options)
        try:
            self.brain.model.load_state_dict(weights)
        except RuntimeError:
            raise RecipeError(f"the {self.weights_name} do not fit {run / 'recipe.yaml'}: was it changed?") from None
        self.brain.prepare(tokenizer=load_tokenizer(run / TOKENIZER), journal=self.journal)
        load_lm(self.brain, self.hparams["lm_folder"], run)
        if average:
            self.keep(weights)
        self.journal.say(f"{run}, {self.weights_name}; everything is written to {self.folder}")

    def check_overrides(self) -> None:
        keys = {name.split(".")[0] for name in self.overrides}
        if keys - DECODING_KEYS:
            raise RecipeError(
                f"--{min(keys - DECODING_KEYS)} says what was trained and cannot change any more; evaluate.py takes "
                + ", ".join(f"--{key}" for key in sorted(DECODING_KEYS & {*self.hparams}))
            )

    def find_weights(self) -> tuple[dict, str]:
        """A state dict, and in words what it is."""
        checkpointer = Checkpointer(self.run / "checkpoints") if (self.run / "checkpoints").is_dir() else None
        checkpoints = checkpointer.list_checkpoints() if checkpointer else []
        if self.which is None and (self.run / WEIGHTS).is_file():
            return load_weights(self.run / WEIGHTS), f"weights {checksum(self.run / WEIGHTS)[:12]} of its own test"
        if not checkpoints:
            has_weights = (self.run / WEIGHTS).is_file()
            train = f" and no {WEIGHTS}: train first, python train.py {self.run / 'recipe.yaml'}"
            raise RecipeError(
                f"{self.run} holds no checkpoint"
                + (f" to average, only {WEIGHTS}: leave out --average" if has_weights else train)
            )
        which = self.which or f"best-{self.hparams['average_checkpoints']}"
        chosen = choose_checkpoints(checkpointer, which)
        return average(chosen), "average of epochs " + ", ".join(str(epoch_of(one)) for one in chosen)

    def name(self) -> str:
        """Of the results' folder: what differs from the run's own test, in short, with a hash of the rest."""
        settings = {key: str(value) for key, value in sorted(self.overrides.items()) if key not in UNNAMED_KEYS}
        if self.eval_precision != "fp32":
            settings["eval_precision"] = self.eval_precision
        if self.which:
            settings = {"average": self.which, **settings}
        # Without the modules of classes and the folders of files.
        short = {key: re.sub(r"!new:[\w.]*\.|[^\s,:'\"{}\[\]]*/", "", value) for key, value in settings.items()}
        parts = [*([self.label] if self.label else []), *(f"{key}={value}" for key, value in short.items())]
        text = ",".join(parts) or "as-trained"
        name = re.sub(r"[^\w.=+-]+", "_", text)[:LONGEST_NAME].strip("_")
        if "/" in "".join(settings.values()) or len(text) > LONGEST_NAME:
            name += "-" + hashlib.sha256(repr(settings).encode()).hexdigest()[:6]
        return name

    def keep(self, weights: dict) -> None:
        """The average becomes a run folder of its own: weights, recipe, tokenizer."""
        save_weights(weights, self.folder / WEIGHTS)
        (self.folder / TOKENIZER).parent.mkdir(exist_ok=True)
        shutil.copyfile(self.run / TOKENIZER, self.folder / TOKENIZER)

    def manifests(self) -> Path:
        """The run's own where the data are, which need not be measured again."""
        return (self.folder if "data_folder" in self.overrides else self.run) / "manifests"

    def prepare(self, splits) -> librispeech.Prepared:
        return librispeech.prepare(
            self.hparams["data_folder"],
            self.manifests(),
            train=[],
            valid=[],
            test=splits,
            progress=not self.brain.noprogressbar,
        )

    # --- tuning ----------------------------------------------------------------------------------------------

    def tune(self, splits: list[str] | None = None) -> None:
        """Choose the search's weights, one after the other, by WER on development splits; kept in ``tuned.json``.

        splits: by default the recipe's validation splits. Raises RecipeError for a test split, and for a search
        that has nothing to tune.
        """
        search = self.brain.hparams.test_search
        choices = search.tunable(self.brain.lm) if search is not None else {}
        if not choices:
            raise RecipeError("greedy CTC has nothing to tune: leave out --tune, or give a --test_search")
        prepared = self.development(splits)
        best, tried = None, []
        for key, values in choices.items():
            kept = getattr(search, key)
            for value in dict.fromkeys((kept, *values)):
                setattr(search, key, value)
                settings = {name: getattr(search, name) for name in choices}
                wer = self.word_error_rate(prepared)
                self.journal.say(", ".join(f"{name} {one}" for name, one in settings.items()) + f": WER {wer:.2f} %")
                tried.append({**settings, "wer": round(wer, 3)})
                if best is None or wer < best:
                    best, kept = wer, value
            setattr(search, key, kept)
        chosen = {name: getattr(search, name) for name in choices}
        names = list(prepared.test)
        write_json(self.folder / "tuned.json", {"splits": names, "chosen": chosen, "wer": best, "tried": tried})
        self.overrides |= {f"test_search.{name}": value for name, value in chosen.items()}
        self.recipe = self.recipe._replace(hash=load(self.run / "recipe.yaml", self.overrides).hash)
        self.journal.say(
            f"chosen on {', '.join(names)}: " + ", ".join(f"{key} {value}" for key, value in chosen.items())
        )

    def development(self, splits: list[str] | None) -> librispeech.Prepared:
        """The splits to tune on: never one that is tested."""
        root = librispeech.find_corpus(self.hparams["data_folder"])
        available = available_splits(root)
        roles = choose_splits(available, [], splits or self.hparams["valid_splits"], self.hparams["test_splits"])
        tested = [name for name in roles.valid if name in roles.test or name.startswith("test")]
        if tested:
            raise RecipeError(
                f"tuning on {tested[0]} would make its result worthless: give development splits to --tune_split"
            )
        return self.prepare(roles.valid)

    def word_error_rate(self, prepared: librispeech.Prepared) -> float:
        results = [
            decode(self.brain, split, path, prepared.root, self.hparams)[1] for split, path in prepared.test.items()
        ]
        return 100 * sum(result.errors for result in results) / sum(result.words for result in results)

    # --- results ---------------------------------------------------------------------------------------------

    def evaluate(self, nbest: int = 1) -> RunSummary:
        """Decode the test splits; returns the summary, which is written with transcripts, recipe and report.

        Splits that the same weights were tested on before, with the same settings, stay in the summary.
        """
        prepared = self.prepare(self.hparams["test_splits"])
        text = flatten(self.run / "recipe.yaml", {**self.overrides, "output_folder": str(self.folder)})
        write_atomically(self.folder / "recipe.yaml", text)
        if (self.run / "log.jsonl").is_file():  # the learning curves of the report
            shutil.copyfile(self.run / "log.jsonl", self.folder / "log.jsonl")
        settings = self.settings(text, prepared.root)
        before, trained = self.tested_before(settings), read_summary(self.run)
        splits = before | decode_splits(self.brain, prepared, self.hparams, self.folder, nbest)
        return summarise(
            self.recipe,
            self.brain,
            splits,
            self.folder,
            weights=self.weights_name,
            settings=settings,
            seconds=trained.seconds if trained else None,
            decoded_by=self.command or shlex.join(["python", "evaluate.py", str(self.run)]),
        )

    def settings(self, text: str, root: Path) -> str:
        """A hash of all that the result of a split depends on."""
        content = recipe_content(text)
        content = {key: value for key, value in sorted(content.items()) if key not in UNNAMED_KEYS}
        folder = self.hparams["lm_folder"]
        language_model = checksum(Path(str(folder)) / WEIGHTS) if folder is not None else None
        all_of_it = [content, str(root), language_model, self.weights_name, self.eval_precision]
        return hashlib.sha256(json.dumps(all_of_it, default=str).encode()).hexdigest()[:12]

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
