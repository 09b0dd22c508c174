"""The training loop on a model of a few numbers: groups of batches, what is not finite, stopping, resuming."""

import json
import os
import signal
from types import SimpleNamespace
from typing import NamedTuple

import pytest
import torch
from speechbrain.utils.epoch_loop import EpochCounter
from speechbrain.utils.run_opts import RunOptions
from torch import nn
from torch.utils.data import DataLoader

from recipes.asr.batches import DurationBatches
from recipes.errors import RecipeError
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.logger import RunLogger
from recipes.training.schedule import linear
from recipes.training.signals import Stop
from recipes.training.trainer import Trainer, groups


class Rows(NamedTuple):
    x: torch.Tensor
    y: torch.Tensor
    ids: list[str]


class Data(torch.utils.data.Dataset):
    """Rows to fit a line to; row number ``bad`` is NaN."""

    def __init__(self, size: int, bad: int | None = None):
        draw = torch.Generator().manual_seed(0)
        self.x, self.y = torch.randn(size, 3, generator=draw), torch.randn(size, 1, generator=draw)
        if bad is not None:
            self.x[bad] = float("nan")

    def __len__(self):
        return len(self.x)

    def __getitem__(self, index):
        return index

    def collate(self, indices: list[int]) -> Rows:
        return Rows(self.x[indices], self.y[indices], [f"row-{index}" for index in indices])


class Toy(Trainer):
    def compute_forward(self, batch, stage):
        return self.modules.model(batch.x)

    def compute_objectives(self, output, batch, stage):
        return (output - batch.y).square().mean()

    def weigh(self, batch):
        return len(batch.ids)

    def name(self, batch):
        return batch.ids

    def on_stage_start(self, stage, epoch=None):
        pass

    def evaluate_batch(self, batch, stage):
        if self.interrupt_validation:
            os.kill(os.getpid(), signal.SIGTERM)
        return super().evaluate_batch(batch, stage)

    interrupt_validation = False

    def end_epoch(self, epoch):
        self.log_epoch(epoch, {})
        self.checkpointer.save_epoch(2, 1, loss=float(epoch))


def toy(folder, data: Data, *, epochs: int = 2, batch: float = 2.0, dropout: float = 0.0, **options) -> Toy:
    """batch: rows of a batch. options: run options."""
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(dropout), nn.Linear(8, 1))
    hparams = {
        "opt_class": lambda parameters: torch.optim.SGD(parameters, lr=0.1),
        "lr": 0.1,
        "lr_schedule": lambda step, total: linear(step, total, warmup_steps=1),
        "seed": 3,
    }
    run_options = RunOptions.from_dictionary({"device": "cpu", "noprogressbar": True, **options})
    counter, clock = EpochCounter(epochs), Clock()
    checkpointer = AtomicCheckpointer(folder / "checkpoints", {"model": model, "epoch": counter, "clock": clock})
    brain = Toy(
        SimpleNamespace(hparams=hparams),
        model,
        run_options,
        logger=RunLogger(folder),
        checkpointer=checkpointer,
        clock=clock,
        epoch_counter=counter,
    )
    brain.batches = DurationBatches([1.0] * len(data), batch, buckets=1, seed=1, even=True)
    return brain


def fit(brain: Toy, data: Data) -> Toy:
    train = DataLoader(data, batch_sampler=brain.batches, collate_fn=data.collate)
    valid = DataLoader(data, batch_size=4, collate_fn=data.collate)
    brain.fit(epoch_counter=brain.epoch_counter, train_set=train, valid_set=valid, progressbar=False)
    return brain


def weights(brain: Toy) -> torch.Tensor:
    return torch.cat([parameter.detach().flatten() for parameter in brain.model.parameters()])


# --- groups -------------------------------------------------------------------------------------------------


def test_groups():
    assert list(groups(range(7), 3)) == [[0, 1, 2], [3, 4, 5], [6]]
    assert list(groups([], 3)) == []


UNEQUAL = [[0, 1, 2], [3], [4, 5], [6, 7, 8, 9], [10], [11]]


def test_accumulation_equals_one_batch_of_the_sum(tmp_path):
    """Batches of a group differ in size; every row counts alike."""
    data, joined = Data(12), [[*range(6)], [*range(6, 12)]]
    ended = []
    for factor, batches in ((3, UNEQUAL), (1, joined)):
        brain = toy(tmp_path / str(factor), data, grad_accumulation_factor=factor)
        brain.batches = FixedBatches(batches)
        ended.append(weights(fit(brain, data)))
    torch.testing.assert_close(*ended, atol=1e-6, rtol=0)


def test_the_last_group_of_an_epoch_may_be_smaller(tmp_path):
    data, joined = Data(12), [[*range(10)], [10, 11]]
    ended = []
    for factor, batches in ((4, UNEQUAL), (1, joined)):
        brain = toy(tmp_path / str(factor), data, grad_accumulation_factor=factor)
        brain.batches = FixedBatches(batches)
        ended.append(weights(fit(brain, data)))
        assert brain.optimizer_step == 4
    torch.testing.assert_close(*ended, atol=1e-6, rtol=0)


