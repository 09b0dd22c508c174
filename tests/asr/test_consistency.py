"""CR-CTC: the consistency of two views, against its written-out form, and in training."""

import math

import pytest
import torch

from recipes.asr import ASRBrain
from recipes.asr.data import Batch
from recipes.asr.loss import joint_loss
from recipes.models.encoder import Encoded
from recipes.models.recogniser import Output
from tests.support.runs import epochs, same_weights, small_corpus, summary, train

TOKENS, LENGTHS = torch.tensor([[3, 4], [4, 0]]), torch.tensor([2, 1])
FRAMES, VOCAB = torch.tensor([4, 3]), 5
BATCH = Batch(["a", "b"], torch.zeros(2, 1), torch.ones(2), TOKENS, LENGTHS, ["A B", "B"]).repeated(2)


def two_views(decoder: bool = True) -> Output:
    torch.manual_seed(0)
    encoded = Encoded(torch.zeros(4, 4, 1), FRAMES.repeat(2))
    logits = torch.randn(4, 4, VOCAB, dtype=torch.float64, requires_grad=True)
    return Output(encoded, logits, torch.randn(4, 3, VOCAB) if decoder else None)


def divergence(target: torch.Tensor, own: torch.Tensor) -> float:
    """D(target || own) of two distributions, number by number."""
    return sum(p * math.log(p / q) for p, q in zip(target.tolist(), own.tolist(), strict=True))


def written_out(output: Output) -> float:
    """Half of both divergences, summed over the frames of an utterance; the mean over the utterances."""
    shares, total = output.ctc_logits.softmax(-1), 0.0
    for utterance in range(2):
        for frame in range(FRAMES[utterance]):
            a, b = shares[utterance, frame], shares[utterance + 2, frame]
            total += (divergence(b, a) + divergence(a, b)) / 2
    return total / 2


@pytest.mark.parametrize("decoder", [True, False], ids=["joint", "ctc-alone"])
def test_loss_is_its_definition(decoder):
    """The losses of both views averaged, and 0.2 of how far their CTC distributions are apart."""
    output = two_views(decoder)
    weights = {"ctc_weight": 0.3, "label_smoothing": 0.1}
    plain = joint_loss(output, BATCH, **weights)
    loss = joint_loss(output, BATCH, **weights, consistency_weight=0.2)
    assert loss.consistency.item() == pytest.approx(written_out(output), rel=1e-5)
    regularised = plain.joint + (0.3 if decoder else 1.0) * 0.2 * loss.consistency
    torch.testing.assert_close(loss.joint, regularised)
    assert list(loss.parts()) == ["ctc_loss", *(["attention_loss"] if decoder else []), "consistency_loss"]
    of_each = []
    for rows in (slice(0, 2), slice(2, 4)):
        view = Output(Encoded(*(part[rows] for part in output.encoded)), output.ctc_logits[rows], None)
        batch = Batch(BATCH.ids[:2], BATCH.audio[:2], BATCH.lengths[:2], TOKENS, LENGTHS, BATCH.words[:2])
        of_each.append(joint_loss(view, batch, **weights).ctc)
    torch.testing.assert_close(plain.ctc, sum(of_each) / 2)


def test_each_view_is_drawn_to_the_other_which_stays():
    """The gradient of a KL divergence to a fixed target: own share minus target, over real frames alone."""
    output = two_views(decoder=False)
    (gradient,) = torch.autograd.grad(
        joint_loss(output, BATCH, ctc_weight=1, label_smoothing=0, consistency_weight=1.0).consistency,
        output.ctc_logits,
    )
    shares = output.ctc_logits.softmax(-1)
    expected = (shares - shares.roll(2, 0)) / 4
    expected[1::2, 3:] = 0  # padding
    torch.testing.assert_close(gradient, expected, atol=1e-6, rtol=1e-5)


def test_equal_views_are_consistent():
    output = two_views(decoder=False)
    equal = output._replace(ctc_logits=output.ctc_logits[:2].repeat(2, 1, 1))
    assert joint_loss(equal, BATCH, ctc_weight=1, label_smoothing=0, consistency_weight=0.2).consistency.abs() < 1e-9


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


OPTIONS = "--number_of_epochs 2 --consistency_weight 0.2 --model.augment.time_masks 2".split()


@pytest.fixture(scope="module")
def unbroken(corpus, tmp_path_factory):
    """A run of two epochs in one go."""
    folder = tmp_path_factory.mktemp("runs") / "unbroken"
    assert train(corpus, folder, *OPTIONS) == 0
    return folder


def test_training_logs_the_loss_and_validation_has_none(unbroken):
    for epoch in epochs(unbroken):
        assert 0 < epoch.metrics["train_consistency_loss"] < float("inf")
        assert "valid_consistency_loss" not in epoch.metrics
    assert summary(unbroken).splits["test-clean"].utterances == 3


def test_a_stopped_run_goes_on_bit_for_bit(corpus, unbroken, tmp_path, monkeypatch):
    fit_group = ASRBrain.fit_group

    def stop_in_second_epoch(brain, group, steps):
        fit_group(brain, group, steps)
        if brain.epoch == 2:
            brain.stop.signal_name = "the test"

    with monkeypatch.context() as patch:
        patch.setattr(ASRBrain, "fit_group", stop_in_second_epoch)
        assert train(corpus, tmp_path, *OPTIONS) != 0
    assert train(corpus, tmp_path, *OPTIONS) == 0
    assert same_weights(tmp_path, unbroken)
