"""A recogniser from data to report: prepare, train, average, decode. Each stage picks up what is already done."""

import random
import shlex
from functools import partial

import torch
from torch.utils.data import DataLoader, Subset

from data_prep import librispeech
from data_prep.files import write_atomically
from data_prep.tokenizer import load_tokenizer, train_tokenizer
from recipes.asr import data
from recipes.asr.brain import ASRBrain
from recipes.asr.decode import decode_splits, load_search_language_model, summarise
from recipes.asr.memory import Found, TrainingSet, check_largest_batch, propose_batch_seconds
from recipes.errors import RecipeError
from recipes.scoring import RunSummary, read_pairs
from recipes.training.averaging import load_weights
from recipes.training.experiment import Experiment
from recipes.training.processes import on_main_process
from recipes.training.run_folder import TOKENIZER, WEIGHTS

NAMES_SHOWN = 5  # of utterances that are left out


class ASRExperiment(Experiment):
    """One run of one recipe of a recogniser in its output folder; see `Experiment`."""

    model_key, measure = "model", "WER"
    wrong_recipe = "no recipe of a recogniser, it has no key 'model': for a language model there is train_lm.py"
    brain: ASRBrain

    def title(self) -> str:
        return f"{self.recipe.name}, {self.hparams['mixer_name']}"

    # --- data ------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Manifests, tokenizer, Brain. What is there is made again only where the corpus or the recipe changed."""
        self.prepared = on_main_process(self.make_manifests)
        self.tokenizer = load_tokenizer(self.folder / TOKENIZER)
        self.train_reader = data.AudioReader(speeds=self.hparams["speeds"], seed=self.hparams["seed"])
        self.brain = ASRBrain(
            self.recipe,
            self.run_options,
            tokenizer=self.tokenizer,
            language_model=load_search_language_model(self.hparams, self.folder),  # errors of it come before training
            train_reader=self.train_reader,
            homophones=read_pairs(self.prepared.root),
            **self.brain_parts(),
        )

    def make_manifests(self) -> librispeech.Prepared:
        train, valid = ([], []) if self.weights_alone else (self.hparams["train_splits"], self.hparams["valid_splits"])
        prepared = librispeech.prepare(
            self.hparams["data_folder"],
            self.folder / "manifests",
            train=train,
            valid=valid,
            test=self.hparams["test_splits"],
            progress=not self.machine.noprogressbar,
        )
        if self.weights_alone:
            return prepared
        for use in ("train", "valid"):
            if not getattr(prepared, use):
                raise RecipeError(f"{self.recipe.path}: {use}_splits is empty: name a split, or say auto")
        train = librispeech.merge(prepared.train.values(), self.folder / "manifests" / "merged" / "train.csv")
        librispeech.merge(prepared.valid.values(), self.folder / "manifests" / "merged" / "valid.csv")
        train_tokenizer(train, self.folder / "tokenizer", self.hparams["token_type"], self.hparams["vocab_size"])
        return prepared

    def utterances(self, use: str, reader: data.AudioReader, **limits):
        manifest = self.folder / "manifests" / "merged" / f"{use}.csv"
        return data.utterances(manifest, self.prepared.root, reader, self.tokenizer, **limits)

    def report_left_out(self, names: list[str]) -> None:
        """Count on screen the utterances that CTC cannot be trained on; all names go into a file."""
        path = self.folder / "manifests" / "merged" / "too_many_tokens.txt"
        write_atomically(path, "".join(f"{name}\n" for name in names))
        more = ", …" if len(names) > NAMES_SHOWN else ""
        self.logger.info(
            f"left out of training: {len(names)} utterances with more tokens than frames at the highest speed: "
            f"{', '.join(names[:NAMES_SHOWN])}{more} (all in {path})"
        )

    # --- training --------------------------------------------------------------------------------------------

    def fit(self) -> None:
        resumed = self.resumes("give --test_only, or another --output_folder")
        batch_seconds, workers = self.hparams["batch_seconds"], self.hparams["workers"]
        train = self.utterances(
            "train", self.train_reader, longest=self.hparams["max_seconds"], fit_ctc=self.hparams["ctc_weight"] > 0
        )
        if train.too_many_tokens:
            on_main_process(partial(self.report_left_out, train.too_many_tokens))
        valid = self.utterances("valid", data.AudioReader())
        if not resumed:
            self.measure_features(train)
        self.brain.batches = data.train_batches(
            train, batch_seconds=batch_seconds, buckets=self.hparams["batch_buckets"], seed=self.hparams["seed"]
        )
        training_set = TrainingSet(train, self.brain.batches)
        if self.hparams["find_batch"]:
            raise Found(propose_batch_seconds(self.brain, training_set))
        self.logger.info(check_largest_batch(self.brain, training_set))
        self.brain.fit(
            epoch_counter=self.epoch_counter,
            train_set=data.loader(train, self.brain.batches, workers),
            valid_set=data.loader(valid, data.test_batches(valid, batch_seconds), workers),
            progressbar=False,  # the Brain's own bar knows neither learning rate nor the end of the run
        )

    def measure_features(self, train) -> None:
        """Mean and variance of the features over a random sample of the training set."""
        sample_size = min(len(train), self.hparams["normalize_utterances"])
        sample = random.Random(self.hparams["seed"]).sample(range(len(train)), sample_size)
        loader = DataLoader(
            Subset(train, sorted(sample)), batch_size=16, collate_fn=data.collate, num_workers=self.hparams["workers"]
        )
        device, model = self.brain.device, self.brain.model
        with torch.no_grad():
            model.normalize.measure(
                model.features(batch.audio.to(device), batch.lengths.to(device)) for batch in loader
            )

    # --- testing ---------------------------------------------------------------------------------------------

    def test(self) -> RunSummary:
        """Decode the test sets with the average of the best checkpoints; returns the summary, also written."""
        if self.weights_alone:
            self.logger.info(f"testing with {WEIGHTS}")
            self.brain.model.load_state_dict(load_weights(self.folder / WEIGHTS))
        else:
            self.load_average()
        seconds = round(self.clock.seconds(), 1)
        summary = summarise(
            self.recipe,
            self.brain,
            decode_splits(self.brain, self.prepared, self.folder),
            self.folder,
            seconds=seconds,
            decoded_by=shlex.join(["python", "train.py", str(self.folder / "recipe.yaml"), "--test_only"]),
        )
        self.logger.info(f"alignments, summary and logs: {self.folder}")
        return summary