class FixedBatches:
    """Batches in a fixed order."""

    epoch = skip = 0

    def __init__(self, batches):
        self.batches = batches

    def total(self):
        return len(self.batches)

    def __len__(self):
        return len(self.batches) - self.skip

    def __iter__(self):
        return iter(self.batches[self.skip :])


def test_more_accumulation_than_batches_still_trains(tmp_path):
    data = Data(6)
    brain = toy(tmp_path, data, epochs=1, grad_accumulation_factor=100)
    before = weights(brain).clone()
    assert fit(brain, data).optimizer_step == 1
    assert not torch.equal(weights(brain), before)


def test_the_rate_ends_with_the_run(tmp_path):
    """Steps are counted as they are taken, whatever the group."""
    data = Data(11)
    brain = fit(toy(tmp_path, data, epochs=3, grad_accumulation_factor=4), data)
    assert brain.optimizer_step == 3 * 2
    assert brain.optimizer.param_groups[0]["lr"] == 0.0


def test_train_loss_is_the_mean_over_rows(tmp_path):
    """Batches of 3, 3 and 1 rows: the small one counts a third as much; the rate is zero, so nothing moves."""
    data = Data(7)
    brain = toy(tmp_path, data, epochs=1, batch=3.0)
    brain.hparams.lr = 0.0
    fit(brain, data)
    expected = (brain.model(data.x) - data.y).square().mean().item()
    assert brain.train_metrics["train_loss"] == pytest.approx(expected, rel=1e-6)


# --- what is not finite -------------------------------------------------------------------------------------


def test_a_batch_that_is_not_finite_is_skipped_and_named(tmp_path, capsys):
    data = Data(12, bad=5)
    brain = fit(toy(tmp_path, data), data)
    printed = capsys.readouterr().out
    assert weights(brain).isfinite().all()
    assert brain.optimizer_step == 2 * 6 - 2
    skips = [line for line in printed.splitlines() if "skipped" in line]
    assert len(skips) == 2 and all("row-5" in line and "is not finite" in line for line in skips)
    assert brain.train_metrics["skipped_steps"] == 1
    assert brain.train_metrics["train_loss"] < float("inf")


def test_too_many_in_a_row_end_the_run_with_the_last_good_checkpoint_named(tmp_path):
    data = Data(12)
    first = fit(toy(tmp_path, data, epochs=1), data)
    kept = first.checkpointer.find_checkpoint().path
    data.x[:] = float("nan")
    second = toy(tmp_path, data, epochs=2)
    with pytest.raises(RecipeError) as refusal:
        fit(second, data)
    assert "4 steps in a row were not finite" in str(refusal.value) and str(kept) in str(refusal.value)
    assert weights(second).isfinite().all()


def test_float16_that_does_not_mend_by_a_lower_scale_ends_the_run_too(tmp_path):
    """The scaler halves its scale at each overflow; a gradient that is NaN for another reason stays so."""
    brain = toy(tmp_path, Data(12))
    brain.scaler, brain.epoch = torch.amp.GradScaler("cpu", init_scale=4.0), 1
    brain.scaler.scale(torch.tensor(1.0))  # it knows its scale from the first use on
    finite = [torch.tensor(1.0)]
    brain.skip_step([None], finite)
    assert brain.skipped_in_a_row == 0, "an overflow"
    brain.scaler.update(new_scale=0.5)
    with pytest.raises(RecipeError, match="steps in a row were not finite"):
        for _ in range(10):
            brain.skip_step([None], finite)


def test_noted_values_are_means_over_the_batches_that_counted(tmp_path, monkeypatch):
    """With accumulation too: a batch that is not finite leaves the others of its group in the mean."""
    compute_objectives = Toy.compute_objectives

    def noting(brain, output, batch, stage):
        if brain.modules.training:
            brain.note(constant_loss=torch.tensor(3.0))
        return compute_objectives(brain, output, batch, stage)

    monkeypatch.setattr(Toy, "compute_objectives", noting)
    data = Data(12, bad=5)
    brain = fit(toy(tmp_path, data, epochs=1, grad_accumulation_factor=3), data)
    assert brain.train_metrics["train_constant_loss"] == pytest.approx(3.0)
    assert brain.train_metrics["skipped_steps"] == 1


# --- stopping and resuming ----------------------------------------------------------------------------------


class Killed(BaseException):
    pass


