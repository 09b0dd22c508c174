"""Checkpoints that survive a kill at any moment."""

import errno
import os
import shutil
import time
from pathlib import Path

from speechbrain.core import INTRA_EPOCH_CKPT_FLAG
from speechbrain.utils.checkpoints import (
    Checkpoint,
    Checkpointer,
    ckpt_recency,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
)
from speechbrain.utils.distributed import ddp_barrier

from recipes.errors import RecipeError
from recipes.training.processes import on_main_process

UNFINISHED = "saving+"


class AtomicCheckpointer(Checkpointer):
    """SpeechBrain's Checkpointer, except that a checkpoint appears all at once.

    The stock checkpointer writes its index file first, so that a kill during a save leaves a folder that looks like a
    checkpoint and breaks the next resume. Here a checkpoint is written under another name, which the search for
    checkpoints passes over, and renamed when complete.
    """

    def __init__(self, checkpoints_dir: Path, recoverables: dict | None = None):
        super().__init__(checkpoints_dir, recoverables)
        on_main_process(self.remove_unfinished)

    def remove_unfinished(self) -> None:
        """What a kill or a full disk left of a save."""
        for leftover in self.checkpoints_dir.glob(f"{UNFINISHED}*"):
            shutil.rmtree(leftover, ignore_errors=True)

    def _new_checkpoint_dirpath(self) -> Path:
        final = super()._new_checkpoint_dirpath()
        return final.with_name(UNFINISHED + final.name)

    def save_checkpoint(self, meta=None, end_of_epoch=True, name=None, verbosity=10):
        """As the stock method. Raises RecipeError when the disk is full; every older checkpoint is kept."""
        try:
            saved = super().save_checkpoint(meta or {}, end_of_epoch, name, verbosity)
            if saved is not None:
                saved = publish(saved)
        except (OSError, RuntimeError) as error:
            if not is_failed_write(error):
                raise
            self.remove_unfinished()
            raise RecipeError(
                f"no disk space left for a checkpoint in {self.checkpoints_dir}: the last complete one is kept; "
                "free some space and give the same command again to go on from it"
            ) from None
        ddp_barrier()  # no process may look for checkpoints before the rename
        return saved

    def save_epoch(self, keep_best: int, keep_last: int = 1, **measure: float) -> None:
        """Save the end of an epoch with its `measure` in validation (`WER=5.0`), the less the better.

        Kept are the `keep_best` checkpoints of the lowest measure and the `keep_last` newest, none from within epochs.
        """
        (name,) = measure
        self.save_checkpoint(meta=measure)
        by_age = sorted(self.list_checkpoints(), key=ckpt_recency)
        newest = {checkpoint.path for checkpoint in by_age[-max(keep_last, 1) :]}
        self.delete_checkpoints(
            num_to_keep=keep_best,
            min_keys=[name],
            importance_keys=[],
            verbosity=10,
            ckpt_predicate=lambda checkpoint: checkpoint.path not in newest,
        )
        self.delete_checkpoints(
            num_to_keep=0,
            importance_keys=[ckpt_recency],
            verbosity=10,
            ckpt_predicate=lambda checkpoint: INTRA_EPOCH_CKPT_FLAG in checkpoint.meta,
        )


def publish(saved: Checkpoint) -> Checkpoint:
    """Give a complete checkpoint its real name, once its bytes are on the disk."""
    for file in saved.path.iterdir():
        with open(file, "rb") as opened:
            os.fsync(opened.fileno())
    final = saved.path.with_name(saved.path.name.removeprefix(UNFINISHED))
    os.replace(saved.path, final)
    return Checkpoint(final, saved.meta, {name: final / path.name for name, path in saved.paramfiles.items()})


def is_failed_write(error: Exception) -> bool:
    # torch.save turns the system's "no space left" into a RuntimeError of its archive writer.
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "PytorchStreamWriter" in str(error) or "inline_container" in str(error)


@register_checkpoint_hooks
class Clock:
    """Seconds of training so far, over all the resumptions of a run."""

    def __init__(self):
        self.earlier, self.start = 0.0, time.monotonic()

    def seconds(self) -> float:
        return self.earlier + time.monotonic() - self.start

    @mark_as_saver
    def save(self, path):
        Path(path).write_text(str(self.seconds()), encoding="utf-8")

    @mark_as_loader
    def load(self, path, end_of_epoch):
        self.earlier, self.start = float(Path(path).read_text(encoding="utf-8")), time.monotonic()
