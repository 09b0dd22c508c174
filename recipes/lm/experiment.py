"""A language model from text to perplexity: read, train, average, measure; what is done is picked up."""

from pathlib import Path

import torch
from speechbrain.utils.distributed import ddp_barrier, ddp_broadcast, get_rank, if_main_process
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from torch.utils.data import DataLoader

from data_prep.files import checksum, write_atomically
from data_prep.lm_text import TextSize, count, text_files
from data_prep.tokenizer import load_tokenizer
from recipes.config.limits import check_limits
from recipes.config.recipe import Recipe
from recipes.cost import parameter_count
from recipes.errors import RecipeError
from recipes.lm.brain import LanguageModelTrainer, Perplexity
from recipes.lm.data import TextBatches, check_tokenizer
from recipes.provenance import commit, peak_memory_mb, versions
from recipes.scoring import LanguageModelSummary
from recipes.training.averaging import average, choose_checkpoints, save_weights
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.logger import Journal
from recipes.training.run_folder import TOKENIZER, WEIGHTS, claim

USES = ("train", "valid", "test")
NEEDED = {
    "train_text": "text to train on, such as the recogniser's run folder",
    "valid_text": "text that is held out, such as the transcripts of dev-clean, to choose the best epochs by",
}
COUNTS = ("batch_sentences", "longest_sentence", "shuffle_sentences")


