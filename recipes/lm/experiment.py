"""A language model from text to perplexity: read, train, average, measure. Each stage picks up what is already done."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from data_prep.files import checksum, write_atomically
from data_prep.lm_text import TextSize, count, text_files
from data_prep.tokenizer import load_tokenizer
from recipes.errors import RecipeError
from recipes.lm.brain import LanguageModelBrain
from recipes.lm.data import TextBatches, check_tokenizer
from recipes.models.parts import check_language_model
from recipes.scoring import LanguageModelSummary
from recipes.training.experiment import Experiment, summary_fields
from recipes.training.processes import on_main_process, rank, ranks
from recipes.training.run_data import DataPart, RunData, tokenizer_of
from recipes.training.run_folder import TOKENIZER, has_weights

USES = ("train", "valid", "test")
NEEDED = {
    "train_text": "text to train on, such as the recogniser's run folder",
    "valid_text": "text that is held out, such as the transcripts of dev-clean, to choose the best epochs by",
}


class Texts(NamedTuple):
    """Files and sizes of the texts by use; a text that the recipe does not name has no files."""

    files: dict[str, list[Path]]
    sizes: dict[str, TextSize]


class LanguageModelExperiment(Experiment):
    """One run of one recipe of a language model in its output folder; see `Experiment`."""

    model_key, measure = "language_model", "loss"
    wrong_recipe = "no recipe of a language model, it has no key 'language_model': for a recogniser there is train.py"
    data_keys = frozenset({"train_text", "valid_text"})
    brain: LanguageModelBrain
    data: Texts

    def check(self) -> None:
        """The model, the tokenizer, and whether it and the recipe's text can serve."""
        check_language_model(self.recipe.path, self.hparams)
        for key, advice in NEEDED.items():
            if not self.hparams[key]:
                raise RecipeError(f"{self.recipe.path}: {key} is empty: give {advice}")
        own, source = self.folder / TOKENIZER, Path(self.hparams["tokenizer"])
        if has_weights(self.folder) and own.is_file() and not self.debug:  # the recogniser's may have moved
            if source.is_file() and checksum(own) != checksum(source):
                raise RecipeError(
                    f"{self.folder} holds a run with another tokenizer than {source}: give another --output_folder"
                )
            source = own
        pieces, outputs = load_tokenizer(source).vocab_size(), self.hparams["vocab_size"]
        if pieces > outputs:
            raise RecipeError(
                f"{source} has {pieces} pieces, but the model only {outputs} outputs: "
                "give --vocab_size as in the recogniser's recipe"
            )

    # --- text -----------------------------------------------------------------------------------------------

    def prepare_data(self) -> Texts:
        """Find the text, and read all of it once: counted, and no error left for the middle of the night."""
        files = {use: self.text_of(use) for use in USES if use != "train" or self.trains}
        tokenizer = self.folder / TOKENIZER
        if self.newest is None and self.trains:
            tokenizer.parent.mkdir(exist_ok=True)
            write_atomically(tokenizer, Path(self.hparams["tokenizer"]).read_bytes())
        sizes = self.count_text(files)
        if self.trains:
            parts = {use: part_of(files[use], sizes[use]) for use in ("train", "valid")}
            self.own_data(RunData(checksum(tokenizer) or "", **parts))
        return Texts(files, sizes)

    def make_brain(self) -> None:
        train_text = self.training_text() if self.trains else None
        self.brain = LanguageModelBrain(self.recipe, self.run_options, train_text=train_text, **self.brain_parts())

    def training_text(self) -> TextBatches:
        longest, workers = self.hparams["longest_sentence"], self.hparams["workers"]
        return self.batches("train", longest=longest, workers=workers, even=True)

    def text_of(self, use: str) -> list[Path]:
        sources = self.hparams[f"{use}_text"]
        return text_files(sources, use) if sources else []

    def count_text(self, files_of: dict[str, list[Path]]) -> dict[str, TextSize]:
        begins = self.newest is None and self.trains  # the tokenizer has just been copied, and is no recorded one's yet
        sizes, tokenizer = {}, load_tokenizer(self.folder / TOKENIZER) if begins else tokenizer_of(self.folder)
        for use, files in files_of.items():
            if files:
                check_tokenizer(files, tokenizer)
                sizes[use] = count(files)
                self.logger.info(f"{use} text: {sizes[use].sentences} sentences, {sizes[use].words} words")
        return sizes

    def batches(self, use: str, **settings) -> TextBatches:
        return TextBatches(
            self.data.files[use],
            self.tokenizer,
            self.data.sizes[use],
            batch_sentences=self.hparams["batch_sentences"],
            buffer=self.hparams["shuffle_sentences"],
            seed=self.hparams["seed"],
            rank=rank(),
            ranks=ranks(),
            **settings,
        )

    # --- training and measuring -----------------------------------------------------------------------------

    def fit(self) -> None:
        self.announce_resumption()
        self.check_warmup()
        self.brain.fit(
            epoch_counter=self.epoch_counter,
            train_set=self.brain.batches.loader(),
            valid_set=self.batches("valid").loader(),
            progressbar=False,  # the Brain's own bar knows neither learning rate nor the end of the run
        )

    def test(self) -> LanguageModelSummary:
        """Perplexities of the average of the best checkpoints; returns the summary, also written."""
        self.load_tested_weights()
        perplexities = {
            use: self.brain.perplexity(self.batches(use).loader()) for use in ("valid", "test") if self.data.files[use]
        }
        for use, text in perplexities.items():
            rates = f"{text.per_token:.2f} per token, {text.per_word:.2f} per word"
            self.logger.info(f"{use} perplexity: {rates} ({text.sentences} sentences, {text.words} words)")
        data = RunData.read(self.folder)
        summary = LanguageModelSummary(
            **summary_fields(self.recipe, self.brain),
            seconds=self.training_seconds(),
            texts={use: text.result() for use, text in perplexities.items()},
            train_text=data.train.counts if data else {},
        )
        on_main_process(lambda: summary.write(self.folder))
        self.logger.info(f"language model, summary and logs: {self.folder}")
        return summary


def part_of(files: Sequence[Path], size: TextSize) -> DataPart:
    """The text of one use, as the run's folder keeps it."""
    return DataPart({str(file): checksum(file) or "" for file in files}, size._asdict())
