"""Checkpoints that survive a kill at any moment, and are not trusted before they are found intact."""

import logging
import os
import shutil
import time
from collections.abc import Callable, Iterable
from pathlib import Path

from speechbrain.core import INTRA_EPOCH_CKPT_FLAG
from speechbrain.utils.checkpoints import (
    DEFAULT_LOAD_HOOKS,
    Checkpoint,
    Checkpointer,
    ckpt_recency,
    get_default_hook,
    mark_as_loader,
    mark_as_saver,
    register_checkpoint_hooks,
    torch_recovery,
)
from speechbrain.utils.distributed import ddp_barrier
from torch import nn
from torch.optim import Optimizer

from recipes.errors import RecipeError, is_of_the_machine, ran_out_of_memory
from recipes.training.integrity import CHECKSUMS, DamagedCheckpoint, check_files, epoch_of, sync, write_checksums
from recipes.training.processes import gathered, on_main_process
from recipes.training.run_folder import DAMAGED
from recipes.training.stored_checkpoints import VALIDATED_ON, StoredCheckpoints, best_first, read_state, show_warning
from recipes.training.tensors import is_failed_write, nonfinite

# Before the name of a checkpoint that is still being written, or that is being deleted; as DAMAGED.
UNFINISHED, DELETED = "saving+", "deleting+"


