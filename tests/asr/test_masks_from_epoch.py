"""When SpecAugment begins: not before the epoch that the recipe names."""

import pytest

from recipes.asr import ASRBrain
from tests.support.runs import small_corpus, train


@pytest.mark.parametrize("begins, masked", [(1, [True, True]), (2, [False, True])])
def test_masks_begin_with_the_epoch_of_the_recipe(tmp_path, monkeypatch, begins, masked):
    """The rest of the model is in training from the first step, and the masks are off again in validation."""
    seen, fit_group, evaluate_batch = {}, ASRBrain.fit_group, ASRBrain.evaluate_batch

    def watched(brain, group, steps):
        seen.setdefault(brain.epoch, set()).add((brain.model.augment.training, brain.model.encoder.training))
        fit_group(brain, group, steps)

    def watched_evaluation(brain, batch, stage):
        assert not brain.model.augment.training and not brain.model.encoder.training
        return evaluate_batch(brain, batch, stage)

    monkeypatch.setattr(ASRBrain, "fit_group", watched)
    monkeypatch.setattr(ASRBrain, "evaluate_batch", watched_evaluation)
    corpus = small_corpus(tmp_path / "corpus")
    assert train(corpus, tmp_path / "run", "--number_of_epochs", "2", "--masks_from_epoch", str(begins)) == 0
    assert seen == {epoch: {(active, True)} for epoch, active in enumerate(masked, start=1)}
