"""Decode test sets with a saved run, under other settings than its own test: what evaluate.py does."""

import shlex
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Self

from speechbrain.utils.run_opts import RunOptions

from data_prep.corpus import Corpus, Prepared
from data_prep.files import checksum, contents, write_atomically
from recipes.asr.brain import ASRBrain
from recipes.asr.decode import check_score_normalizer, decode_splits, remove_other_splits, summarise
from recipes.asr.identity import UNNAMED_KEYS, Identity, read_summary, short_hash
from recipes.asr.remarks import FILE as REMARKS
from recipes.asr.remarks import Remarks, note_unknown_characters
from recipes.asr.saved_run import SavedRun
from recipes.config import flatten, recipe_content
from recipes.errors import RecipeError
from recipes.files import LOCK
from recipes.scoring import RunSummary, SplitResult, decoded_file
from recipes.training.lock import locked
from recipes.training.logger import RunLogger
from recipes.training.processes import is_main, on_main_process
from recipes.training.run_data import DATA
from recipes.training.run_folder import CHECKPOINTS, RECIPE, TOKENIZER, WEIGHTS
from recipes.training.run_options import Machine
from recipes.training.tensors import save_weights

# What an evaluation that was stopped may have left, beside what it decoded.
UNFINISHED = {LOCK, "log.txt", "log.jsonl", "manifests", RECIPE, WEIGHTS, "tokenizer", DATA, "tuned.json", REMARKS}
OTHER_DATA = frozenset({"data_folder", "test_manifest"})


def check_output(folder: Path, run: Path) -> None:
    """Raises RecipeError for a folder that holds something else than an evaluation: it would be written over."""
    if folder.resolve() == run.resolve() or (folder / CHECKPOINTS).exists():
        raise RecipeError(f"--out {folder} holds a trained run, which would be lost: give another folder")
    names = {name for name in contents(folder) if not name.startswith(("wer_", "decoded_"))}
    summary = read_summary(folder)
    unfinished = names <= UNFINISHED and (names <= {LOCK} or "log.txt" in names)
    if summary.settings is None if summary else not unfinished:
        raise RecipeError(f"--out {folder} holds other files than an evaluation: give another folder")


def check_settings(folder: Path, identity: Identity) -> None:
    """Raises RecipeError for an evaluation with other settings, naming the keys: its results would be lost."""
    summary = read_summary(folder)
    if summary is None or summary.settings == identity.settings():
        return
    before, now = recipe_content((folder / RECIPE).read_text(encoding="utf-8")), identity.content
    differing = [key for key in sorted({*before, *now} - UNNAMED_KEYS) if before.get(key) != now.get(key)]
    raise RecipeError(
        f"--out {folder} holds an evaluation of {', '.join(summary.splits)} with other settings "
        f"({', '.join(differing) or 'weights, data or precision'}), which would be lost: give another folder"
    )


@contextmanager
def nothing_left_of_a_mistake(folder: Path, is_new: bool) -> Iterator[None]:
    """A folder that did not exist before goes again where what follows fails. Only for the process that locked it."""
    try:
        yield
    except BaseException:
        if is_new:
            shutil.rmtree(folder, ignore_errors=True)
        raise


