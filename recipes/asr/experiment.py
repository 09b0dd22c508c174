"""A recipe from data to report: prepare, train, average, decode, summarise. Each stage picks up what is done."""

import random
import shlex
from pathlib import Path

import torch
from speechbrain.utils.distributed import ddp_barrier, ddp_broadcast, if_main_process
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from torch.utils.data import DataLoader, Subset

from data_prep import librispeech
from data_prep.tokenizer import load_tokenizer, train_tokenizer
from recipes.asr import data
from recipes.asr.decode import decode_splits, load_lm, make_brain, summarise
from recipes.config.limits import check_limits
from recipes.config.recipe import Recipe
from recipes.cost import parameter_count
from recipes.errors import RecipeError
from recipes.scoring import RunSummary, read_pairs
from recipes.training.averaging import average, choose_checkpoints, load_weights, save_weights
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.logger import Journal
from recipes.training.run_folder import TOKENIZER, WEIGHTS, claim


class Experiment:
    """One run of one recipe in its output folder.

    Call ``prepare``, then ``fit``, then ``test``. Raises RecipeError or DataError, one line each.
    """

    def __init__(self, recipe: Recipe, run_options: RunOptions):
        self.recipe, self.hparams = recipe, recipe.hparams
        if "model" not in self.hparams:
            raise RecipeError(f"{recipe.path} is no recipe of a recogniser: language models are for train_lm.py")
        self.folder = Path(self.hparams["output_folder"])
        check_limits(recipe)
        if if_main_process():
            claim(self.folder, recipe)
        ddp_barrier()  # the others would write into a folder that is not claimed yet
        self.journal = Journal(self.folder, tensorboard=self.hparams["tensorboard"])
        self.checkpointer = AtomicCheckpointer(self.folder / "checkpoints")
        # A converted model, or a run whose checkpoints were thrown away: fit for testing, with its own tokenizer.
        self.weights_alone = (self.folder / WEIGHTS).is_file() and not self.checkpointer.list_checkpoints()
        self.clock, self.epoch_counter = Clock(), EpochCounter(self.hparams["number_of_epochs"])
        self.checkpointer.add_recoverables(
            {"model": self.hparams["model"], "epoch": self.epoch_counter, "clock": self.clock}
        )
        self.brain = make_brain(recipe, run_options, self.checkpointer)
        self.journal.say(
            f"{recipe.name}, {self.hparams['mixer_name']}: {parameter_count(self.brain.model) / 1e6:.2f} M parameters "
            f"on {self.brain.device}; everything is written to {self.folder}"
        )

    # --- data ------------------------------------------------------------------------------------------------

    def prepare(self) -> None:
        """Manifests, tokenizer, datasets. Redone only where the corpus or the recipe changed."""
        self.manifests = ddp_broadcast(self.make_manifests() if if_main_process() else None)
        self.tokenizer = load_tokenizer(self.folder / TOKENIZER)
        self.train_reader = data.AudioReader(speeds=self.hparams["speeds"], seed=self.hparams["seed"])
        self.brain.prepare(tokenizer=self.tokenizer, journal=self.journal)
        self.brain.prepare_training(
            train_reader=self.train_reader,
            clock=self.clock,
            epoch_counter=self.epoch_counter,
            homophones=read_pairs(self.manifests.root),
        )
        load_lm(self.brain, self.hparams["lm_folder"], self.folder)  # before training: an error there comes early

    def make_manifests(self) -> librispeech.Prepared:
        train, valid = ([], []) if self.weights_alone else (self.hparams["train_splits"], self.hparams["valid_splits"])
        prepared = librispeech.prepare(
            self.hparams["data_folder"],
            self.folder / "manifests",
            train=train,
            valid=valid,
            test=self.hparams["test_splits"],
            progress=not self.brain.noprogressbar,
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

    def utterances(self, manifest: Path, reader: data.AudioReader, longest: float | None = None):
        return data.utterances(manifest, self.manifests.root, reader, self.tokenizer, longest=longest)

    # --- training --------------------------------------------------------------------------------------------

    def fit(self) -> None:
        """Train to the last epoch, going on from the newest checkpoint if there is one."""
        if self.weights_alone:
            raise RecipeError(
                f"{self.folder} holds weights ({WEIGHTS}) and no checkpoints to go on from: give --test_only, or "
                "another --output_folder"
            )
        merged, batch_seconds = self.folder / "manifests" / "merged", self.hparams["batch_seconds"]
        train = self.utterances(merged / "train.csv", self.train_reader, self.hparams["max_seconds"])
        valid = self.utterances(merged / "valid.csv", data.AudioReader())
        newest = self.checkpointer.find_checkpoint()
        if newest is None:
            self.measure_features(train)
        else:
            self.journal.say(f"going on from {newest.path}")
        workers = self.hparams["workers"]
        self.brain.fit(
            epoch_counter=self.epoch_counter,
            train_set=train,
            valid_set=valid,
            progressbar=False,  # the Brain's own bar knows neither learning rate nor the end of the run
            train_loader_kwargs=data.train_loading(
                train,
                batch_seconds=batch_seconds,
                buckets=self.hparams["batch_buckets"],
                seed=self.hparams["seed"],
                workers=workers,
            ),
            valid_loader_kwargs=data.test_loading(valid, batch_seconds=batch_seconds, workers=workers),
        )

    def measure_features(self, train) -> None:
        """Mean and variance of the features over a random sample of the training set."""
        most = min(len(train), self.hparams["normalize_utterances"])
        picked = random.Random(self.hparams["seed"]).sample(range(len(train)), most)
        loader = DataLoader(
            Subset(train, sorted(picked)), batch_size=16, collate_fn=data.collate, num_workers=self.hparams["workers"]
        )
        device, model = self.brain.device, self.brain.model
        with torch.no_grad():
            model.normalize.measure(model.features(one.audio.to(device), one.lengths.to(device)) for one in loader)

    # --- testing ---------------------------------------------------------------------------------------------

    def test(self) -> RunSummary:
        """Decode the test sets with the average of the best checkpoints; returns the summary, also written."""
        self.load_weights()
        seconds = round(self.clock.seconds(), 1)
        splits = decode_splits(self.brain, self.manifests, self.hparams, self.folder)
        summary = summarise(
            self.recipe,
            self.brain,
            splits,
            self.folder,
            seconds=seconds,
            decoded_by=shlex.join(["python", "train.py", str(self.folder / "recipe.yaml"), "--test_only"]),
        )
        self.journal.say(f"alignments, summary and logs: {self.folder}")
        return summary

    def load_weights(self) -> None:
        """The average of the best checkpoints, also written; the weights of the folder where there are no others."""
        if self.weights_alone:
            weights = load_weights(self.folder / WEIGHTS)
            self.journal.say(f"testing with {WEIGHTS}")
        else:
            best = choose_checkpoints(self.checkpointer, f"best-{self.hparams['average_checkpoints']}")
            weights = average(best)
            if if_main_process():
                save_weights(weights, self.folder / WEIGHTS)
            self.journal.say(f"testing with the average of {len(best)} checkpoint{'s' * (len(best) > 1)}")
            self.clock.load(self.checkpointer.find_checkpoint().paramfiles["clock"], end_of_epoch=True)
        self.brain.model.load_state_dict(weights)