@pytest.mark.parametrize("factor", [1, 3])
@pytest.mark.parametrize("at", [1, 2, 3, 5])
def test_a_resumed_run_ends_as_the_unbroken_one(tmp_path, monkeypatch, at, factor):
    """Stopped by SIGTERM after so many steps; dropout draws, and the mean losses of the log, agree bit for bit."""
    data = Data(17)
    options = {"dropout": 0.5, "epochs": 3, "grad_accumulation_factor": factor}
    unbroken = fit(toy(tmp_path / "unbroken", data, **options), data)

    broken, fit_group = toy(tmp_path / "broken", data, **options), Toy.fit_group

    def stopped(brain, group, total):
        fit_group(brain, group, total)
        if brain.optimizer_step == at:
            os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "fit_group", stopped)
        with pytest.raises(Stop, match=r"stopped by SIGTERM after .*all is saved: give the same command again"):
            fit(broken, data)
    resumed = fit(toy(tmp_path / "broken", data, **options), data)
    assert torch.equal(weights(resumed), weights(unbroken))
    logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("unbroken", "broken")]
    assert [strip(line) for line in logs[0]] == [strip(line) for line in logs[1]]


def strip(line: str) -> dict:
    return {key: value for key, value in json.loads(line).items() if key not in ("time", "seconds")}


def test_a_run_stopped_in_validation_is_saved_and_goes_on_with_it(tmp_path):
    data = Data(8)
    brain = toy(tmp_path / "broken", data)
    brain.interrupt_validation = True
    with pytest.raises(Stop):
        fit(brain, data)
    resumed = fit(toy(tmp_path / "broken", data), data)
    assert torch.equal(weights(resumed), weights(fit(toy(tmp_path / "unbroken", data), data)))


@pytest.mark.parametrize("where", ["in the last step", "in validation"])
def test_a_run_with_a_limit_of_steps_that_is_stopped_after_its_last_one_ends_its_epoch(tmp_path, monkeypatch, where):
    data, options = Data(8), {"epochs": 4, "optimizer_step_limit": 6}  # in the middle of the second epoch
    unbroken, fit_group = fit(toy(tmp_path / "unbroken", data, **options), data), Toy.fit_group
    broken = toy(tmp_path / "broken", data, **options)

    def stopped(brain, group, total):
        fit_group(brain, group, total)
        if brain.optimizer_step == 6:
            if where == "in validation":
                brain.interrupt_validation = True
            else:
                os.kill(os.getpid(), signal.SIGTERM)

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "fit_group", stopped)
        with pytest.raises(Stop):
            fit(broken, data)
    for _ in range(2):  # the second time there is nothing left to do
        resumed = fit(toy(tmp_path / "broken", data, **options), data)
        assert torch.equal(weights(resumed), weights(unbroken))
        logs = [(tmp_path / name / "log.jsonl").read_text().splitlines() for name in ("unbroken", "broken")]
        assert [strip(line) for line in logs[0]] == [strip(line) for line in logs[1]]
        assert len(logs[0]) == 2


def test_a_resumed_run_does_not_read_what_it_passes_over(tmp_path, monkeypatch):
    data, read = Data(12), []
    fit_group, collate = Toy.fit_group, Data.collate

    def killed(trainer, group, total):
        if trainer.progress.batches == 4:
            raise Killed
        return fit_group(trainer, group, total)

    def watched(dataset, rows):
        read.extend(rows)
        return collate(dataset, rows)

    with monkeypatch.context() as patch:
        patch.setattr(Toy, "fit_group", killed)
        with pytest.raises(Killed):
            fit(toy(tmp_path, data, ckpt_interval_steps=1), data)
    monkeypatch.setattr(Data, "collate", watched)
    fit(toy(tmp_path, data, epochs=1), data)
    assert len(read) == 2 * 2 + 12  # two batches were left, then the validation


def test_a_group_of_another_size_is_said(tmp_path, capsys):
    data = Data(12)
    fit(toy(tmp_path, data, epochs=1), data)
    capsys.readouterr()
    brain = fit(toy(tmp_path, data, epochs=2, grad_accumulation_factor=2), data)
    assert "a step is now over 2 batches (1 processes, accumulation 2) and was over 1" in capsys.readouterr().out
    assert brain.optimizer_step == 6 + 3
    assert brain.optimizer.param_groups[0]["lr"] == 0.0


def test_the_parameters_of_all_groups_of_an_optimizer_are_clipped():
    """And one that is not finite, whichever group it is in, keeps the step from being taken."""
    vector, matrix = nn.Parameter(torch.zeros(2)), nn.Parameter(torch.zeros(2, 2))
    optimizer = torch.optim.SGD([{"params": [vector]}, {"params": [matrix]}], lr=1.0)
    skipped = []
    trainer = SimpleNamespace(
        optimizer=optimizer,
        scaler=torch.amp.GradScaler("cpu", enabled=False),
        max_grad_norm=5.0,
        optimizer_step=0,
        progress=SimpleNamespace(optimizer_steps=0),
        skip_step=lambda group, losses: skipped.append(True),
    )
    vector.grad, matrix.grad = torch.ones(2), torch.full((2, 2), 1e4)
    assert Trainer.take_step(trainer, [], []) == pytest.approx(2e4)
    assert matrix.detach().norm() == pytest.approx(5.0) and not skipped
    vector.grad, matrix.grad = torch.ones(2), torch.full((2, 2), float("nan"))
    assert Trainer.take_step(trainer, [], []) is None and skipped and matrix.isfinite().all()