class LanguageModelExperiment:
    """One run of one recipe of a language model in its output folder.

    Call ``prepare``, then ``fit``, then ``test``. Raises RecipeError or DataError, one line each.
    """

    def __init__(self, recipe: Recipe, run_options: RunOptions):
        self.recipe, self.hparams = recipe, recipe.hparams
        self.folder = Path(self.hparams["output_folder"])
        self.tokenizer = self.check()
        if if_main_process():
            claim(self.folder, recipe)
            self.keep_tokenizer()
        ddp_barrier()  # the others would write into a folder that is not claimed yet
        self.journal = Journal(self.folder, tensorboard=self.hparams["tensorboard"])
        self.checkpointer = AtomicCheckpointer(self.folder / "checkpoints")
        self.clock, self.epoch_counter = Clock(), EpochCounter(self.hparams["number_of_epochs"])
        model = self.hparams["language_model"]
        self.checkpointer.add_recoverables({"model": model, "epoch": self.epoch_counter, "clock": self.clock})
        try:
            self.brain = LanguageModelTrainer(
                modules={"model": model},
                opt_class=self.hparams["opt_class"],
                hparams=self.hparams,
                run_opts=run_options,
                checkpointer=self.checkpointer,
            )
        except (ValueError, RuntimeError, SystemExit) as error:  # of run options that do not fit the machine
            raise RecipeError(f"{recipe.path}: {str(error).splitlines()[0]}") from None
        self.brain.prepare(
            journal=self.journal,
            epoch_counter=self.epoch_counter,
            clock=self.clock,
            end_of_epoch=self.save_epoch,
        )
        self.parameters = parameter_count(model)
        self.journal.say(
            f"{recipe.name}: {self.parameters / 1e6:.2f} M parameters on {self.brain.device}; "
            f"everything is written to {self.folder}"
        )

    def check(self):
        """The tokenizer, and whether it and the recipe's numbers can serve."""
        check_limits(self.recipe)
        for key in COUNTS:
            if not (isinstance(self.hparams[key], int) and self.hparams[key] >= 1):
                wanted = f"a whole number from 1 up, not {self.hparams[key]}"
                raise RecipeError(f"{self.recipe.path}: {key} must be {wanted}")
        for key, hint in NEEDED.items():
            if not self.hparams[key]:
                raise RecipeError(f"{self.recipe.path}: {key} is empty: give {hint}")
        tokenizer = load_tokenizer(self.hparams["tokenizer"])
        pieces, outputs = tokenizer.vocab_size(), self.hparams["vocab_size"]
        if pieces > outputs:
            raise RecipeError(
                f"{self.hparams['tokenizer']} has {pieces} pieces, but the model only {outputs} outputs: "
                "give --vocab_size as in the recogniser's recipe"
            )
        return tokenizer

    def keep_tokenizer(self) -> None:
        """A copy in the run folder, without which the weights mean nothing."""
        given, kept = Path(self.hparams["tokenizer"]), self.folder / TOKENIZER
        trained = any(self.folder.glob("checkpoints/CKPT*"))
        if trained and kept.is_file() and checksum(kept) != checksum(given):
            raise RecipeError(
                f"{self.folder} holds a run with another tokenizer than {given}: give another --output_folder"
            )
        kept.parent.mkdir(exist_ok=True)
        write_atomically(kept, given.read_bytes())

    # --- text -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Find the text, and read all of it once: counted, and no error left for the middle of the night."""
        self.files = {use: self.text_of(use) for use in USES}
        self.counted = ddp_broadcast(self.count_text() if if_main_process() else None)

    def text_of(self, use: str) -> list[Path]:
        sources = self.hparams[f"{use}_text"]
        return text_files(sources, use) if sources else []

    def count_text(self) -> dict[str, TextSize]:
        counted = {}
        for use, files in self.files.items():
            if files:
                check_tokenizer(files, self.tokenizer)
                counted[use] = count(files)
                self.journal.say(f"{use} text: {counted[use].sentences} sentences, {counted[use].words} words")
        return counted

    def batches(self, use: str, **settings) -> DataLoader:
        text = TextBatches(
            self.files[use],
            self.tokenizer,
            self.counted[use],
            batch_sentences=self.hparams["batch_sentences"],
            buffer=self.hparams["shuffle_sentences"],
            seed=self.hparams["seed"],
            **settings,
        )
        return text.loader()

    # --- training -------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train to the last epoch, going on from the newest checkpoint if there is one."""
        newest = self.checkpointer.find_checkpoint()
        if newest is not None:
            self.journal.say(f"going on from {newest.path}")
        elif (self.folder / WEIGHTS).is_file():
            raise RecipeError(
                f"{self.folder} holds weights ({WEIGHTS}) and no checkpoints to go on from: give another "
                "--output_folder"
            )
        ranks = torch.distributed.get_world_size() if torch.distributed.is_initialized() else 1
        text = self.batches(
            "train",
            longest=self.hparams["longest_sentence"],
            workers=self.hparams["workers"],
            ranks=ranks,
            rank=get_rank() or 0,
        )
        self.brain.train(text, self.batches("valid"))

    def save_epoch(self, valid: Perplexity) -> None:
        self.checkpointer.save_epoch(self.hparams["average_checkpoints"], loss=valid.loss)

    # --- measuring ------------------------------------------------------------------------------------------

    def test(self) -> LanguageModelSummary:
        """Perplexities of the average of the best checkpoints; returns the summary, also written."""
        self.load_average()
        measured = {use: self.brain.perplexity(self.batches(use)) for use in ("valid", "test") if self.files[use]}
        for use, one in measured.items():
            per = f"{one.per_token:.2f} per token, {one.per_word:.2f} per word"
            self.journal.say(f"{use} perplexity: {per} ({one.sentences} sentences, {one.words} words)")
        summary = LanguageModelSummary(
            recipe=self.recipe.name,
            seed=self.hparams["seed"],
            texts={use: perplexity.result() for use, perplexity in measured.items()},
            train_text=self.counted["train"]._asdict(),
            parameters=self.parameters,
            seconds=round(self.clock.seconds(), 1),
            peak_memory_mb=peak_memory_mb(),
            device=str(self.brain.device),
            versions=versions(),
            commit=commit(),
            recipe_hash=self.recipe.hash,
        )
        if if_main_process():
            summary.write(self.folder)
        self.journal.say(f"language model, summary and logs: {self.folder}")
        return summary

    def load_average(self) -> None:
        best = choose_checkpoints(self.checkpointer, f"best-{self.hparams['average_checkpoints']}", "loss")
        weights = average(best)
        if if_main_process():
            save_weights(weights, self.folder / WEIGHTS)
        self.journal.say(f"testing with the average of {len(best)} checkpoint{'s' * (len(best) > 1)}")
        self.clock.load(self.checkpointer.find_checkpoint().paramfiles["clock"], end_of_epoch=True)
        self.brain.model.load_state_dict(weights)
