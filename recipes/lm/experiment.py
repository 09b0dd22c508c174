"""A language model from text to perplexity: read, train, average, measure. Each stage picks up what is already done."""

from pathlib import Path

from data_prep.files import checksum, write_atomically
from data_prep.lm_text import TextSize, count, text_files
from data_prep.tokenizer import load_tokenizer
from recipes.errors import RecipeError
from recipes.lm.brain import LanguageModelBrain
from recipes.lm.data import TextBatches, check_tokenizer
from recipes.scoring import LanguageModelSummary
from recipes.training.experiment import Experiment, summary_fields
from recipes.training.processes import on_main_process, rank, ranks
from recipes.training.run_folder import TOKENIZER, has_checkpoints

USES = ("train", "valid", "test")
NEEDED = {
    "train_text": "text to train on, such as the recogniser's run folder",
    "valid_text": "text that is held out, such as the transcripts of dev-clean, to choose the best epochs by",
}


class LanguageModelExperiment(Experiment):
    """One run of one recipe of a language model in its output folder; see `Experiment`."""

    model_key, measure = "language_model", "loss"
    wrong_recipe = "no recipe of a language model, it has no key 'language_model': for a recogniser there is train.py"
    brain: LanguageModelBrain

    def check(self) -> None:
        """The tokenizer, and whether it and the recipe's text can serve."""
        for key, advice in NEEDED.items():
            if not self.hparams[key]:
                raise RecipeError(f"{self.recipe.path}: {key} is empty: give {advice}")
        self.tokenizer = load_tokenizer(self.hparams["tokenizer"])
        pieces, outputs = self.tokenizer.vocab_size(), self.hparams["vocab_size"]
        if pieces > outputs:
            raise RecipeError(
                f"{self.hparams['tokenizer']} has {pieces} pieces, but the model only {outputs} outputs: "
                "give --vocab_size as in the recogniser's recipe"
            )

    def claim_folder(self) -> None:
        super().claim_folder()
        self.copy_tokenizer()

    def copy_tokenizer(self) -> None:
        """A copy in the run folder, without which the weights mean nothing."""
        source, copy = Path(self.hparams["tokenizer"]), self.folder / TOKENIZER
        if has_checkpoints(self.folder) and copy.is_file() and checksum(copy) != checksum(source):
            raise RecipeError(
                f"{self.folder} holds a run with another tokenizer than {source}: give another --output_folder"
            )
        copy.parent.mkdir(exist_ok=True)
        write_atomically(copy, source.read_bytes())

    # --- text -----------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Find the text, and read all of it once: counted, and no error left for the middle of the night."""
        self.files = {use: self.text_of(use) for use in USES}
        self.sizes = on_main_process(self.count_text)
        train_text = self.batches(
            "train",
            longest=self.hparams["longest_sentence"],
            workers=self.hparams["workers"],
            even=True,
        )
        self.brain = LanguageModelBrain(self.recipe, self.run_options, train_text=train_text, **self.brain_parts())

    def text_of(self, use: str) -> list[Path]:
        sources = self.hparams[f"{use}_text"]
        return text_files(sources, use) if sources else []

    def count_text(self) -> dict[str, TextSize]:
        sizes = {}
        for use, files in self.files.items():
            if files:
                check_tokenizer(files, self.tokenizer)
                sizes[use] = count(files)
                self.logger.info(f"{use} text: {sizes[use].sentences} sentences, {sizes[use].words} words")
        return sizes

    def batches(self, use: str, **settings) -> TextBatches:
        return TextBatches(
            self.files[use],
            self.tokenizer,
            self.sizes[use],
            batch_sentences=self.hparams["batch_sentences"],
            buffer=self.hparams["shuffle_sentences"],
            seed=self.hparams["seed"],
            rank=rank(),
            ranks=ranks(),
            **settings,
        )

    # --- training and measuring -----------------------------------------------------------------------------

    def fit(self) -> None:
        self.resumes("give another --output_folder")
        self.brain.fit(
            epoch_counter=self.epoch_counter,
            train_set=self.brain.batches.loader(),
            valid_set=self.batches("valid").loader(),
            progressbar=False,  # the Brain's own bar knows neither learning rate nor the end of the run
        )

    def test(self) -> LanguageModelSummary:
        """Perplexities of the average of the best checkpoints; returns the summary, also written."""
        self.load_average()
        perplexities = {
            use: self.brain.perplexity(self.batches(use).loader()) for use in ("valid", "test") if self.files[use]
        }
        for use, text in perplexities.items():
            rates = f"{text.per_token:.2f} per token, {text.per_word:.2f} per word"
            self.logger.info(f"{use} perplexity: {rates} ({text.sentences} sentences, {text.words} words)")
        summary = LanguageModelSummary(
            **summary_fields(self.recipe, self.brain),
            seconds=round(self.clock.seconds(), 1),
            texts={use: text.result() for use, text in perplexities.items()},
            train_text=self.sizes["train"]._asdict(),
        )
        on_main_process(lambda: summary.write(self.folder))
        self.logger.info(f"language model, summary and logs: {self.folder}")
        return summary
