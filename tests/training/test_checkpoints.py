"""Checkpoints that survive a kill and a full disk, which of them are kept, and their average."""

import errno
import os
import signal
import time

import pytest
import torch
from speechbrain.core import INTRA_EPOCH_CKPT_FLAG

from recipes.errors import RecipeError
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.integrity import read_index
from tests.support.checkpoints import Run, names, room_for, saved_once

__all__ = ["saved_once"]  # a fixture


# --- kills --------------------------------------------------------------------------------------------------


def test_a_checkpoint_is_found_and_loaded(saved_once, tmp_path):
    saved_once.set(2.0)
    saved = saved_once.checkpointer.save_checkpoint()
    assert saved.path.is_dir() and all(path.is_file() for path in saved.paramfiles.values())
    assert Run(tmp_path).resumed() == 2.0
    assert len(names(tmp_path)) == 2


def test_an_error_in_the_middle_of_a_save_leaves_the_one_before(saved_once, tmp_path):
    def strike(path):
        raise ZeroDivisionError("a bug")

    before = names(tmp_path)
    saved_once.set(2.0)
    saved_once.trouble.strikes = strike
    with pytest.raises(ZeroDivisionError, match=r"^a bug$"):
        saved_once.checkpointer.save_checkpoint()
    assert len(names(tmp_path)) == 2, "the unfinished one lies beside it"
    assert saved_once.resumed() == 1.0
    assert Run(tmp_path).resumed() == 1.0
    assert names(tmp_path) == before, "and is removed at the next start"


@pytest.mark.parametrize("earlier", [True, False], ids=["after-one", "first-of-all"])
def test_sigkill_in_the_middle_of_a_save_leaves_the_one_before(tmp_path, earlier):
    child = os.fork()
    if child == 0:
        run = Run(tmp_path)
        if earlier:
            run.set(1.0)
            run.checkpointer.save_checkpoint()
        run.set(2.0)
        run.trouble.strikes = lambda path: os.kill(os.getpid(), signal.SIGKILL)
        run.checkpointer.save_checkpoint()
        os._exit(0)
    assert os.WTERMSIG(os.waitpid(child, 0)[1]) == signal.SIGKILL
    assert len(names(tmp_path)) == 1 + earlier
    run = Run(tmp_path)
    assert run.resumed() == (1.0 if earlier else None)
    run.set(3.0)
    run.checkpointer.save_checkpoint()
    assert Run(tmp_path).resumed() == 3.0
    assert len(names(tmp_path)) == 1 + earlier


# --- a full disk --------------------------------------------------------------------------------------------


def write_to_full_device(path):
    with open("/dev/full", "w") as full:
        full.write("no room")


def raise_no_space(path):
    raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC), str(path))


def torch_save_beyond_the_limit(path):
    with room_for(2000):
        torch.save({"large": torch.zeros(10_000)}, path)


FULL = {
    "no space": raise_no_space,
    "file": write_to_full_device,
    "torch.save to a full device": lambda path: torch.save({"large": torch.zeros(10_000)}, "/dev/full"),
    "torch.save beyond a limit": torch_save_beyond_the_limit,
}


@pytest.mark.parametrize("strike", FULL.values(), ids=FULL)
def test_full_disk_is_one_line_and_keeps_the_older_checkpoints(saved_once, tmp_path, strike):
    before = names(tmp_path)
    saved_once.set(2.0)
    saved_once.trouble.strikes = strike
    with pytest.raises(RecipeError) as error:
        saved_once.checkpointer.save_epoch(keep_best=1, WER=50.0)
    assert str(error.value) == (
        f"no disk space left for a checkpoint in {tmp_path}: the last complete one is kept; "
        "free some space and give the same command again to go on"
    )
    assert names(tmp_path) == before, "what was begun gives its room back"
    saved_once.trouble.strikes = lambda path: None
    saved_once.checkpointer.save_checkpoint()
    assert Run(tmp_path).resumed() == 2.0


def test_of_the_first_checkpoint_no_older_one_is_promised(tmp_path):
    run = Run(tmp_path)
    run.trouble.strikes = raise_no_space
    with pytest.raises(RecipeError, match="there is none before it; free some space and give the same command again"):
        run.checkpointer.save_checkpoint()


def test_other_errors_of_a_save_are_not_taken_for_a_full_disk(saved_once):
    def strike(path):
        raise PermissionError(errno.EACCES, "Permission denied", str(path))

    saved_once.trouble.strikes = strike
    with pytest.raises(PermissionError):
        saved_once.checkpointer.save_checkpoint()


# --- which are kept -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("keep_best", [1, 2, 10])
def test_the_best_and_the_newest_are_kept(tmp_path, keep_best):
    run, wers = Run(tmp_path), [50.0, 30.0, 40.0, 20.0, 60.0, 60.0]
    for epoch, wer in enumerate(wers):
        run.set(epoch)
        run.checkpointer.save_epoch(keep_best, WER=wer)
        kept = sorted(checkpoint.meta["WER"] for checkpoint in run.checkpointer.list_checkpoints())
        assert kept[:keep_best] == sorted(wers[: epoch + 1])[:keep_best]
        assert len(kept) <= keep_best + 1
        assert Run(tmp_path).resumed() == epoch, "the newest, from which a run goes on"


