"""Whether a checkpoint on disk is what was written; its files are read without running any code of theirs."""

import os
from pathlib import Path

from ruamel.yaml import YAML
from speechbrain.utils.checkpoints import METAFNAME, PARAMFILE_EXT, Checkpoint

from data_prep.files import checksum
from recipes.errors import RecipeError, is_of_the_machine

CHECKSUMS = "SHA256SUMS"  # in the form of sha256sum: `sha256sum -c SHA256SUMS` does by hand what `check_files` does


class DamagedCheckpoint(RecipeError):
    """A checkpoint that cannot be used. folder: its own; reason: in a few words."""

    def __init__(self, folder: Path, reason: str):
        super().__init__(f"{folder} is damaged, {reason}: move it out of there")
        self.folder, self.reason = folder, reason


# --- writing ------------------------------------------------------------------------------------------------


def write_checksums(folder: Path) -> None:
    """Write the checksums of all files in the folder of a complete checkpoint."""
    lines = [f"{checksum(file)}  {file.name}\n" for file in sorted(folder.iterdir())]
    (folder / CHECKSUMS).write_text("".join(lines), encoding="utf-8")


def sync(path: Path) -> None:
    """Wait until a file, or the names in a folder, are on the disk."""
    opened = os.open(path, os.O_RDONLY)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


# --- reading ------------------------------------------------------------------------------------------------


def read_index(folder: Path) -> Checkpoint:
    """The checkpoint in a folder. Only its index file is read and verified here.

    Raises DamagedCheckpoint if the index does not match its checksum, or a file is missing. Checkpoints of earlier
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
    files = {Path(name).stem: folder / name for name in names_in(folder) if name.endswith(PARAMFILE_EXT)}
    return Checkpoint(folder, meta, files)


def read_meta(folder: Path) -> dict:
    """What the index says. Raises DamagedCheckpoint."""
    try:
        meta = YAML(typ="safe", pure=True).load((folder / METAFNAME).read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise DamagedCheckpoint(folder, f"{METAFNAME} is missing") from None
    except Exception as error:  # the parser meets garbage with whatever error it happens to run into
        if is_of_the_machine(error):
            raise
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
    except (OSError, ValueError) as error:
        if is_of_the_machine(error):
            raise
        raise DamagedCheckpoint(folder, f"{CHECKSUMS} cannot be read") from None
    pairs = [line.partition("  ")[::2] for line in lines]
    return {name: digest for digest, name in pairs}


def check_files(folder: Path) -> None:
    """Raises DamagedCheckpoint if a file of a checkpoint does not match its checksum, is missing, or is unknown."""
    checksums = read_checksums(folder)
    if checksums is None:
        return
    for name in sorted({*checksums, *names_in(folder)} - {CHECKSUMS}):
        check_file(folder, name, checksums)


def names_in(folder: Path) -> list[str]:
    """The files of a checkpoint, in order. Raises DamagedCheckpoint where a training has just deleted it."""
    try:
        return sorted(file.name for file in folder.iterdir())
    except FileNotFoundError:
        raise DamagedCheckpoint(folder, "it is gone") from None


def check_file(folder: Path, name: str, checksums: dict[str, str]) -> None:
    """Raises DamagedCheckpoint."""
    if name not in checksums:
        raise DamagedCheckpoint(folder, f"{CHECKSUMS} does not name {name}")
    try:
        digest = checksum(folder / name)
    except OSError as error:
        if is_of_the_machine(error):
            raise
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
