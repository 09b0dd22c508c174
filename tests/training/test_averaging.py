"""Which checkpoints an average is taken of, and the average itself."""

import shutil

import pytest
import torch
from speechbrain.core import INTRA_EPOCH_CKPT_FLAG
from speechbrain.utils.epoch_loop import EpochCounter

from mixers import MIXERS, build
from recipes.errors import RecipeError
from recipes.training.averaging import average_checkpoints, choose_checkpoints, epoch_of, mean_of
from recipes.training.checkpoints import AtomicCheckpointer
from recipes.training.tensors import save_weights
from tests.support.checkpoints import Run, names, room_for


@pytest.fixture
def trained(tmp_path):
    """Five epochs, the model being their number, and one checkpoint from within a sixth."""
    run, counter = Run(tmp_path), EpochCounter(6)
    run.checkpointer.add_recoverable("epoch", counter)
    for epoch, wer in zip(counter, [50.0, 30.0, 40.0, 20.0, 60.0], strict=False):
        run.set(epoch)
        run.checkpointer.save_epoch(keep_best=10, WER=wer)
    run.set(99.0)
    run.checkpointer.save_checkpoint(end_of_epoch=False, meta={INTRA_EPOCH_CKPT_FLAG: True})
    return run


@pytest.mark.parametrize(
    "which, epochs",
    [
        ("best-1", [4]),
        ("best-2", [2, 4]),
        ("best-50", [1, 2, 3, 4, 5]),
        ("last-1", [5]),
        ("last-2", [4, 5]),
        ("2-4", [2, 3, 4]),
        ("3", [3]),
        ("4-99", [4, 5]),
    ],
)
def test_average_of_the_chosen(trained, tmp_path, which, epochs):
    before = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()}
    chosen = choose_checkpoints(trained.checkpointer, which)
    assert [epoch_of(checkpoint) for checkpoint in chosen] == epochs
    average = average_checkpoints(trained.checkpointer, which)
    assert average.epochs == epochs
    assert average.weights["weight"].item() == pytest.approx(sum(epochs) / len(epochs))
    assert {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file()} == before


def test_measures_on_other_data_are_not_compared(tmp_path):
    """The validation data became harder after the third epoch; checkpoints of earlier versions do not tell theirs."""
    run, counter = Run(tmp_path), EpochCounter(6)
    run.checkpointer.add_recoverable("epoch", counter)
    data = [None, "easy", "easy", "hard", "hard", "hard"]
    for epoch, of_data, wer in zip(counter, data, [12.0, 9.0, 8.0, 30.0, 26.0, 27.0], strict=True):
        run.set(epoch)
        run.checkpointer.validated_on = of_data
        run.checkpointer.save_epoch(keep_best=3, WER=wer)
    assert average_checkpoints(run.checkpointer, "best-2").epochs == [1, 5]
    assert average_checkpoints(run.checkpointer, "best-9").epochs == [1, 4, 5, 6], "what was kept of the same data"


def test_tied_weights_are_averaged_once(tmp_path):
    """A tensor with two names, as in Fastformer and tied HyperMixing."""
    model = torch.nn.ModuleDict({name: torch.nn.Linear(2, 2) for name in ("first", "second")})
    model["second"].weight = model["first"].weight
    checkpointer, epochs = AtomicCheckpointer(tmp_path, {"model": model}), EpochCounter(3)
    checkpointer.add_recoverable("epoch", epochs)
    for epoch in epochs:
        torch.nn.init.constant_(model["first"].weight, epoch)
        checkpointer.save_epoch(keep_best=3, WER=50.0)
    weights = average_checkpoints(checkpointer, "last-3").weights
    assert weights["first.weight"].tolist() == weights["second.weight"].tolist() == [[2.0, 2.0], [2.0, 2.0]]


def test_integers_are_those_of_the_newest():
    states = [{"small": torch.tensor([100, 200], dtype=torch.uint8), "is_on": torch.tensor(True)} for _ in range(3)]
    states[-1]["small"][1] = 201
    mean = mean_of(iter(states))
    assert (
        mean["small"].tolist() == [100, 201]
        and mean["small"].dtype == torch.uint8
        and mean["is_on"].dtype == torch.bool
    )