def test_checkpoints_from_within_an_epoch_end_with_it(tmp_path):
    """As stock Brain saves them: each replaces the one before; the end of the epoch replaces the last."""

    def save_within(number: float) -> None:
        run.set(number)
        run.checkpointer.save_and_keep_only(
            end_of_epoch=False,
            num_to_keep=1,
            meta={INTRA_EPOCH_CKPT_FLAG: True},
            ckpt_predicate=lambda checkpoint: INTRA_EPOCH_CKPT_FLAG in checkpoint.meta,
        )

    run = Run(tmp_path)
    for epoch, wer in enumerate([50.0, 40.0]):
        save_within(epoch + 0.3)
        save_within(epoch + 0.6)
        assert Run(tmp_path).resumed() == pytest.approx(epoch + 0.6)
        assert len(names(tmp_path)) == epoch + 1
        run.set(epoch + 1)
        run.checkpointer.save_epoch(keep_best=5, WER=wer)
        assert Run(tmp_path).resumed() == epoch + 1
        checkpoints = run.checkpointer.list_checkpoints()
        assert len(checkpoints) == epoch + 1
        assert not any(INTRA_EPOCH_CKPT_FLAG in checkpoint.meta for checkpoint in checkpoints)


def within_epochs(run: Run, saves: int) -> None:
    for _ in range(saves):
        run.checkpointer.save_and_keep_only(end_of_epoch=False, meta={INTRA_EPOCH_CKPT_FLAG: True}, num_to_keep=1)


def test_the_last_of_many_saves_costs_what_the_first_does(tmp_path, monkeypatch):
    """As Brain calls it: nothing that a save leaves makes the next one longer."""
    run, read = Run(tmp_path), []
    monkeypatch.setattr(
        "recipes.training.stored_checkpoints.read_index", lambda folder: read.append(folder) or read_index(folder)
    )
    within_epochs(run, 1)
    (first,) = run.checkpointer.list_checkpoints()
    first_files, reads = names(first.path), []
    for _ in range(49):
        read.clear()
        within_epochs(run, 1)
        reads.append(len(read))
    assert set(reads) == {reads[0]}, "as many files are read in every save that finds an earlier checkpoint"
    (last,) = run.checkpointer.list_checkpoints()
    assert last.meta.keys() == first.meta.keys()
    assert names(last.path) == first_files


def test_a_start_finishes_what_a_kill_left_of_clearing_up(tmp_path, monkeypatch):
    """Killed between the save of an epoch and the deletions, or in the middle of one: the same are left."""
    with monkeypatch.context() as patch:
        patch.setattr(AtomicCheckpointer, "delete_superseded", lambda checkpointer: None)
        killed = Run(tmp_path / "killed")
        within_epochs(killed, 1)
        for wer in [50.0, 20.0, 20.0, 30.0]:
            killed.checkpointer.save_epoch(keep_best=1, WER=wer)
    half = min(killed.checkpointer.checkpoints_dir.iterdir())
    half.rename(half.with_name(f"deleting+{half.name}"))
    unbroken = Run(tmp_path / "unbroken")
    within_epochs(unbroken, 1)
    for wer in [50.0, 20.0, 20.0, 30.0]:
        unbroken.checkpointer.save_epoch(keep_best=1, WER=wer)
    left = Run(tmp_path / "killed").checkpointer
    kept = [checkpoint.meta["WER"] for checkpoint in left.find_checkpoints()]
    assert kept == [checkpoint.meta["WER"] for checkpoint in unbroken.checkpointer.find_checkpoints()] == [30.0, 20.0]
    assert len(names(tmp_path / "killed")) == 2


def test_a_checkpoint_from_within_the_epoch_that_goes_on_stays(tmp_path):
    run = Run(tmp_path)
    run.checkpointer.save_epoch(keep_best=1, WER=20.0)
    within_epochs(run, 2)
    assert len(names(tmp_path)) == 2
    newest = Run(tmp_path).checkpointer.find_checkpoint()
    assert INTRA_EPOCH_CKPT_FLAG in newest.meta


def test_newer_is_what_was_saved_later_whatever_the_clock_says(tmp_path, monkeypatch):
    """The run goes on, on a machine whose clock is an hour behind."""
    run = Run(tmp_path)
    run.set(1.0)
    run.checkpointer.save_epoch(keep_best=2, WER=1.0)
    now = time.time()
    monkeypatch.setattr("time.time", lambda: now - 3600)
    for number in (2.0, 3.0):
        run.set(number)
        run.checkpointer.save_epoch(keep_best=2, WER=number)
        assert Run(tmp_path).resumed() == number


def test_clock_counts_over_all_resumptions(tmp_path, monkeypatch):
    now = 100.0
    monkeypatch.setattr("recipes.training.checkpoints.time.monotonic", lambda: now)
    first = Clock()
    now = 104.0  # the data are prepared
    assert first.seconds() == 0
    first.start()
    now = 111.0
    first.save(tmp_path / "clock")
    now = 5000.0
    second = Clock()
    second.load(tmp_path / "clock", end_of_epoch=False)
    now = 5001.0
    second.start()
    now = 5003.5
    assert second.seconds() == 9.5
    second.load(tmp_path / "clock", end_of_epoch=True)  # for the test, whose time is not the training's
    now = 6000.0
    assert second.seconds() == 7
