"""The files that a run writes of its results, each as a typed record: the one place that knows their shapes.

`summary.json` (`RunSummary`, `LanguageModelSummary`), `decoded_<split>.jsonl` (`DecodedUtterance`), `log.jsonl`
(`EpochRecord`). Every `read` raises RecipeError, one line with file and place, for what is missing or damaged.
"""

import dataclasses
import json
import types
import typing
from dataclasses import dataclass, field
from pathlib import Path

from data_prep.files import write_atomically
from recipes.errors import RecipeError
from recipes.files import write_json

SUMMARY, LOG = "summary.json", "log.jsonl"


def decoded_file(folder: Path, split: str) -> Path:
    return Path(folder) / f"decoded_{split}.jsonl"


@dataclass(frozen=True)
class SplitResult:
    """Errors of one test set. Rates in percent; interval: 95 % bootstrap over utterances, None for one utterance."""

    wer: float
    interval: tuple[float, float] | None
    substitutions: int
    deletions: int
    insertions: int
    utterances: int
    words: int
    wer_greedy_ctc: float
    audio_seconds: float | None = None
    decode_seconds: float | None = None
    rtf: float | None = None
    # Of corpora with homophones alone; see `recipes.scoring.homophones`.
    merged_wer: float | None = None
    homophone_error: float | None = None
    homophones_seen: float | None = None

    @property
    def errors(self) -> int:
        return self.substitutions + self.deletions + self.insertions


@dataclass(frozen=True)
class Provenance:
    """What every summary says of where it comes from. seconds: of training, None where none was done here."""

    recipe: str
    seed: int
    parameters: int
    seconds: float | None
    peak_memory_mb: float
    device: str
    versions: dict[str, str]
    commit: str | None
    recipe_hash: str


@dataclass(frozen=True)
class RunSummary(Provenance):
    """`summary.json` of a recogniser's run, or of an evaluation of one.

    decoded_by: the command that decodes again. weights, settings: of an evaluation, which weights it decoded
    with and a hash of all that its results depend on; None in the run's own folder.
    """

    mixer: str
    splits: dict[str, SplitResult]
    decoded_by: str
    weights: str | None = None
    settings: str | None = None

    @classmethod
    def read(cls, folder: Path) -> "RunSummary":
        return read_record(cls, Path(folder) / SUMMARY)

    def write(self, folder: Path) -> None:
        write_json(Path(folder) / SUMMARY, to_json(self))


@dataclass(frozen=True)
class LanguageModelSummary(Provenance):
    """`summary.json` of a language model's run. texts: perplexities and counts by use (valid, test)."""

    texts: dict[str, dict[str, float]]
    train_text: dict[str, int]

    @classmethod
    def read(cls, folder: Path) -> "LanguageModelSummary":
        return read_record(cls, Path(folder) / SUMMARY)

    def write(self, folder: Path) -> None:
        write_json(Path(folder) / SUMMARY, to_json(self))


@dataclass(frozen=True)
class ScoredText:
    """A text that a search gave, and its joint log probability: None from greedy CTC."""

    text: str
    score: float | None


@dataclass(frozen=True)
class DecodedUtterance:
    """One line of `decoded_<split>.jsonl`. duration: seconds; audio: path relative to the file's folder."""

    id: str
    speaker: str
    duration: float
    audio: str
    words: str
    hypothesis: str
    greedy: str
    score: float | None
    nbest: list[ScoredText] | None = None

    @classmethod
    def read_all(cls, path: Path) -> list["DecodedUtterance"]:
        """The utterances of a file, in its order. Raises RecipeError for one that is missing, empty or damaged."""
        return read_lines(cls, Path(path))

    @staticmethod
    def write_all(utterances: list["DecodedUtterance"], path: Path) -> None:
        lines = [json.dumps(to_json(utterance), ensure_ascii=False) for utterance in utterances]
        write_atomically(path, "\n".join(lines) + "\n")


