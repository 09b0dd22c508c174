"""A recogniser from data to report: prepare, train, average, decode. Each stage picks up what is already done."""

import random
import shlex
from collections.abc import Mapping, Sequence
from functools import cached_property
from pathlib import Path

import torch
from torch.utils.data import DataLoader, Subset

from data_prep.corpus import USES, Corpus, Prepared
from data_prep.errors import DataError
from data_prep.files import checksum, write_atomically
from data_prep.manifest import merge
from data_prep.report import read_report
from data_prep.text import upper
from data_prep.tokenizer import train_tokenizer
from recipes.asr import data
from recipes.asr.audio import AudioReader
from recipes.asr.brain import ASRBrain
from recipes.asr.contexts import check_contexts
from recipes.asr.decode import check_score_normalizer, decode_splits, remove_other_splits, summarise
from recipes.asr.joining import check_joining
from recipes.asr.loss import check_consistency
from recipes.asr.memory import TrainingSet, check_largest_batch, propose_batch_seconds
from recipes.asr.remarks import UNKNOWN_CHARACTERS, Remarks, listed, note_unknown_characters, unknown_characters
from recipes.asr.saved_run import load_search_language_model
from recipes.asr.searches import check_searches
from recipes.asr.starting_point import read_starting_point
from recipes.asr.transfer import Transfer, freeze
from recipes.asr.utterances import read_utterances
from recipes.config.content import recipe_content
from recipes.errors import RecipeError
from recipes.models.parts import check_parts
from recipes.scoring import RunSummary, read_pairs
from recipes.training.experiment import Experiment
from recipes.training.processes import on_main_process
from recipes.training.run_data import DataPart, RunData
from recipes.training.run_folder import RECIPE, TOKENIZER, has_weights

Splits = str | Sequence[str]  # "auto" or names


