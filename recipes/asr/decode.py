"""Decode test sets with a trained model and write what came out: for the end of a training run and for evaluate.py."""

import time
from dataclasses import replace
from pathlib import Path

import torch
from speechbrain.utils.distributed import if_main_process

from data_prep.librispeech import Prepared
from data_prep.manifest import read_manifest
from recipes.asr import data
from recipes.asr.brain import ASR
from recipes.config.recipe import Recipe
from recipes.cost import parameter_count
from recipes.errors import RecipeError
from recipes.lm.saved_model import load_language_model
from recipes.provenance import commit, peak_memory_mb, versions
from recipes.reports.run_report import write_report
from recipes.scoring import (
    DecodedUtterance,
    RunSummary,
    SplitResult,
    Transcription,
    decoded_file,
    decoded_utterances,
    read_pairs,
    score_split,
    table,
    write_alignments,
)
from recipes.training.run_folder import TOKENIZER


def make_brain(recipe: Recipe, run_options, checkpointer=None) -> ASR:
    """The Brain of a recipe. Raises RecipeError for run options that do not fit the machine."""
    try:
        return ASR(
            modules={"model": recipe.hparams["model"]},
            opt_class=recipe.hparams["opt_class"],
            hparams=recipe.hparams,
            run_opts=run_options,
            checkpointer=checkpointer,
        )
    except (ValueError, RuntimeError, SystemExit) as error:
        raise RecipeError(f"{recipe.path}: {str(error).splitlines()[0]}") from None


def load_lm(brain: ASR, folder: str | None, run: Path) -> None:
    """Give the Brain's test search the language model in ``folder``; None: none.

    Raises RecipeError for a folder without a language model, and for one that does not fit recogniser or search.
    """
    if folder is None:
        return
    search = brain.hparams.test_search
    if search is not None and not search.takes_lm:
        raise RecipeError(f"{type(search).__name__} takes no language model: give --lm_folder null")
    lm, outputs = load_language_model(Path(str(folder)), run / TOKENIZER), brain.model.ctc.out_features
    if lm.vocab_size != outputs:
        raise RecipeError(
            f"the language model in {folder} has {lm.vocab_size} outputs and the recogniser {outputs}: train it with "
            f"--vocab_size {outputs}"
        )
    brain.lm = lm.to(brain.device)


def decode(
    brain: ASR, split: str, manifest: Path, root: Path, hparams: dict
) -> tuple[list[Transcription], SplitResult]:
    """Transcriptions and errors of one split, with the weights that the Brain's model has."""
    dataset = data.utterances(manifest, root, data.AudioReader(), brain.tokenizer)
    loading = data.test_loading(dataset, batch_seconds=hparams["test_batch_seconds"], workers=hparams["workers"])
    start = time.monotonic()
    try:
        transcriptions = brain.transcribe(dataset, split, **loading)
    except torch.OutOfMemoryError:
        raise RecipeError(
            f"{brain.device} has too little memory for the search: lower --test_batch_seconds "
            f"({hparams['test_batch_seconds']}) or the beam, and test again: nothing of the training is lost"
        ) from None
    seconds = time.monotonic() - start
    audio = sum(float(row["duration"]) for row in read_manifest(manifest))
    result = score_split(transcriptions, read_pairs(root))
    speed = {"audio_seconds": round(audio, 1), "decode_seconds": round(seconds, 2), "rtf": round(seconds / audio, 5)}
    return transcriptions, replace(result, **speed)


def decode_splits(
    brain: ASR, prepared: Prepared, hparams: dict, folder: Path, nbest: int = 1
) -> dict[str, SplitResult]:
    """Decode every test split of ``prepared``; writes transcripts and alignments into ``folder``, returns errors."""
    results = {}
    for split, manifest in prepared.test.items():
        transcriptions, results[split] = decode(brain, split, manifest, prepared.root, hparams)
        if if_main_process():
            write_alignments(transcriptions, folder / f"wer_{split}.txt")
            utterances = decoded_utterances(transcriptions, manifest, prepared.root, folder, nbest)
            DecodedUtterance.write_all(utterances, decoded_file(folder, split))
    return results


def summarise(recipe: Recipe, brain: ASR, splits: dict[str, SplitResult], folder: Path, **more) -> RunSummary:
    """Write ``summary.json`` and ``report.html`` into ``folder``, show the table; returns the summary."""
    summary = RunSummary(
        recipe=recipe.name,
        mixer=recipe.hparams["mixer_name"],
        seed=recipe.hparams["seed"],
        splits=splits,
        parameters=parameter_count(brain.model),
        **more,
        peak_memory_mb=peak_memory_mb(brain.device),
        device=str(brain.device),
        versions=versions(),
        commit=commit(),
        recipe_hash=recipe.hash,
    )
    if if_main_process():
        summary.write(folder)
    if splits:
        brain.journal.say(table(splits))
        if if_main_process():
            brain.journal.say(f"report: {write_report(folder)}")
    return summary