class AtomicCheckpointer(StoredCheckpoints, Checkpointer):
    """SpeechBrain's Checkpointer, whose checkpoints exist completely or not at all, and are verified before use.

    The stock checkpointer writes its index file first. A kill during a save then leaves a folder that looks like a
    checkpoint and breaks the next resume. Here a checkpoint is written under another name, which the search for
    checkpoints ignores, and renamed when it is complete. It is renamed again before it is deleted.

    A checkpoint holds checksums of its files. If these do not match, or a tensor is not finite, it is set aside
    (renamed, never deleted) and an older one is used. Weights that are not finite are not saved.

    Only one process at a time may have a checkpointer for a folder. warn: shows a line to the user.
    """

    def __init__(
        self,
        checkpoints_dir: Path,
        recoverables: dict | None = None,
        *,
        warn: Callable[[str], None] = show_warning,
    ):
        Checkpointer.__init__(self, checkpoints_dir, recoverables)
        self.warn, self.left_out = warn, set()
        self.validated_on: str | None = None  # the digest of the validation data
        on_main_process(self.clean_up)

    def clean_up(self) -> None:
        """Remove what a kill or a full disk left: unfinished, broken and superseded checkpoints."""
        self.remove_unfinished()
        self.set_aside_broken()
        self.delete_superseded()

    def remove_unfinished(self) -> None:
        for kind in (UNFINISHED, DELETED):
            for leftover in self.checkpoints_dir.glob(f"{kind}*"):
                shutil.rmtree(leftover, ignore_errors=True)

    # --- saving ---------------------------------------------------------------------------------------------

    def save_checkpoint(self, meta=None, end_of_epoch=True, name=None, verbosity=logging.DEBUG):
        """As the stock method. Raises RecipeError if the disk is full or weights are not finite.

        In both cases all older checkpoints are kept.
        """
        self.check_finite()
        try:
            meta = {"unixtime": self.next_time(), **(meta or {}), "checksums": CHECKSUMS}
            saved = super().save_checkpoint(meta, end_of_epoch, name, verbosity)
            if saved is not None:
                saved = publish(saved)
        except (OSError, RuntimeError) as error:
            if not is_failed_write(error):
                raise
            self.remove_unfinished()
            kept = "there is none before it" if self.find_checkpoint() is None else "the last complete one is kept"
            raise RecipeError(
                f"no disk space left for a checkpoint in {self.checkpoints_dir}: {kept}; free some space and give the "
                "same command again to go on"
            ) from None
        ddp_barrier()  # no process may look for checkpoints before the rename
        return saved

    def _new_checkpoint_dirpath(self) -> Path:
        final = super()._new_checkpoint_dirpath()
        return final.with_name(UNFINISHED + final.name)

    def next_time(self) -> float:
        """Unix time, later than that of every checkpoint: the clock of another machine may have been ahead."""
        newest = self.find_checkpoint()
        return time.time() if newest is None else max(time.time(), newest.meta["unixtime"] + 0.001)

    def check_finite(self) -> None:
        """Raises RecipeError where a weight, or what the optimizer keeps for it, is NaN or infinite."""
        for name, part in self.recoverables.items():
            bad = nonfinite(part.state_dict()) if isinstance(part, (nn.Module, Optimizer)) else None
            if bad is not None:
                newest = self.find_checkpoint()
                kept = f"the last good checkpoint is {newest.path}" if newest else "there is no earlier checkpoint"
                raise RecipeError(
                    f"training has diverged: {bad} of the {name} is not finite, and is not saved; {kept}; start anew "
                    "with a lower lr or more warmup_steps, in another --output_folder"
                )

    def save_epoch(self, keep_best: int, keep_last: int = 1, **measure: float) -> None:
        """Save the end of an epoch with its `measure` in validation (`WER=5.0`), of which less is better.

        The `keep_last` newest are kept, and of the others the `keep_best` with the lowest measure (the newer of equal
        ones; those that were measured on other data come last). If the newest is damaged, there is still one to go on
        from. Checkpoints from within epochs are deleted.
        """
        (name,) = measure
        of_data = {} if self.validated_on is None else {VALIDATED_ON: self.validated_on}
        self.save_checkpoint({**measure, **of_data, "measure": name, "keep_best": keep_best, "keep_last": keep_last})
        on_main_process(self.delete_superseded)

    def save_and_keep_only(self, meta=None, end_of_epoch=True, name=None, verbosity=logging.DEBUG, **_) -> None:
        """Save within an epoch, as the Brain does, and delete what this supersedes.

        The stock method appends to a list that is its default argument, so each save took longer than the one before.
        Its options of what to keep have no effect here.
        """
        self.save_checkpoint(meta, end_of_epoch, name, verbosity)
        on_main_process(self.delete_superseded)

    def delete_superseded(self) -> None:
        """Delete the checkpoints that are not kept, as `save_epoch` says.

        How many are kept stands in the newest checkpoint of an epoch's end, not in the recipe: the recipe may have
        changed when the next start finishes a deletion that a kill interrupted.
        """
        checkpoints = sorted(self.list_checkpoints(), key=ckpt_recency)
        within = [checkpoint for checkpoint in checkpoints if INTRA_EPOCH_CKPT_FLAG in checkpoint.meta]
        ends = [checkpoint for checkpoint in checkpoints if "keep_best" in checkpoint.meta]
        kept = checkpoints[-1:]
        if ends:
            measure, keep_best, keep_last = (ends[-1].meta[key] for key in ("measure", "keep_best", "keep_last"))
            ends = [checkpoint for checkpoint in checkpoints if measure in checkpoint.meta]
            newest = ends[-max(keep_last, 1) :]
            kept += newest + best_first(ends[: -len(newest)], measure, ends[-1])[:keep_best]
        for checkpoint in within + ends:
            if checkpoint not in kept:
                hidden = checkpoint.path.with_name(DELETED + checkpoint.path.name)
                os.replace(checkpoint.path, hidden)  # a kill leaves nothing that looks like a checkpoint
                shutil.rmtree(hidden, ignore_errors=True)

    # --- reading --------------------------------------------------------------------------------------------

    def newest(self) -> Checkpoint | None:
        """The newest intact checkpoint; damaged newer ones are set aside.

        None if there has been no checkpoint. Raises RecipeError if all are damaged.
        """
        return on_main_process(self._newest)

    def _newest(self) -> Checkpoint | None:
        for checkpoint in self.find_checkpoints():
            try:
                check_files(checkpoint.path)
                if "epoch" in checkpoint.paramfiles:
                    epoch_of(checkpoint)
                return checkpoint
            except DamagedCheckpoint as damage:
                self.set_aside(damage)
        if damaged := self.damaged():
            raise RecipeError(
                f"no checkpoint in {self.checkpoints_dir} can be used any more, {', '.join(damaged)} are damaged: put "
                "a good copy there, or begin anew in another --output_folder"
            )
        return None

    def recover_if_possible(self) -> Checkpoint | None:
        """Load the newest checkpoint that can be used; None where there has been none.

        Damaged ones are set aside. Raises RecipeError where all are damaged, and for an intact one that does not
        fit the recipe.
        """
        return self.recover(self.recoverables)

    def recover(self, names: Iterable[str]) -> Checkpoint | None:
        """As `recover_if_possible`, of these parts alone."""
        while (checkpoint := self.newest()) is not None:
            damage = None
            try:
                for name in names:
                    self.load_part(checkpoint, name)
            except DamagedCheckpoint as error:
                damage = error.reason
            reasons = [reason for reason in gathered([damage]) if reason is not None]
            if not reasons:
                break
            on_main_process(lambda: self.set_aside(DamagedCheckpoint(checkpoint.path, reasons[0])))  # noqa: B023
        return checkpoint

    def load_part(self, checkpoint: Checkpoint, name: str) -> None:
        """Raises DamagedCheckpoint, and RecipeError for tensors of another shape or name."""
        part, file = self.recoverables[name], checkpoint.paramfiles.get(name)
        if file is None:
            if self.optional_recoverables.get(name):  # the scaler, of a run that goes on in another precision
                return
            raise DamagedCheckpoint(checkpoint.path, f"{name} is missing")
        hook = get_default_hook(part, DEFAULT_LOAD_HOOKS)
        if hook is not torch_recovery:
            try:
                hook(part, file, checkpoint.meta["end-of-epoch"])
                return
            except Exception as error:  # these read a small file of text each, and meet garbage with any error
                if is_of_the_machine(error):
                    raise
                raise DamagedCheckpoint(checkpoint.path, f"{file.name} cannot be read") from None
        state = read_state(checkpoint, name)
        try:
            part.load_state_dict(state)
        except Exception as error:
            if ran_out_of_memory(error):
                raise
            reason = str(error).strip().splitlines()[-1].strip()
            raise RecipeError(f"{checkpoint.path}: {file.name} does not fit the recipe: {reason}") from None

    def set_aside(self, damage: DamagedCheckpoint) -> None:
        """Rename a damaged checkpoint, so that an older one is found instead."""
        name, number = DAMAGED + damage.folder.name, 1
        while damage.folder.with_name(name).exists():
            number += 1
            name = f"{DAMAGED}{damage.folder.name}+{number}"
        os.replace(damage.folder, damage.folder.with_name(name))
        self.warn(f"{damage.folder} is damaged, {damage.reason}: it is set aside as {name}, and not used")


def publish(saved: Checkpoint) -> Checkpoint:
    """Give a complete checkpoint its checksums and, once its bytes are on the disk, its real name."""
    write_checksums(saved.path)
    for file in saved.path.iterdir():
        sync(file)
    sync(saved.path)
    final = saved.path.with_name(saved.path.name.removeprefix(UNFINISHED))
    os.replace(saved.path, final)
    sync(final.parent)
    return Checkpoint(final, saved.meta, {name: final / path.name for name, path in saved.paramfiles.items()})


@register_checkpoint_hooks
class Clock:
    """Seconds of training so far, over all the resumptions of a run; not those of preparation and of tests."""

    def __init__(self):
        self.earlier = 0.0
        self.started: float | None = None

    def start(self) -> None:
        self.started = time.monotonic()

    def seconds(self) -> float:
        return self.earlier + (0.0 if self.started is None else time.monotonic() - self.started)

    @mark_as_saver
    def save(self, path):
        Path(path).write_text(str(self.seconds()), encoding="utf-8")

    @mark_as_loader
    def load(self, path, end_of_epoch):
        """It stands still until it is started."""
        self.earlier, self.started = float(Path(path).read_text(encoding="utf-8")), None
