"""transcribe.py with a trained run. Not by SpeechBrain's command line: it takes most of a second to import."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.config.split import split
from recipes.errors import RecipeError
from recipes.inference.command.options import USAGE
from recipes.inference.recognition.loading import Settings, load_model
from recipes.inference.transcriber import BATCH_SECONDS, Transcriber
from recipes.training.allocator import keep_freed_memory


def load_transcriber(own: Namespace, rest: Sequence[str]) -> Transcriber:
    """own: the options of transcribe.py itself; rest: keys of the recipe. Raises RecipeError, one line."""
    keep_freed_memory()  # a minute of a long recording takes half as long again without
    if own.threads is not None:
        torch.set_num_threads(own.threads)
    unnamed, keys = split(rest, usage=USAGE)
    if unnamed:
        raise RecipeError(f"'{unnamed[0]}' is one argument too many: options come last; usage: {USAGE}")
    settings = Settings(keys, own.ngram, own.average, bool(own.trust))
    return Transcriber(
        load_model(Path(own.run), settings),
        device=own.device,
        window=own.window,
        piece=own.piece,
        batch_seconds=own.batch_seconds or BATCH_SECONDS,
        precision=own.eval_precision or "fp32",
    )
