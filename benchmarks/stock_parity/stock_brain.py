"""SpeechBrain's Brain around SpeechBrain's parts, wired as in its LibriSpeech recipes."""

import random
from collections.abc import Mapping
from functools import partial

import torch
from sentencepiece import SentencePieceProcessor
from speechbrain.core import Brain, Stage
from speechbrain.nnet.losses import ctc_loss, kldiv_loss
from speechbrain.nnet.schedulers import NoamScheduler
from speechbrain.utils.run_opts import RunOptions
from torch import Tensor
from torch.nn.functional import pad

from benchmarks.stock_parity.figures import DevFigures, Record, TrainFigures
from benchmarks.stock_parity.stock_model import stock_augmenter, stock_features, stock_modules
from data_prep.tokenizer import BLANK, END, START
from recipes.asr.data import Batch
from recipes.models import Encoded
from recipes.models.recogniser import Output


class StockBrain(Brain):
    """SpeechBrain's loop around SpeechBrain's parts, wired as in its LibriSpeech recipes.

    Lengths are relative, the gradient is clipped by the Brain, and the Noam scheduler is called behind each step: so
    the first step has the highest rate, and step N the rate that ours has in step N - 1.
    """

    def __init__(
        self, hparams: Mapping, run_options: RunOptions, *, tokenizer: SentencePieceProcessor | None, record: Record
    ):
        smoothing = hparams["label_smoothing"]
        parts = {
            "compute_features": stock_features(),
            "fea_augment": stock_augmenter(hparams["model"].augment),
            "noam_annealing": NoamScheduler(hparams["lr"], hparams["warmup_steps"]),
            "ctc_cost": partial(ctc_loss, blank_index=BLANK, reduction="batchmean"),
            "seq_cost": partial(kldiv_loss, label_smoothing=smoothing, reduction="batchmean", pad_idx=BLANK),
        }
        super().__init__(stock_modules(hparams), hparams["opt_class"], {**hparams, **parts}, run_opts=run_options)
        self.tokenizer, self.record = tokenizer, record
        self.train_figures = TrainFigures()
        random.seed(hparams["seed"])

    def print_trainable_parameters(self):
        """Not wanted on the screen."""

    def compute_forward(self, batch: Batch, stage: Stage) -> tuple[Tensor, Tensor, Tensor]:
        relative = batch.lengths / batch.audio.shape[1]
        features = self.modules.normalize(self.hparams.compute_features(batch.audio), relative, epoch=self.epoch)
        if stage == Stage.TRAIN and self.hparams.fea_augment is not None:
            features, relative = self.hparams.fea_augment(features, relative)
        source, target = self.modules.CNN(features), pad(batch.tokens, (1, 0), value=START)
        encoded, decoded = self.modules.Transformer(source, target, relative, pad_idx=BLANK)
        return encoded, self.modules.ctc_lin(encoded), self.modules.seq_lin(decoded)

    def compute_objectives(self, predictions, batch: Batch, stage: Stage) -> Tensor:
        encoded, ctc_logits, attention_logits = predictions
        audio_lengths = batch.lengths / batch.audio.shape[1]
        ended = pad(batch.tokens, (0, 1), value=BLANK).scatter(1, batch.token_lengths[:, None], END)
        ctc = self.hparams.ctc_cost(
            ctc_logits.log_softmax(-1), batch.tokens, audio_lengths, batch.token_lengths / batch.tokens.shape[1]
        )
        attention = self.hparams.seq_cost(
            attention_logits.log_softmax(-1), ended, length=(batch.token_lengths + 1) / ended.shape[1]
        )
        if stage == Stage.TRAIN:
            self.train_figures.add_losses(float(ctc.detach()), float(attention.detach()), len(batch.ids))
        else:
            frames = (audio_lengths * encoded.shape[1]).round().long()
            self.dev.add(Output(Encoded(encoded, frames), ctc_logits, attention_logits), batch)
        return self.hparams.ctc_weight * ctc + (1 - self.hparams.ctc_weight) * attention

    def optimizers_step(self):
        norms = [
            parameter.grad.norm()
            for parameter in self.optimizer.param_groups[0]["params"]
            if parameter.grad is not None
        ]
        self.train_figures.add_step(float(torch.stack(norms).norm()), self.max_grad_norm)
        super().optimizers_step()

    def on_fit_batch_end(self, batch, outputs, loss, should_step):
        if should_step:
            self.hparams.noam_annealing(self.optimizer)

    def on_stage_start(self, stage, epoch=None):
        self.epoch = epoch
        if stage == Stage.TRAIN:
            self.batches.epoch, self.train_figures = epoch, TrainFigures()
        else:
            self.dev = DevFigures(self.tokenizer)

    def on_stage_end(self, stage, stage_loss, epoch=None):
        if stage == Stage.VALID:
            rate = self.optimizer.param_groups[0]["lr"]
            self.record(self.optimizer_step, rate, self.train_figures.means(), self.dev.means())
