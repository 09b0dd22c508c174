"""A training of ours, as train.py trains, that tells the figures of each epoch."""

from collections.abc import Callable, Mapping

from benchmarks.stock_parity.figures import DevFigures, Record
from recipes.asr.brain import ASRBrain
from recipes.asr.experiment import ASRExperiment


class RecordedBrain(ASRBrain):
    """Our Brain, which tells the figures of each epoch."""

    record: Record

    def on_stage_start(self, stage, epoch=None):
        super().on_stage_start(stage, epoch)
        self.dev = DevFigures(self.tokenizer)

    def transcribe_batch(self, output, batch, stage):
        self.dev.add(output, batch)
        return super().transcribe_batch(output, batch, stage)

    def end_epoch(self, epoch):
        super().end_epoch(epoch)
        names = {"train_ctc_loss": "ctc_loss", "train_attention_loss": "attention_loss"}
        train = {names.get(name, name): self.train_metrics[name] for name in (*names, "gradient_norm", "clipped_steps")}
        self.record(self.optimizer_step, self.optimizer.param_groups[0]["lr"], train, self.dev.means())


class RecordedExperiment(ASRExperiment):
    """A run of ours. change: what it does to the model before training; record: is told each epoch's figures."""

    brain_type = RecordedBrain

    def __init__(self, recipe, run_options, *, record: Record, change: Callable[[Mapping], None] | None = None):
        super().__init__(recipe, run_options)
        self.record = record
        if change is not None:
            change(self.hparams)

    def make_brain(self) -> None:
        super().make_brain()
        self.brain.record = self.record
