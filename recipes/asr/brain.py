"""The Brain of all recognisers: training on CTC and the decoder together, validation and decoding."""

from collections import Counter
from collections.abc import Iterator, Sequence
from typing import NamedTuple

from sentencepiece import SentencePieceProcessor
from speechbrain.core import Stage
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor, no_grad, zeros
from torch.nn.functional import pad
from tqdm import tqdm

from data_prep.tokenizer import BLANK, START, detokenize
from mixers import Context
from mixers.base import lengths_to_mask
from recipes.asr import data
from recipes.asr.audio import AudioReader
from recipes.asr.batches import DurationBatches
from recipes.asr.contexts import tested_context
from recipes.asr.data import Batch, Unusable
from recipes.asr.loss import JointLoss, count_right_tokens, joint_loss
from recipes.asr.remarks import Remarks
from recipes.asr.unusable import UnusableAudio
from recipes.asr.utterances import Utterances
from recipes.config import Recipe
from recipes.decoding.ctc import greedy_ctc
from recipes.models import DynamicChunks
from recipes.models.language_model import TransformerLM
from recipes.models.recogniser import Output
from recipes.scoring import ScoredText, Transcription, align_words, character_error_rate, homophone_scores
from recipes.training.forks import cores, forked
from recipes.training.logger import loss_text
from recipes.training.processes import all_sum, gathered, ranks
from recipes.training.trainer import Trainer

LOSSES = ("loss", "ctc_loss", "attention_loss", "transducer_loss")
SUMS = (*LOSSES, "utterances", "tokens_right", "tokens", "blanks", "frames")


class DecodedBatch(NamedTuple):
    """The transcriptions of a test batch, and the utterances whose audio could not be read."""

    transcriptions: list[Transcription]
    unusable: tuple[Unusable, ...]


