"""Whether a checkpoint on disk is what was written; its files are read without running any code of theirs."""

import errno
import os
import warnings
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch
from ruamel.yaml import YAML
from speechbrain.utils.checkpoints import METAFNAME, PARAMFILE_EXT, Checkpoint
from torch import Tensor

from data_prep.files import checksum
from recipes.errors import RecipeError

CHECKSUMS = "SHA256SUMS"  # in the form of sha256sum: `sha256sum -c SHA256SUMS` does by hand what `check_files` does


class DamagedCheckpoint(RecipeError):
    """A checkpoint that cannot be used. folder: its own; reason: in a few words."""

    def __init__(self, folder: Path, reason: str):
        super().__init__(f"{folder} is damaged, {reason}: move it out of there")
        self.folder, self.reason = folder, reason


class DamagedFile(Exception):
    """A file of tensors that is no such file, or holds what was not written. The message is the reason."""


# --- writing ------------------------------------------------------------------------------------------------


def write_checksums(folder: Path) -> None:
    """Of all files in the folder of a checkpoint, when it is complete."""
    lines = [f"{checksum(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def is_failed_write(error: Exception) -> bool:
    """Whether the disk, or the user's share of it, is full."""
    # torch.save turns the system's "no space left" into a RuntimeError of its archive writer.
    if isinstance(error, OSError):
        return error.errno in (errno.ENOSPC, errno.EDQUOT, errno.EFBIG)
    return "PytorchStreamWriter" in str(error) or "inline_container" in str(error)


# --- reading ------------------------------------------------------------------------------------------------


def read_index(folder: Path) -> Checkpoint:
    """The checkpoint in a folder, by its index, the only file that is read and checked here.

    Raises DamagedCheckpoint where the index is not what was written, or a file is missing. Checkpoints of earlier
    versions have no checksums.
    """
    checksums = read_checksums(folder)
    if checksums is not None:
        check_file(folder, METAFNAME, checksums)
    meta = read_meta(folder)
    if checksums is None and "checksums" in meta:
        raise DamagedCheckpoint(folder, f"{CHECKSUMS} is missing")
    for name in checksums or ():
        if not (folder / name).is_file():
            raise DamagedCheckpoint(folder, f"{name} is missing")
    files = {file.stem: file for file in sorted(folder.iterdir()) if file.suffix == PARAMFILE_EXT}
    return Checkpoint(folder, meta, files)


def read_meta(folder: Path) -> dict:
    """What the index says. Raises DamagedCheckpoint."""
    try:
        meta = YAML(typ="safe", pure=True).load((folder / METAFNAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedCheckpoint(folder, f"{METAFNAME} is missing") from None
    except PermissionError:
        raise
    except Exception:  # the parser meets garbage with whatever error it happens to run into
        raise DamagedCheckpoint(folder, f"{METAFNAME} cannot be read") from None
    if not isinstance(meta, dict) or not isinstance(meta.get("unixtime"), float) or "end-of-epoch" not in meta:
        raise DamagedCheckpoint(folder, f"{METAFNAME} is not complete")
    return meta


def read_checksums(folder: Path) -> dict[str, str] | None:
    """Checksum by name of file; None where the checkpoint has none. Raises DamagedCheckpoint."""
    try:
        lines = (folder / CHECKSUMS).read_text(encoding="utf-8").splitlines()
    except FileNotFoundError:
        return None
    except PermissionError:
        raise
    except (OSError, ValueError):
        raise DamagedCheckpoint(folder, f"{CHECKSUMS} cannot be read") from None
    pairs = [line.partition("  ")[::2] for line in lines]
    return {name: digest for digest, name in pairs}


def check_files(folder: Path) -> None:
    """Raises DamagedCheckpoint where a file of a checkpoint is not what was written, missing, or unknown."""
    checksums = read_checksums(folder)
    if checksums is None:
        return
    for name in sorted({*checksums, *(file.name for file in folder.iterdir())} - {CHECKSUMS}):
        check_file(folder, name, checksums)


def check_file(folder: Path, name: str, checksums: dict[str, str]) -> None:
    """Raises DamagedCheckpoint."""
    if name not in checksums:
        raise DamagedCheckpoint(folder, f"{CHECKSUMS} does not name {name}")
    try:
        digest = checksum(folder / name)
    except PermissionError:
        raise
    except OSError as error:
        raise DamagedCheckpoint(folder, f"{name} cannot be read ({error.strerror})") from None
    if digest is None:
        raise DamagedCheckpoint(folder, f"{name} is missing")
    if digest != checksums[name]:
        raise DamagedCheckpoint(folder, f"{name} is not what was written")


def epoch_of(checkpoint: Checkpoint) -> int:
    """The epoch at whose end a checkpoint was saved. Raises DamagedCheckpoint."""
    try:
        return int(checkpoint.paramfiles["epoch"].read_text(encoding="utf-8"))
    except (KeyError, ValueError):
        raise DamagedCheckpoint(checkpoint.path, "its epoch cannot be read") from None


def read_tensors(path: Path) -> Any:
    """What `torch.save` wrote, on the CPU: containers of tensors and plain values, or DamagedFile is raised.

    Objects of other kinds are refused, since to load them is to run code that the file names. Raises OSError
    where there is no such file.
    """
    if not path.is_file():
        raise FileNotFoundError(2, os.strerror(2), str(path))
    try:
        if zipfile.is_zipfile(path):
            with zipfile.ZipFile(path) as archive:  # torch.load itself passes over the archive's checksums
                damaged = archive.testzip()
            if damaged is not None:
                raise DamagedFile("is not what was written")
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # of what looks odd in the file, which is refused below
            return torch.load(path, map_location="cpu", weights_only=True)
    except (DamagedFile, PermissionError):
        raise
    except Exception:  # torch's unpickler meets garbage with whatever error it happens to run into
        raise DamagedFile("cannot be read") from None


# --- values -------------------------------------------------------------------------------------------------


def nonfinite(state: Any) -> str | None:
    """The name of the first tensor in a state dict with NaN or infinity, None where all are finite."""
    return next((name for name, tensor in named_tensors(state) if not bool(tensor.isfinite().all())), None)


def named_tensors(state: Any, name: str = "") -> Iterator[tuple[str, Tensor]]:
    """The tensors in nested containers, by the keys that lead to them."""
    if isinstance(state, Tensor):
        yield name, state
    elif isinstance(state, (dict, list, tuple)):
        items = state.items() if isinstance(state, dict) else enumerate(state)
        for key, value in items:
            yield from named_tensors(value, f"{name}.{key}" if name else str(key))