@pytest.mark.parametrize("mixer, options", [*((name, {}) for name in MIXERS), ("hypermixing", {"tied": True})])
def test_equal_checkpoints_are_their_average(tmp_path, mixer, options):
    model = build(mixer, 8, **options)
    checkpointer, epochs = AtomicCheckpointer(tmp_path, {"model": model}), EpochCounter(3)
    checkpointer.add_recoverable("epoch", epochs)
    for _ in epochs:
        checkpointer.save_epoch(keep_best=3, WER=50.0)
    weights = average_checkpoints(checkpointer, "last-3").weights
    torch.testing.assert_close(weights, dict(model.state_dict()), rtol=1e-6, atol=0)


@pytest.mark.parametrize("which", ["best", "best-0", "worst-3", "0", "a-b", "-3", ""])
def test_averages_that_there_are_not(trained, which):
    with pytest.raises(RecipeError) as error:
        choose_checkpoints(trained.checkpointer, which)
    assert str(error.value) == f"there is no average '{which}': say best-5, last-5, or a range of epochs, 3-7"


def test_epochs_that_were_not_kept(trained, tmp_path):
    with pytest.raises(RecipeError) as error:
        choose_checkpoints(trained.checkpointer, "7-9")
    assert str(error.value) == f"no checkpoint of epochs 7-9 in {tmp_path}; kept are those of 1, 2, 3, 4, 5"


def test_the_last_ones_can_be_kept_too(tmp_path):
    run = Run(tmp_path)
    for epoch, wer in enumerate([10.0, 50.0, 40.0, 30.0, 60.0]):
        run.set(epoch)
        run.checkpointer.save_epoch(keep_best=1, keep_last=3, WER=wer)
    kept = sorted(checkpoint.meta["WER"] for checkpoint in run.checkpointer.list_checkpoints())
    assert kept == [10.0, 30.0, 40.0, 60.0]


def test_of_equal_epochs_the_newer_are_averaged_as_they_are_kept(tmp_path, monkeypatch):
    """So that a kill between the save and the clearing up changes nothing."""
    run, counter = Run(tmp_path), EpochCounter(9)
    run.checkpointer.add_recoverable("epoch", counter)
    chosen = []
    for clearing in (False, True):
        with monkeypatch.context() as patch:
            if not clearing:
                patch.setattr(AtomicCheckpointer, "delete_superseded", lambda checkpointer: None)
            for _, wer in zip(counter, [30.0, 20.0, 20.0, 20.0, float("nan")], strict=False):
                run.checkpointer.save_epoch(keep_best=2, WER=wer)
        chosen.append(average_checkpoints(run.checkpointer, "best-2").epochs)
        for path in tmp_path.iterdir():
            shutil.rmtree(path)
        counter.current = 0
    assert chosen == [[3, 4], [3, 4]]


def test_average_equals_the_mean_of_every_weight(tmp_path):
    torch.manual_seed(0)
    model, saved = torch.nn.Sequential(torch.nn.Linear(3, 4), torch.nn.LayerNorm(4)), []
    checkpointer = AtomicCheckpointer(tmp_path, {"model": model, "epoch": EpochCounter(3)})
    for wer in (3.0, 1.0, 2.0):
        with torch.no_grad():
            for parameter in model.parameters():
                parameter.normal_()
        saved.append({name: value.clone() for name, value in model.state_dict().items()})
        checkpointer.save_epoch(keep_best=3, WER=wer)
    weights = average_checkpoints(checkpointer, "best-2").weights
    for name, value in weights.items():
        torch.testing.assert_close(value, (saved[1][name] + saved[2][name]) / 2)


def test_no_finished_epoch_to_average(tmp_path):
    run = Run(tmp_path)
    run.checkpointer.save_checkpoint(end_of_epoch=False, meta={INTRA_EPOCH_CKPT_FLAG: True})
    with pytest.raises(RecipeError) as error:
        choose_checkpoints(run.checkpointer, "best-3")
    assert str(error.value) == f"no finished epoch in {tmp_path}: train before testing"


def test_weights_are_replaced_as_a_whole(tmp_path):
    path = tmp_path / "averaged.ckpt"
    save_weights({"a": torch.ones(3)}, path)
    with pytest.raises(RecipeError) as error, room_for(2000):
        save_weights({"a": torch.zeros(10_000)}, path)
    assert str(error.value) == f"no disk space left for {path}: free some space and give the same command again"
    assert torch.equal(torch.load(path)["a"], torch.ones(3))
    assert names(tmp_path) == ["averaged.ckpt"]
