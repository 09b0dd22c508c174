"""The one Brain of all recipes: joint CTC/attention training, validation and decoding."""

from speechbrain.core import Stage
from torch import Tensor
from torch.nn.functional import cross_entropy, ctc_loss, pad
from tqdm import tqdm

from data_prep.tokenizer import BLANK, END, IGNORED, START
from mixers.base import lengths_to_mask
from recipes.asr.data import Batch, detokenize
from recipes.decoding.ctc import greedy_ctc
from recipes.models.recogniser import Output
from recipes.scoring import ScoredText, Transcription, align_words, homophone_scores
from recipes.training.logger import EpochBar, Journal
from recipes.training.trainer import Trainer


class ASR(Trainer):
    """Trains and evaluates ``modules["model"]``, a ``recipes.models.recogniser.Recogniser``.

    After ``prepare`` use ``transcribe``; after ``prepare_training`` too, ``fit``.
    """

    lm = None  # the language model of the test search

    def prepare(self, *, tokenizer, journal: Journal) -> None:
        """What decoding needs. Searches are told the tokenizer."""
        self.tokenizer, self.journal = tokenizer, journal
        for search in (self.hparams.test_search, self.hparams.valid_search):
            if search is not None:
                search.prepare(tokenizer)

    def prepare_training(self, *, train_reader, clock, epoch_counter, homophones=()) -> None:
        """What ``fit`` needs. homophones: pairs of words that sound alike, whose confusions are to be counted."""
        self.train_reader, self.clock, self.epoch_counter = train_reader, clock, epoch_counter
        self.epochs, self.homophones = epoch_counter.limit, homophones

    # --- one batch ------------------------------------------------------------------------------------------

    def compute_forward(self, batch: Batch, stage: Stage) -> Output:
        batch = batch.to(self.device)
        # Testing asks for no loss, and its time is reported: no decoder pass over the transcripts.
        tokens = None if stage == Stage.TEST else pad(batch.tokens, (1, 0), value=START)
        return self.modules.model(batch.audio, batch.lengths, tokens)

    def compute_objectives(self, output: Output, batch: Batch, stage: Stage) -> Tensor:
        """Joint loss: sums over the tokens, averaged over the utterances of the batch."""
        batch = batch.to(self.device)
        log_probs = output.ctc_logits.float().log_softmax(-1)
        ctc = ctc_loss(
            log_probs.transpose(0, 1),
            batch.tokens,
            output.encoded.lengths,
            batch.token_lengths,
            blank=BLANK,
            reduction="sum",
            zero_infinity=True,
        )
        loss = ctc
        if output.attention_logits is not None:
            targets = next_tokens(batch.tokens, batch.token_lengths)
            attention = cross_entropy(
                output.attention_logits.float().transpose(1, 2),
                targets,
                ignore_index=IGNORED,
                reduction="sum",
                label_smoothing=self.hparams.label_smoothing if stage == Stage.TRAIN else 0.0,
            )
            loss = self.hparams.ctc_weight * ctc + (1 - self.hparams.ctc_weight) * attention
            self.note_accuracy(output.attention_logits, targets, stage)
        if stage != Stage.TRAIN:
            self.note_text(output, log_probs, batch, stage)
        return loss / len(batch.ids)

    def note_accuracy(self, logits: Tensor, targets: Tensor, stage: Stage) -> None:
        if stage == Stage.VALID:
            counted = targets != IGNORED
            self.tokens_right += int(((logits.argmax(-1) == targets) & counted).sum())
            self.tokens_seen += int(counted.sum())

    def note_text(self, output: Output, log_probs: Tensor, batch: Batch, stage: Stage) -> None:
        greedy = [detokenize(self.tokenizer, tokens) for tokens in greedy_ctc(log_probs, output.encoded.lengths)]
        nbest = [[ScoredText(text, None)] for text in greedy]
        if self.search is not None:
            lm = self.lm if stage == Stage.TEST else None
            hypotheses = self.search(self.model.decoder, output.encoded, log_probs, lm)
            nbest = [
                [ScoredText(detokenize(self.tokenizer, hypothesis.tokens), hypothesis.score) for hypothesis in best]
                for best in hypotheses
            ]
        self.transcriptions += map(Transcription, batch.ids, batch.words, nbest, greedy)

    # --- training -------------------------------------------------------------------------------------------

    def make_dataloader(self, dataset, stage, ckpt_prefix="dataloader-", **kwargs):
        loader = super().make_dataloader(dataset, stage, ckpt_prefix, **kwargs)
        if stage == Stage.TRAIN:
            self.train_batches = len(loader)
            # Stock Brain tells a sampler the epoch only if it made it itself; without, every resumed run
            # would start with the first epoch's batches.
            self.train_sampler = self.train_sampler or kwargs["batch_sampler"]
        return loader

    def on_stage_start(self, stage, epoch=None):
        self.transcriptions, self.tokens_right, self.tokens_seen = [], 0, 0
        self.search = self.search_of(stage, epoch)
        if stage == Stage.TRAIN:
            self.train_reader.epoch = self.epoch = epoch
            show = self.journal.active and not self.noprogressbar
            self.bar = EpochBar(epoch, self.epochs, self.train_batches, self.step, show)

    def search_of(self, stage: Stage, epoch: int | None):
        """The search beside greedy CTC in this stage; None where the recipe wants none, or not in this epoch."""
        if stage == Stage.TEST:
            return self.hparams.test_search
        due = stage == Stage.VALID and epoch % self.hparams.valid_search_interval == 0
        return self.hparams.valid_search if due else None

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == Stage.TRAIN:
            self.bar.close()
            self.train_loss = stage_loss
        elif stage == Stage.VALID:
            self.end_epoch(stage_loss, epoch)

    def end_epoch(self, valid_loss: float, epoch: int) -> None:
        words = [item.words for item in self.transcriptions]
        greedy = [item.greedy for item in self.transcriptions]
        wer = 100 * align_words(words, greedy).wer
        searched = None
        if self.search:
            searched = 100 * align_words(words, [item.hypothesis for item in self.transcriptions]).wer
        accuracy = 100 * self.tokens_right / self.tokens_seen if self.tokens_seen else None
        measured = {
            "train_loss": self.train_loss,
            "valid_loss": float(valid_loss),
            "valid_wer": searched,
            "valid_wer_greedy_ctc": wer,
            "valid_token_accuracy": accuracy,
        }
        if self.homophones:
            scores = homophone_scores(self.homophones, words, greedy)
            measured |= {f"valid_{name}": scores[name] for name in ("homophone_error", "homophones_seen")}
        self.record_epoch(epoch, measured)
        self.journal.say(
            f"epoch {epoch}/{self.epochs}: train loss {self.train_loss:.3f}, valid loss {valid_loss:.3f}, "
            f"valid WER {wer:.2f} % (greedy CTC)" + (f", {searched:.2f} % (search)" if self.search else "")
        )
        self.checkpointer.save_epoch(self.hparams.average_checkpoints, self.hparams.keep_last_checkpoints, WER=wer)

    # --- testing --------------------------------------------------------------------------------------------

    def evaluate_batch(self, batch, stage):
        loss = super().evaluate_batch(batch, stage)
        if stage == Stage.TEST:
            self.bar.update()
        return loss

    def transcribe(self, dataset, name: str, **loader_kwargs) -> list[Transcription]:
        """Decode a whole set with the recipe's search; in the order of the manifest's IDs."""
        loader = self.make_dataloader(dataset, Stage.TEST, ckpt_prefix=None, **loader_kwargs)
        show = self.journal.active and not self.noprogressbar
        with tqdm(total=len(loader), desc=name, unit="batch", leave=False, disable=not show) as self.bar:
            self.evaluate(loader, progressbar=False)
        return sorted(self.transcriptions, key=lambda item: item.id)


def next_tokens(tokens: Tensor, lengths: Tensor) -> Tensor:
    """Decoder targets ``[B, U + 1]``: the tokens, then the sentence end; IGNORED after it."""
    targets = pad(tokens, (0, 1)).masked_fill(~lengths_to_mask(lengths, tokens.shape[1] + 1), IGNORED)
    return targets.scatter(1, lengths[:, None], END)
