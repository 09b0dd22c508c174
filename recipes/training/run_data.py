"""What a run was trained on, as its folder keeps it: `data.json`. Weights mean nothing without it."""

import hashlib
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Self

from sentencepiece import SentencePieceProcessor

from data_prep.files import checksum
from data_prep.tokenizer import load_tokenizer
from recipes.errors import RecipeError
from recipes.files import write_json
from recipes.scoring.records import read_record, to_json
from recipes.training.run_folder import TOKENIZER

DATA = "data.json"


@dataclass(frozen=True)
class DataPart:
    """The data of one use. files: SHA-256 by name (of a split, its manifest's); counts: utterances, hours, words, …"""

    files: dict[str, str]
    counts: dict[str, float]

    @property
    def digest(self) -> str:
        """Equal for the same files, whatever their names."""
        return hashlib.sha256("\n".join(self.files.values()).encode()).hexdigest()[:16]


@dataclass(frozen=True)
class EarlierData:
    """What a run was trained on up to the end of this epoch, before other data were allowed."""

    until_epoch: int
    train: DataPart
    valid: DataPart


@dataclass(frozen=True)
class RunData:
    """Training and validation data of a run, and the SHA-256 of its tokenizer."""

    tokenizer: str
    train: DataPart
    valid: DataPart
    earlier: list[EarlierData] = field(default_factory=list)

    @classmethod
    def read(cls, folder: Path) -> Self | None:
        """What the folder keeps; None where it keeps nothing. Raises RecipeError for a damaged file."""
        path = Path(folder) / DATA
        return read_record(cls, path) if path.is_file() else None

    def write(self, folder: Path) -> None:
        write_json(Path(folder) / DATA, to_json(self))

    def differences(self, other: "RunData") -> list[str]:
        """The names of the files that differ, or that only one of the two has. The same files moved are the same."""
        names = []
        for mine, others in ((self.train.files, other.train.files), (self.valid.files, other.valid.files)):
            if list(mine.values()) != list(others.values()):
                names += [name for name in {**mine, **others} if mine.get(name) != others.get(name)]
        return list(dict.fromkeys(names))

    def followed_by(self, new: "RunData", epoch: int) -> "RunData":
        """The new data, with these as those of the epochs up to `epoch`, and the tokenizer of these."""
        return replace(
            new, tokenizer=self.tokenizer, earlier=[*self.earlier, EarlierData(epoch, self.train, self.valid)]
        )


def tokenizer_of(folder: Path, data: RunData | None = None) -> SentencePieceProcessor:
    """The tokenizer of a run folder. Raises RecipeError when there is none, or not the one of the run's training.

    data: of the run, where the folder is yet to record them.
    """
    path, data = Path(folder) / TOKENIZER, data or RunData.read(folder)
    if data is not None and checksum(path) != data.tokenizer:
        problem = "is not the one" if path.is_file() else "is missing: it is the one"
        raise RecipeError(
            f"{path} {problem} that this run was trained with, without which its weights mean nothing: put back the "
            f"file whose SHA-256 is in {Path(folder) / DATA}"
        )
    if not path.is_file():
        raise RecipeError(
            f"{folder} has no {TOKENIZER}: was the run stopped before it began? give its train.py command again"
        )
    return load_tokenizer(path)