class ASRExperiment(Experiment):
    """One run of one recipe of a recogniser in its output folder; see `Experiment`."""

    model_key, measure = "model", "WER"
    wrong_recipe = "no recipe of a recogniser, it has no key 'model': for a language model there is train_lm.py"
    data_keys = frozenset({"train_splits", "valid_splits"})
    brain_type: type[ASRBrain] = ASRBrain
    brain: ASRBrain
    data: Prepared

    def title(self) -> str:
        return f"{self.recipe.name}, {self.hparams['mixer_name']}"

    @cached_property
    def corpus(self) -> Corpus:
        return Corpus.named_by(self.hparams)

    def check(self) -> None:
        check_parts(self.recipe.path, self.hparams)
        check_contexts(self.recipe.path, self.hparams)
        check_searches(self.recipe.path, self.hparams)
        check_consistency(self.recipe.path, self.hparams)
        check_joining(self.recipe.path, self.hparams)
        wanted = ("test",) if self.test_only else USES
        named = [use for use in wanted if self.hparams[f"{use}_splits"] != []]
        try:
            self.corpus.check_named(named)
        except DataError as error:
            raise RecipeError(f"{self.recipe.path}: {error}") from None
        check_score_normalizer(self.hparams)
        if self.hparams.get("init_from"):
            if not (self.test_only or has_weights(self.folder)):
                self.transfer.check(self.hparams.get("freeze"))  # errors of it come before anything is written
        elif alone := [key for key in ("freeze", "new_tokenizer") if self.hparams.get(key)]:
            raise RecipeError(f"{self.recipe.path}: {alone[0]} is for weights of another run: give --init_from")
        if set(named) - self.corpus.manifests.keys() and not (self.folder / RECIPE).exists():
            on_main_process(self.corpus.splits_root)  # a mistyped folder leaves no run behind

    def check_stage(self) -> None:
        super().check_stage()
        if self.hparams.get("find_batch") and not self.trains:
            raise RecipeError(
                f"--find_batch tries batches to train with, and {self.folder} would only be tested: give another "
                "--output_folder"
            )

    @cached_property
    def transfer(self) -> Transfer:
        """The weights that a new training takes from `init_from`."""
        point = read_starting_point(Path(self.hparams["init_from"]))
        new_tokenizer = bool(self.hparams.get("new_tokenizer"))
        return Transfer(point, self.model, recipe_content(self.recipe.text), new_tokenizer=new_tokenizer)

    def keeps_tokenizer(self) -> bool:
        """Whether the run uses the tokenizer of `init_from`."""
        return bool(self.hparams.get("init_from")) and not self.hparams.get("new_tokenizer")

    def begin_with_other_weights(self) -> None:
        """With `init_from`: load its weights, unless there is a checkpoint to resume from, and freeze parts."""
        if not (self.trains and self.hparams.get("init_from")):
            return
        if self.newest is None:
            for line in self.transfer.apply():
                self.logger.info(line)
            on_main_process(lambda: self.transfer.write(self.folder))
        if self.hparams.get("freeze"):
            self.logger.info(freeze(self.model, self.hparams["freeze"]))

    # --- data ------------------------------------------------------------------------------------------------

    def prepare_data(self) -> Prepared:
        """Write manifests and tokenizer. Existing ones are kept unless the corpus or the recipe has changed."""
        if not self.trains:
            return self.make_manifests(train=[], valid=[])
        splits = self.choose_splits()
        prepared = self.make_manifests(**splits)
        train, valid = (part_of(getattr(prepared, use)) for use in splits)
        merged = self.folder / "manifests" / "merged"
        if self.newest is not None:  # before anything of the run is written
            self.own_data(RunData(checksum(self.folder / TOKENIZER) or "", train, valid))
        for use in splits:
            merge(getattr(prepared, use).values(), merged / f"{use}.csv")
        if self.newest is None:
            self.own_data(RunData(checksum(self.make_tokenizer(merged / "train.csv")), train, valid))
        return prepared

    def make_tokenizer(self, manifest: Path) -> Path:
        """Train the tokenizer, or copy that of `init_from`."""
        tokenizer = self.folder / TOKENIZER
        if not self.keeps_tokenizer():
            return train_tokenizer(manifest, tokenizer.parent, self.hparams["token_type"], self.hparams["vocab_size"])
        tokenizer.parent.mkdir(exist_ok=True)
        write_atomically(tokenizer, self.transfer.point.tokenizer.read_bytes())
        return tokenizer

    def make_manifests(self, train: Splits, valid: Splits) -> Prepared:
        return self.corpus.prepare(
            self.folder / "manifests",
            train=train,
            valid=valid,
            test=self.hparams["test_splits"],
            progress=not self.machine.noprogressbar,
            say=self.logger.info,
        )

    def choose_splits(self) -> dict[str, list[str]]:
        """Names of the train and valid splits. A resumed run keeps its own, even if `auto` would find others now."""
        wanted = {use: self.hparams[f"{use}_splits"] for use in ("train", "valid")}
        recorded = RunData.read(self.folder) if self.newest is not None and not self.allows_new_data else None
        own = {"train": list(recorded.train.files), "valid": list(recorded.valid.files)} if recorded else wanted
        roles, now = (self.corpus.choose(**names, test=[]) for names in (own, wanted))
        for use in own:
            names = getattr(roles, use)
            if not names:
                raise RecipeError(f"{self.recipe.path}: {use}_splits is empty: name a split, or say auto")
            if more := set(getattr(now, use)) - set(names):
                self.logger.info(
                    f"note: {self.hparams['data_folder']} has {', '.join(sorted(more))} by now; this run goes on with "
                    f"its own {use}_splits, {', '.join(names)} (--allow_new_data true takes all)"
                )
        return {use: getattr(roles, use) for use in own}

    def make_brain(self) -> None:
        self.begin_with_other_weights()
        self.train_reader = AudioReader(speeds=self.hparams["speeds"], seed=self.hparams["seed"])
        self.brain = self.brain_type(
            self.recipe,
            self.run_options,
            tokenizer=self.tokenizer,
            # Errors of it come before training.
            language_model=load_search_language_model(self.hparams, self.folder / TOKENIZER),
            train_reader=self.train_reader,
            remarks=self.make_remarks(),
            homophones=read_pairs(self.data.root),
            **self.brain_parts(),
        )
        if self.trains:
            self.make_datasets()

    def utterances(self, use: str, reader: AudioReader, **limits):
        manifest = self.folder / "manifests" / "merged" / f"{use}.csv"
        return read_utterances(manifest, self.data.root, reader, self.tokenizer, **limits)

    def make_remarks(self) -> Remarks:
        """Name the utterances that the tokenizer cannot spell."""
        remarks, recorded = Remarks(self.folder, self.logger), self.run_data or RunData.read(self.folder)
        splits = {**self.data.valid, **self.data.test}
        if self.keeps_tokenizer() or (recorded and recorded.earlier):  # it does not come from these training data
            splits |= self.data.train
        unknown = note_unknown_characters(remarks, splits, self.tokenizer)
        if self.trains and self.keeps_tokenizer() and self.newest is None:
            self.check_spelling(remarks, set().union(*(unknown[split] for split in self.data.train)))
        return remarks

    def check_spelling(self, remarks: Remarks, unknown: set[str]) -> None:
        """Raises RecipeError where the tokenizer of `init_from` cannot spell most of what is to be learnt.

        unknown: the characters of the training data that it has no piece for.
        """
        counts = remarks.counts()
        unspelt = sum(counts.get(split, {}).get(UNKNOWN_CHARACTERS, 0) for split in self.data.train)
        total = int(part_of(self.data.train).counts["utterances"])
        if 2 * unspelt > total:
            in_capitals = not unknown_characters([upper("".join(unknown))], self.tokenizer)
            raise RecipeError(
                f"init_from: its tokenizer has no {listed(unknown)}, and cannot spell {unspelt} of {total} "
                f"utterances (all in {remarks.path}): give {'--text_normalizer upper or ' * in_capitals}--new_tokenizer"
            )

    def make_datasets(self) -> None:
        """Make the training and the validation set, and name the training utterances that are left out."""
        self.train_set = self.utterances(
            "train",
            self.train_reader,
            longest=self.hparams["max_seconds"],
            fit_ctc=self.hparams["ctc_weight"] > 0,
            subsampling=self.model.frontend.subsampling,
        )
        for kind, left_out in self.train_set.left_out.items():
            self.brain.remarks.left_out("train", kind, left_out, self.train_set.total)
        self.valid_set = self.utterances("valid", AudioReader())

    # --- training --------------------------------------------------------------------------------------------

    def fit(self) -> None:
        self.announce_resumption()
        batch_seconds, workers = self.hparams["batch_seconds"], self.hparams["workers"]
        train, valid = self.train_set, self.valid_set
        if self.newest is None and not self.has_statistics():
            self.measure_features(train)
        self.brain.batches = data.train_batches(
            train,
            batch_seconds=batch_seconds,
            buckets=self.hparams["batch_buckets"],
            seed=self.hparams["seed"],
            ascending_epochs=self.hparams["ascending_epochs"],
            joined_seconds=self.hparams.get("joined_seconds"),
        )
        self.check_warmup()
        training_set = TrainingSet(train, self.brain.batches)
        if self.hparams.get("find_batch"):
            self.logger.info(propose_batch_seconds(self.brain, training_set))
            raise SystemExit(0)  # there is nothing more to do
        self.logger.info(check_largest_batch(self.brain, training_set))
        self.brain.fit(
            epoch_counter=self.epoch_counter,
            train_set=data.loader(train, self.brain.batches, workers),
            valid_set=data.loader(valid, data.test_batches(valid, batch_seconds), workers),
            progressbar=False,  # the Brain's own bar knows neither learning rate nor the end of the run
        )

    def has_statistics(self) -> bool:
        """Whether `init_from` brought mean and variance of the features, which its weights expect."""
        return bool(self.hparams.get("init_from")) and not self.transfer.new & {"normalize.mean", "normalize.std"}

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
                model.features(batch.audio.to(device), batch.lengths.to(device)) for batch in loader if batch.ids
            )

    # --- testing ---------------------------------------------------------------------------------------------

    def test(self) -> RunSummary:
        """Decode the test sets with the average of the best checkpoints; returns the summary, also written."""
        self.load_tested_weights()
        decoded = decode_splits(self.brain, self.data, self.folder)
        on_main_process(lambda: remove_other_splits(self.folder, decoded.splits))
        again = ["python", "train.py", str(self.folder / "recipe.yaml"), "--test_only"]
        if self.run_options.eval_precision != "fp32":
            again += ["--eval_precision", self.run_options.eval_precision]
        summary = summarise(
            self.recipe,
            self.brain,
            decoded,
            self.folder,
            seconds=self.training_seconds(),
            decoded_by=shlex.join(again),
        )
        self.logger.info(f"alignments, summary and logs: {self.folder}")
        return summary


def part_of(manifests: Mapping[str, Path]) -> DataPart:
    """The splits of one use, as the run's folder keeps them."""
    reports = [read_report(manifest.with_suffix(".json")) for manifest in manifests.values()]
    hours = round(sum(report["hours"] for report in reports), 6)
    counts = {"utterances": sum(report["utterances"] for report in reports), "hours": hours}
    return DataPart({name: checksum(path) or "" for name, path in manifests.items()}, counts)
