"""transcribe.py with a trained run: recipe keys and SpeechBrain's run options, as evaluate.py takes them."""

from argparse import Namespace
from collections.abc import Sequence
from pathlib import Path

import torch

from recipes.config.arguments import parse_arguments
from recipes.config.trust import Trust
from recipes.inference.loading import Settings, check_folder, load_model
from recipes.inference.transcriber import BATCH_SECONDS, Transcriber
from recipes.training.run_folder import RECIPE


def load_transcriber(own: Namespace, rest: Sequence[str]) -> Transcriber:
    """own: the options of transcribe.py itself; rest: of the recipe and SpeechBrain. Raises RecipeError, one line."""
    if own.threads is not None:
        torch.set_num_threads(own.threads)
    folder = Path(own.run)
    check_folder(folder)
    arguments = parse_arguments([str(folder / RECIPE), *rest])
    options, trust = arguments.run_options, arguments.source.trust is Trust.ALL
    return Transcriber(
        load_model(folder, Settings(arguments.overrides, own.ngram, own.average, trust)),
        device=options.device if "device" in options.overridden_args else None,
        window=own.window,
        piece=own.piece,
        batch_seconds=own.batch_seconds or BATCH_SECONDS,
        precision=options.eval_precision,
    )
