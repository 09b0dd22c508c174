"""Decode test sets with a trained model, and write what comes of it: for train.py and for evaluate.py."""

import time
from collections.abc import Collection, Mapping
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import NamedTuple

from data_prep.corpus import Prepared
from data_prep.files import checksum
from data_prep.manifest import read_manifest
from recipes.asr import data
from recipes.asr.audio import AudioError, AudioReader
from recipes.asr.brain import ASRBrain
from recipes.asr.utterances import read_utterances
from recipes.config import Recipe
from recipes.errors import RecipeError, ran_out_of_memory
from recipes.reports.run_report import write_report
from recipes.scoring import (
    DecodedUtterance,
    RunSummary,
    SplitResult,
    Transcription,
    alignments_file,
    decoded_file,
    decoded_utterances,
    read_pairs,
    score_normalizer,
    score_split,
    table,
    write_alignments,
)
from recipes.training.experiment import summary_fields
from recipes.training.processes import on_main_process


def check_score_normalizer(hparams: Mapping) -> None:
    """Raises RecipeError where the package of the recipe's score_normalizer is missing."""
    if name := hparams.get("score_normalizer"):
        score_normalizer(name)


def decode(brain: ASRBrain, split: str, manifest: Path, root: Path) -> tuple[list[Transcription], SplitResult]:
    """Transcriptions and errors of one split, with the weights that the Brain's model has.

    Utterances whose audio cannot be read are left out and counted. Raises AudioError where these are many.
    """
    dataset = read_utterances(manifest, root, AudioReader(), brain.tokenizer)
    batch_seconds = brain.hparams.test_batch_seconds
    start = time.monotonic()
    try:
        transcriptions = brain.transcribe(dataset, data.test_batches(dataset, batch_seconds), split)
    except (MemoryError, RuntimeError) as error:
        if not ran_out_of_memory(error):
            raise
        raise RecipeError(
            f"{brain.device} has too little memory for the search: lower --test_batch_seconds "
            f"({batch_seconds}) or the beam, and test again: nothing of the training is lost"
        ) from error
    seconds = time.monotonic() - start
    decoded = {transcription.id for transcription in transcriptions}  # with --debug not all
    audio = sum(float(row["duration"]) for row in read_manifest(manifest) if row["ID"] in decoded)
    result = score_split(transcriptions, read_pairs(root), vars(brain.hparams).get("score_normalizer"))
    speed = {"audio_seconds": round(audio, 1), "decode_seconds": round(seconds, 2), "rtf": round(seconds / audio, 5)}
    left_out = len(brain.unusable.utterances)
    return transcriptions, replace(result, **speed, left_out=left_out, manifest=checksum(manifest))


class Decoded(NamedTuple):
    """The errors of each split, and why others have none."""

    splits: dict[str, SplitResult]
    refused: list[AudioError]


def decode_splits(brain: ASRBrain, prepared: Prepared, folder: Path, nbest: int = 1) -> Decoded:
    """Decode every test split of `prepared`; writes transcripts and alignments into `folder`.

    A split is refused where the audio of many of its utterances cannot be read; the others are decoded nevertheless.
    """
    results, refused = {}, []
    for split, manifest in prepared.test.items():
        try:
            transcriptions, results[split] = decode(brain, split, manifest, prepared.root)
        except AudioError as error:
            refused.append(error)
            continue
        on_main_process(partial(write_split, split, transcriptions, manifest, prepared.root, folder, nbest))
    return Decoded(results, refused)


def write_split(
    split: str, transcriptions: list[Transcription], manifest: Path, root: Path, folder: Path, nbest: int
) -> None:
    write_alignments(transcriptions, alignments_file(folder, split))
    utterances = decoded_utterances(transcriptions, manifest, root, folder, nbest)
    DecodedUtterance.write_all(utterances, decoded_file(folder, split))


def summarise(
    recipe: Recipe, brain: ASRBrain, decoded: Decoded, folder: Path, *, seconds: float | None, **fields
) -> RunSummary:
    """Write `summary.json` and `report.html` into `folder`, show the table; returns the summary.

    seconds: of training; fields: others of `RunSummary`. Where a split was refused, raises AudioError after all that.
    """
    splits, remarks = decoded.splits, brain.remarks.counts()
    summary = RunSummary(
        **summary_fields(recipe, brain),
        seconds=seconds,
        mixer=recipe.hparams["mixer_name"],
        splits=splits,
        remarks=remarks,
        **fields,
    )
    on_main_process(lambda: summary.write(folder))
    if splits:
        brain.logger.info(table(splits))
        on_main_process(lambda: brain.logger.info(f"report: {write_report(folder)}"))
    for error in decoded.refused[1:]:
        brain.logger.info(f"error: {error}")
    if decoded.refused:
        raise decoded.refused[0]
    return summary


def remove_other_splits(folder: Path, splits: Collection[str]) -> None:
    """Remove what was decoded of splits that the summary will not name: of an unfinished evaluation, or old weights."""
    for file in (decoded_file, alignments_file):
        kept = {file(folder, split) for split in splits}
        for path in {*folder.glob(file(folder, "*").name)} - kept:
            path.unlink()
