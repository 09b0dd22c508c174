"""Which folder an evaluation writes into, and when it may take one away."""

from types import SimpleNamespace

import pytest
import torch

from recipes.asr.evaluate import Evaluation
from recipes.asr.identity import Identity
from recipes.errors import RecipeError


def test_a_folder_that_another_evaluation_has_just_made_stays(tmp_path):
    """Two commands started at once: neither sees a folder, one locks it, and the other is refused."""
    evaluation = object.__new__(Evaluation)
    evaluation.folder = tmp_path / "out"

    def refused(stack):
        evaluation.folder.mkdir()
        (evaluation.folder / "log.txt").write_text("of the other")
        raise RecipeError("another evaluation is going on there")

    evaluation.take_folder = refused
    with pytest.raises(RecipeError):
        evaluation.__enter__()
    assert (evaluation.folder / "log.txt").exists()


def test_the_same_epochs_of_another_training_are_other_weights(monkeypatch):
    monkeypatch.setattr(Identity, "content", {})

    def settings(number: float) -> str:
        identity = object.__new__(Identity)
        weights = {"a": torch.tensor(number)}
        identity.run = SimpleNamespace(which="last-2", weights_name="average of epochs 9, 10", weights=weights)
        identity.files, identity.other_root, identity.eval_precision = {}, None, "fp32"
        return identity.settings()

    assert settings(1.0) == settings(1.0) != settings(2.0)