class ASRBrain(Trainer):
    """Trains and evaluates the recipe's `model`, a `recipes.models.Recogniser`.

    remarks: where utterances whose audio cannot be read are named. language_model: for the test search. train_reader:
    reads the training audio; its `epoch` is set here. homophones: pairs of words that sound alike, whose confusions are
    counted in validation. parts: see `Trainer`.
    """

    def __init__(
        self,
        recipe: Recipe,
        run_options: RunOptions,
        *,
        tokenizer: SentencePieceProcessor,
        remarks: Remarks,
        language_model: TransformerLM | None = None,
        train_reader: AudioReader | None = None,
        homophones: Sequence[tuple[str, str]] = (),
        **parts,
    ):
        recipe.hparams["model"].encoder.checkpoint_blocks = recipe.hparams.get("checkpoint_blocks", False)
        super().__init__(recipe, recipe.hparams["model"], run_options, **parts)
        self.streaming: DynamicChunks | None = recipe.hparams.get("streaming")
        self.test_context = tested_context(recipe.hparams)
        self.consistency_weight: float | None = recipe.hparams.get("consistency_weight")
        self.tokenizer, self.train_reader, self.homophones = tokenizer, train_reader, homophones
        self.remarks, self.unusable_by_split = remarks, dict[str, UnusableAudio]()
        self.language_model = language_model.to(self.device) if language_model else None
        for search in (self.hparams.test_search, self.hparams.valid_search):
            if search is not None:
                search.prepare(tokenizer)

    # --- one batch ------------------------------------------------------------------------------------------

    def compute_forward(self, batch: Batch, stage: Stage) -> Output:
        batch = batch.to(self.device)
        # A test needs no loss, and its time is reported: no decoder pass over the transcripts.
        tokens = None if stage == Stage.TEST else pad(batch.tokens, (1, 0), value=START)
        return self.model_of(stage)(batch.audio, batch.lengths, tokens, self.context(stage), self.views(stage))

    def views(self, stage: Stage) -> int:
        """How many times each utterance stands in the output of a batch."""
        return 2 if stage == Stage.TRAIN and self.consistency_weight is not None else 1

    def context(self, stage: Stage) -> Context | None:
        """What a frame of the encoder may see; None: the whole utterance. In training it is drawn for every batch."""
        if stage == Stage.TRAIN:
            return self.streaming.draw() if self.streaming else None
        return self.test_context if stage == Stage.TEST else None

    def compute_objectives(self, output: Output, batch: Batch, stage: Stage) -> Tensor:
        label_smoothing = self.hparams.label_smoothing if stage == Stage.TRAIN else 0.0
        views = self.views(stage)
        loss = joint_loss(
            output,
            batch.to(self.device).repeated(views),
            ctc_weight=self.hparams.ctc_weight,
            label_smoothing=label_smoothing,
            consistency_weight=self.consistency_weight if views > 1 else None,
        )
        if stage == Stage.TRAIN:
            self.note(**loss.parts())
        else:
            self.add_valid_loss(loss, batch)
        return loss.joint

    def weigh(self, batch: Batch) -> int:
        """Utterances. Raises AudioError when the audio of more than a tenth could not be read."""
        self.unusable.add(batch.unusable)
        self.unusable.check(len(self.batches.durations))
        return len(batch.ids)

    def name(self, batch: Batch) -> list[str]:
        return batch.ids

    def evaluate_batch(self, batch: Batch, stage: Stage) -> Tensor:
        """Validation: forward, loss, token accuracy, transcriptions. Returns the loss."""
        self.unusable.add(batch.unusable)
        if not batch.ids:  # none could be read
            return zeros(())
        batch = batch.to(self.device)
        with self.evaluation_ctx:
            output = self.compute_forward(batch, stage)
            loss = self.compute_objectives(output, batch, stage)
            right, tokens = count_right_tokens(output, batch)
            self.sums.update(tokens_right=right, tokens=tokens)
            self.count_blanks(output)
            self.transcriptions += self.transcribe_batch(output, batch, stage)
        return loss.detach().cpu()

    @no_grad()
    def decode_batch(self, batch: Batch) -> DecodedBatch:
        """Decode a test batch. This changes nothing in the Brain, so any process may do it."""
        if not batch.ids:
            return DecodedBatch([], batch.unusable)
        batch = batch.to(self.device)
        with self.evaluation_ctx:
            output = self.compute_forward(batch, Stage.TEST)
            return DecodedBatch(self.transcribe_batch(output, batch, Stage.TEST), batch.unusable)

    def transcribe_batch(self, output: Output, batch: Batch, stage: Stage) -> list[Transcription]:
        """Decode by greedy CTC, and by the search of this stage if it has one."""
        log_probs = output.ctc_logits.float().log_softmax(-1)
        greedy = [detokenize(self.tokenizer, tokens) for tokens in greedy_ctc(log_probs, output.encoded.lengths)]
        nbest = [[ScoredText(text, None)] for text in greedy]
        if self.search is not None:
            language_model = self.language_model if stage == Stage.TEST else None
            hypotheses = self.search(self.model.decoder, output.encoded, log_probs, language_model)
            nbest = [
                [ScoredText(detokenize(self.tokenizer, hypothesis.tokens), hypothesis.score) for hypothesis in best]
                for best in hypotheses
            ]
        return list(map(Transcription, batch.ids, batch.words, nbest, greedy))

    def count_blanks(self, output: Output) -> None:
        """Count frames, and those whose best token is the blank: nearly all, until the CTC head begins to learn."""
        real = lengths_to_mask(output.encoded.lengths, output.ctc_logits.shape[1])
        blanks = (output.ctc_logits.argmax(-1) == BLANK) & real
        self.sums.update(blanks=int(blanks.sum()), frames=int(real.sum()))

    def add_valid_loss(self, loss: JointLoss, batch: Batch) -> None:
        utterances = len(batch.ids)
        if loss.joint.isfinite():
            parts = {"loss": loss.joint} | loss.parts()
            self.sums.update({key: float(value) * utterances for key, value in parts.items()}, utterances=utterances)
        else:
            self.logger.info(f"validation: the loss of {', '.join(batch.ids[:20])} is not finite, and not counted")

    # --- stages ---------------------------------------------------------------------------------------------

    def on_stage_start(self, stage, epoch=None):
        self.transcriptions = []
        # Over the utterances of this stage; the same keys on all processes, whether or not they have any.
        self.sums = Counter(dict.fromkeys(SUMS, 0))
        self.search = self.search_of(stage, epoch)
        if stage == Stage.TRAIN:
            self.train_reader.epoch = epoch
            self.model.augment.train(epoch >= self.hparams.masks_from_epoch)
        split = self.split if stage == Stage.TEST else stage.name.lower()
        self.unusable = self.unusable_by_split.setdefault(split, UnusableAudio(split))
        if stage == Stage.TRAIN:  # of an epoch that goes on: what it met before it was stopped
            self.unusable.add([Unusable(*row) for row in self.progress.left_out])

    def _save_intra_epoch_ckpt(self):
        self.progress.left_out = self.unusable_by_split["train"].as_rows()
        super()._save_intra_epoch_ckpt()

    def search_of(self, stage: Stage, epoch: int | None):
        """The search beside greedy CTC; None if the recipe has none for this stage, or not in this epoch."""
        if stage == Stage.TEST:
            return self.hparams.test_search
        due = stage == Stage.VALID and epoch % self.hparams.valid_search_interval == 0
        return self.hparams.valid_search if due else None

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage != Stage.TRAIN:
            self.transcriptions = sorted(gathered(self.transcriptions), key=lambda item: item.id)
            self.sums = dict(zip(SUMS, all_sum([self.sums[key] for key in SUMS]), strict=True))
        left_out = self.unusable.gather()
        total = len(self.batches.durations) if stage == Stage.TRAIN else len(self.transcriptions) + left_out
        self.unusable.report(self.remarks, total)
        super().on_stage_end(stage, stage_loss, epoch)

    def end_epoch(self, epoch: int) -> None:
        train_loss = self.train_metrics["train_loss"]
        valid_loss = self.share("loss", "utterances")
        words = [item.words for item in self.transcriptions]
        greedy = [item.greedy for item in self.transcriptions]
        wer = 100 * align_words(words, greedy).wer
        has_decoder = self.sums["tokens"] > 0
        transducer_loss = self.share("transducer_loss", "utterances")  # 0 for a model without a transducer
        search_wer = None
        if self.search is not None:
            search_wer = 100 * align_words(words, [item.hypothesis for item in self.transcriptions]).wer
        metrics = {
            "valid_loss": valid_loss,
            "valid_wer": search_wer,
            "valid_wer_greedy_ctc": wer,
            "valid_cer_greedy_ctc": character_error_rate(words, greedy),
            "valid_ctc_loss": self.share("ctc_loss", "utterances"),
            "valid_attention_loss": self.share("attention_loss", "utterances") if has_decoder else None,
            **({"valid_transducer_loss": transducer_loss} if transducer_loss else {}),
            "valid_blank_share": self.share("blanks", "frames", 100),
            "valid_token_accuracy": self.share("tokens_right", "tokens", 100),
        }
        if self.homophones:
            scores = homophone_scores(self.homophones, words, greedy)
            metrics |= {f"valid_{name}": scores[name] for name in ("homophone_error", "homophones_seen")}
        self.log_epoch(epoch, metrics)
        self.logger.info(
            f"epoch {epoch}/{self.epochs}: train loss {loss_text(train_loss)}, valid loss {loss_text(valid_loss)}, "
            f"valid WER {wer:.2f} % (greedy CTC)" + ("" if search_wer is None else f", {search_wer:.2f} % (search)")
        )
        self.checkpointer.save_epoch(self.hparams.average_checkpoints, self.hparams.keep_last_checkpoints, WER=wer)

    def share(self, key: str, over: str, factor: float = 1.0) -> float | None:
        return factor * self.sums[key] / self.sums[over] if self.sums[over] else None

    def transcribe(self, dataset: Utterances, batches: DurationBatches, name: str) -> list[Transcription]:
        """Decode a whole set with the recipe's search; returns transcriptions sorted by ID. name: of the set.

        On a CPU a process is forked for every core. Under torchrun each process decodes its share, and every process
        gets all transcriptions. Utterances whose audio cannot be read are left out and named in `unusable`. Raises
        AudioError if these are more than a tenth.
        """
        self.split = name
        own = batches.own()[: self.debug_batches if self.debug else None]
        self.on_stage_start(Stage.TEST)
        self.modules.eval()
        with tqdm(total=len(own), desc=name, unit="batch", leave=False, disable=not self.shows_progress) as bar:
            for decoded in self.decode_batches(dataset, own):
                self.transcriptions += decoded.transcriptions
                self.unusable.add(decoded.unusable)
                bar.update()
        self.on_stage_end(Stage.TEST, None)
        return self.transcriptions

    def decode_batches(self, dataset: Utterances, batches: list[list[int]]) -> Iterator[DecodedBatch]:
        """The decoded batches, in any order."""
        processes = min(cores(), len(batches)) if self.may_fork() else 1
        if processes == 1:
            return map(self.decode_batch, data.loader(dataset, batches, self.hparams.workers))
        return forked(lambda batch: self.decode_batch(data.read(dataset, batch)), batches, processes)

    def may_fork(self) -> bool:
        """Not under torchrun, which has divided the cores already, nor with torch.compile, which fixes the threads."""
        return self.device == "cpu" and ranks() == 1 and self.modules["model"] is self.model