class Evaluation:
    """A saved run, and the folder where its decoding results go. The folder's lock is held while entered.

    Under torchrun each process decodes its share, and the first one writes.

    output: the folder; None: a folder inside the run's, named by `Identity`. label: a part of this name. command: the
    command that the report names for decoding again. Raises RecipeError for run options that do not fit the machine,
    and for an output folder that holds a trained run, or an evaluation with other settings.
    """

    def __init__(
        self, run: SavedRun, run_options: RunOptions, *, output: Path | None = None, label: str = "", command: str = ""
    ):
        self.run, self.run_options, self.output = run, run_options, output
        if run_options.debug:
            raise RecipeError(
                "--debug would decode a few batches, and keep their error rate as that of all: leave it out"
            )
        self.command = command or shlex.join(["python", "evaluate.py", str(run.folder)])
        if output:
            on_main_process(lambda: check_output(output, run.folder))
        self.machine = Machine(run.recipe, run_options)
        check_score_normalizer(run.hparams)
        self.language_model = run.search_language_model()
        self.prepared = self.prepare(valid=[], test=run.hparams["test_splits"])
        if not self.prepared.test:
            raise RecipeError(f"{run.folder} has no test split (test_splits is []): say with --split what to decode")
        digests = {split: checksum(manifest) or "" for split, manifest in self.prepared.test.items()}
        self.identity = Identity(run, run_options.eval_precision, self.prepared.root, digests, label)
        self.folder = output or self.identity.folder()
        if not label:  # of a tuned search the settings are yet to be found
            self.check_settings()

    def check_settings(self) -> None:
        if self.output:
            on_main_process(lambda: check_settings(self.folder, self.identity))

    def __enter__(self) -> Self:
        is_new = is_main() and not self.folder.exists()
        with ExitStack() as stack:
            on_main_process(lambda: self.take_folder(stack))
            stack.enter_context(nothing_left_of_a_mistake(self.folder, is_new))
            self.logger = RunLogger(self.folder)
            stack.callback(self.logger.close)
            remarks = Remarks(self.folder, self.logger)
            note_unknown_characters(remarks, self.prepared.test, self.run.tokenizer)
            self.brain = ASRBrain(
                self.run.recipe,
                self.run_options,
                tokenizer=self.run.tokenizer,
                remarks=remarks,
                language_model=self.language_model,
                logger=self.logger,
            )
            if self.run.which:
                on_main_process(self.keep_weights)
            weights = self.run.weights_name
            self.logger.info(f"{self.run.folder}, {weights}; everything is written to {self.folder}")
            self.held = stack.pop_all()
        return self

    def __exit__(self, *_) -> None:
        self.held.close()

    def take_folder(self, stack: ExitStack) -> None:
        """Lock the folder for as long as `stack` lasts."""
        stack.enter_context(locked(self.folder, "evaluation"))

    def keep_weights(self) -> None:
        """Make the folder of another average a run folder itself: with weights, tokenizer and training data record."""
        save_weights(self.run.weights, self.folder / WEIGHTS)
        (self.folder / TOKENIZER).parent.mkdir(exist_ok=True)
        for name in (TOKENIZER, DATA):
            if (self.run.folder / name).is_file():
                shutil.copyfile(self.run.folder / name, self.folder / name)

    def prepare(self, valid: Sequence[str], test: Sequence[str], data: Mapping | None = None) -> Prepared:
        """The manifests of these splits. Those of the run's own data are reused, and not made again.

        data: the keys that name the data, where they are not the run's.
        """
        folder = self.run.folder / "manifests"
        corpus = Corpus.named_by(data or self.run.hparams)
        if OTHER_DATA & {*self.run.overrides}:
            own = [str(path) for names in corpus.manifests.values() for path in names.values()]
            place = [str(corpus.root), *own] if own else str(corpus.root)
            folder = (self.output or self.run.folder) / "manifests" / f"{corpus.root.name}-{short_hash(place)}"
        progress = not self.machine.noprogressbar
        return on_main_process(lambda: corpus.prepare(folder, train=[], valid=valid, test=test, progress=progress))

    def evaluate(self, nbest: int = 1) -> RunSummary:
        """Decode the test splits; returns the summary, which is written with transcripts, recipe and report.

        Splits that the same weights were tested on before, with the same settings, stay in the summary.
        """
        run = self.run
        self.check_settings()
        on_main_process(self.keep_recipe)
        settings = self.identity.settings()
        tested, trained = on_main_process(lambda: self.tested_before(settings)), read_summary(run.folder)
        decoded = decode_splits(self.brain, self.prepared, self.folder, nbest)
        splits = tested | decoded.splits
        on_main_process(lambda: remove_other_splits(self.folder, splits))
        return summarise(
            run.recipe,
            self.brain,
            decoded._replace(splits=splits),
            self.folder,
            seconds=trained.seconds if trained else None,
            weights=run.weights_name,
            settings=settings,
            decoded_by=self.command,
        )

    def keep_recipe(self) -> None:
        """Write the recipe with its overrides, and copy the log, from which the report draws learning curves."""
        text = flatten(self.run.source, {**self.run.overrides, "output_folder": str(self.folder)})
        write_atomically(self.folder / "recipe.yaml", text)
        if (self.run.folder / "log.jsonl").is_file():
            shutil.copyfile(self.run.folder / "log.jsonl", self.folder / "log.jsonl")

    def tested_before(self, settings: str) -> dict[str, SplitResult]:
        """Earlier results with the same settings, of splits whose transcripts still exist."""
        summary = read_summary(self.folder)
        if summary is None or summary.settings != settings:
            return {}
        splits = summary.splits.items()
        return {name: result for name, result in splits if decoded_file(self.folder, name).is_file()}