@dataclass(frozen=True)
class EpochRecord:
    """One line of `log.jsonl`. time: Unix seconds; seconds: of training so far; metrics: all that was measured."""

    epoch: int
    steps: int
    seconds: float
    lr: float
    time: float
    metrics: dict[str, float | None] = field(default_factory=dict)

    def line(self) -> str:
        record = to_json(self)
        return json.dumps({**{key: value for key, value in record.items() if key != "metrics"}, **self.metrics})

    @classmethod
    def parse(cls, line: str | bytes) -> "EpochRecord":
        """Raises ValueError for a line that is cut short or no record."""
        values = json.loads(line)
        names = [name.name for name in dataclasses.fields(cls) if name.name != "metrics"]
        if not isinstance(values, dict) or not all(name in values for name in names):
            raise ValueError("it is no record of an epoch")
        metrics = {key: value for key, value in values.items() if key not in names}
        return cls(*(values[name] for name in names), metrics)

    @classmethod
    def read_all(cls, folder: Path) -> tuple[list["EpochRecord"], int]:
        """Each epoch once, the last line of it, in order; and how many lines could not be read. No file: none."""
        path, by_epoch, unreadable = Path(folder) / LOG, {}, 0
        for line in path.read_bytes().splitlines() if path.is_file() else ():
            try:
                record = cls.parse(line)
                by_epoch[record.epoch] = record
            except ValueError:
                unreadable += 1
        return [by_epoch[epoch] for epoch in sorted(by_epoch)], unreadable


# --- dataclasses from and to JSON ---------------------------------------------------------------------------


def to_json(record) -> dict:
    """The fields as plain values; a field that is at its default None is left out."""
    return dataclasses.asdict(record, dict_factory=without_absent)


def without_absent(pairs: list[tuple[str, object]]) -> dict:
    return {key: value for key, value in pairs if value is not None or key in ALWAYS}


ALWAYS = {"interval", "commit", "score", "seconds"}  # fields whose null says something


def read_record(kind: type, path: Path):
    """One dataclass from a JSON file."""
    try:
        values = json.loads(path.read_bytes())
    except FileNotFoundError:
        raise RecipeError(f"{path} is missing") from None
    except (OSError, ValueError):
        raise RecipeError(f"{path}: cut short or damaged") from None
    return from_json(kind, values, str(path))


def read_lines(kind: type, path: Path) -> list:
    """One dataclass a line from a file of JSON lines."""
    if not path.is_file():
        raise RecipeError(f"{path} is missing")
    records = []
    for number, line in enumerate(path.read_bytes().splitlines(), start=1):
        try:
            values = json.loads(line)
        except ValueError:
            raise RecipeError(f"{path}, line {number}: cut short or damaged") from None
        records.append(from_json(kind, values, f"{path}, line {number}"))
    if not records:
        raise RecipeError(f"{path} is empty")
    return records


def from_json(kind, values, place: str):
    """`values` as the type `kind`: a dataclass, or a container of such. Unknown fields are passed over."""
    if dataclasses.is_dataclass(kind):
        if not isinstance(values, dict):
            raise RecipeError(f"{place}: not an object with the fields of {kind.__name__}")
        hints, arguments = typing.get_type_hints(kind), {}
        for each in dataclasses.fields(kind):
            if each.name in values:
                arguments[each.name] = from_json(hints[each.name], values[each.name], f"{place}, {each.name}")
            elif each.default is dataclasses.MISSING and each.default_factory is dataclasses.MISSING:
                raise RecipeError(f"{place}: no field {each.name!r}")
        return kind(**arguments)
    return checked(kind, values, place)


def checked(kind, values, place: str):
    """A plain value, list, tuple or dict of the type `kind`."""
    origin, arguments = typing.get_origin(kind), typing.get_args(kind)
    if origin in (typing.Union, types.UnionType):
        if values is None and type(None) in arguments:
            return None
        (kind,) = (argument for argument in arguments if argument is not type(None))
        return from_json(kind, values, place)
    if origin is dict and isinstance(values, dict):
        return {key: from_json(arguments[1], value, f"{place}, {key}") for key, value in values.items()}
    if origin is list and isinstance(values, list):
        return [from_json(arguments[0], value, place) for value in values]
    if origin is tuple and isinstance(values, list) and len(values) == len(arguments):
        return tuple(from_json(argument, value, place) for argument, value in zip(arguments, values, strict=True))
    plain = (int, float) if kind is float else kind
    if origin is None and isinstance(values, plain) and not (isinstance(values, bool) and kind is not bool):
        return values
    raise RecipeError(f"{place}: not usable, it is {values!r:.40}")
