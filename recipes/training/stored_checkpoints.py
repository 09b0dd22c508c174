"""The checkpoints in a folder, read: which there are, which is better, and what to do with a damaged one."""

import sys
from collections.abc import Callable
from pathlib import Path

from speechbrain.utils.checkpoints import CKPT_PREFIX, Checkpoint, ckpt_recency
from torch import Tensor

from recipes.training.integrity import DamagedCheckpoint, check_files, read_index
from recipes.training.run_folder import DAMAGED
from recipes.training.tensors import DamagedFile, nonfinite, read_tensors

VALIDATED_ON = "validated_on"  # in a checkpoint's meta: the digest of the validation data


def show_warning(message: str) -> None:
    print(f"warning: {message}", file=sys.stderr)


class StoredCheckpoints:
    """Reads the checkpoints of a run, which another process may be training: it never writes, renames or deletes.

    It leaves out a damaged checkpoint, or one whose tensors are not finite, with a warning. warn: shows a line to the
    user.
    """

    def __init__(self, checkpoints_dir: Path, *, warn: Callable[[str], None] = show_warning):
        self.checkpoints_dir, self.warn = checkpoints_dir, warn
        self.left_out: set[Path] = set()
        self.set_aside_broken()

    def list_checkpoints(self) -> list[Checkpoint]:
        """The checkpoints whose index is intact; the others are ignored."""
        checkpoints = []
        for folder in sorted(self.checkpoints_dir.glob(f"{CKPT_PREFIX}*")):
            try:
                if folder not in self.left_out:
                    checkpoints.append(read_index(folder))
            except DamagedCheckpoint:
                continue
        return checkpoints

    def set_aside_broken(self) -> None:
        """Set aside every checkpoint whose index is not intact."""
        for folder in sorted(self.checkpoints_dir.glob(f"{CKPT_PREFIX}*")):
            try:
                read_index(folder)
            except DamagedCheckpoint as damage:
                self.set_aside(damage)

    def set_aside(self, damage: DamagedCheckpoint) -> None:
        """Leave out this checkpoint from now on, with a warning."""
        self.left_out.add(damage.folder)
        self.warn(f"{damage.folder} is damaged and left out: {damage.reason}")

    def damaged(self) -> list[str]:
        """The names of the checkpoints that were set aside, by earlier processes too."""
        aside = [folder.name for folder in self.checkpoints_dir.glob(f"{DAMAGED}*")]
        return sorted(aside + [folder.name for folder in self.left_out])


def checked_weights(checkpoint: Checkpoint) -> dict[str, Tensor]:
    """The model's weights, out of a checkpoint that is found intact. Raises DamagedCheckpoint."""
    check_files(checkpoint.path)
    return read_state(checkpoint, "model")


def read_state(checkpoint: Checkpoint, name: str) -> dict:
    """A state dict out of a checkpoint. Raises DamagedCheckpoint, also for tensors that are not finite."""
    file = checkpoint.paramfiles.get(name)
    if file is None:
        raise DamagedCheckpoint(checkpoint.path, f"{name} is missing")
    try:
        state = read_tensors(file)
    except DamagedFile as damage:
        raise DamagedCheckpoint(checkpoint.path, f"{file.name} {damage}") from None
    except FileNotFoundError:  # deleted by its training, since it was listed
        raise DamagedCheckpoint(checkpoint.path, f"{file.name} is missing") from None
    bad = nonfinite(state)
    if bad is not None or not isinstance(state, dict):
        reason = f"{bad} in {file.name} is not finite" if bad else f"{file.name} holds no weights"
        raise DamagedCheckpoint(checkpoint.path, reason)
    return state


def validated_alike(checkpoint: Checkpoint, other: Checkpoint) -> bool:
    """Whether both were measured on the same data, so that the lower measure is the better one.

    Not so after `--allow_new_data` with other validation data. Checkpoints of earlier versions do not say.
    """
    first, second = (which.meta.get(VALIDATED_ON) for which in (checkpoint, other))
    return first == second or None in (first, second)


def best_first(checkpoints: list[Checkpoint], measure: str, newest: Checkpoint) -> list[Checkpoint]:
    """The lowest measure first, of equal ones the newer; what is no number, or measured on other data than the newest,
    last."""

    def order(checkpoint: Checkpoint) -> tuple[bool, float, float]:
        value, is_other = checkpoint.meta[measure], not validated_alike(checkpoint, newest)
        return is_other, value if value == value else float("inf"), -ckpt_recency(checkpoint)

    return sorted(checkpoints, key=order)
