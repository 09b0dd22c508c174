"""What the encoder may see in training and in a test, as the recipe's keys say."""

from collections.abc import Mapping
from pathlib import Path

from mixers import Context
from recipes.errors import RecipeError
from recipes.models import DynamicChunks


def tested_context(hparams: Mapping) -> Context | None:
    """The context of `test_chunk` and `test_left_chunks`. None: whole utterances, also if there is no such key."""
    chunk = hparams.get("test_chunk")
    return None if chunk is None else Context(chunk, hparams.get("test_left_chunks"))


def check_contexts(path: Path, hparams: Mapping) -> None:
    """Raises RecipeError, one line, where the model cannot do what `streaming` or `test_chunk` ask for."""
    streaming = hparams.get("streaming")
    if not isinstance(streaming, DynamicChunks | None):
        raise RecipeError(
            f"{path}: streaming must be !new:recipes.models.DynamicChunks, not {type(streaming).__name__}"
        )
    if hparams.get("test_left_chunks") is not None and hparams.get("test_chunk") is None:
        raise RecipeError(f"{path}: test_left_chunks counts chunks of test_chunk frames: give --test_chunk too")
    asked = [key for key in ("streaming", "test_chunk") if hparams.get(key) is not None]
    if not asked:
        return
    try:
        hparams["model"].check_streaming()
    except ValueError as error:
        null = " ".join(f"--{key} null" for key in asked)
        raise RecipeError(f"{path}: {asked[0]}: {error}; give {null}, or another --mixer") from None
