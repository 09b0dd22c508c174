"""A training of SpeechBrain's recogniser by its own Brain, on the manifests, tokenizer and batches of our recipe."""

from speechbrain.augment.time_domain import SpeedPerturb
from torch import Tensor

from benchmarks.stock_parity.figures import Record
from benchmarks.stock_parity.stock_brain import StockBrain
from recipes.asr import data
from recipes.asr.audio import AudioReader
from recipes.asr.batches import DurationBatches
from recipes.asr.experiment import ASRExperiment


class StockReader(AudioReader):
    """Audio at a random speed by SpeechBrain's SpeedPerturb."""

    def __init__(self, speeds: list[int]):
        super().__init__(speeds=tuple(speeds))
        self.plain, self.perturb = AudioReader(), SpeedPerturb(orig_freq=self.sample_rate, speeds=list(speeds))

    def __call__(self, path: str, utterance: str) -> Tensor:
        return self.perturb(self.plain(path, utterance)[None])[0]


class StockExperiment(ASRExperiment):
    """A run of SpeechBrain's recogniser; record: is told each epoch's figures."""

    def __init__(self, recipe, run_options, *, record: Record):
        super().__init__(recipe, run_options)
        self.record = record

    def make_brain(self) -> None:
        self.brain = StockBrain(self.hparams, self.run_options, tokenizer=self.tokenizer, record=self.record)
        reader, longest = StockReader(self.hparams["speeds"]), self.hparams["max_seconds"]
        self.train_set = self.utterances("train", reader, longest=longest, fit_ctc=True)
        self.valid_set = self.utterances("valid", AudioReader())

    def batches(self) -> DurationBatches:
        """To train on: those of ours, in the same order."""
        return data.train_batches(
            self.train_set,
            batch_seconds=self.hparams["batch_seconds"],
            buckets=self.hparams["batch_buckets"],
            seed=self.hparams["seed"],
        )

    def fit(self) -> None:
        self.brain.batches = self.batches()
        validation = data.test_batches(self.valid_set, self.hparams["batch_seconds"])
        self.brain.fit(
            epoch_counter=self.epoch_counter,
            train_set=data.loader(self.train_set, self.brain.batches, 0),
            valid_set=data.loader(self.valid_set, validation, 0),
            progressbar=False,
        )
