"""Where data come from: the splits of a corpus folder, or users' own manifests in place of them."""

import os
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple, Self

from data_prep.errors import DataError
from data_prep.files import expand_user
from data_prep.librispeech import prepare_split
from data_prep.overlap import overlaps
from data_prep.own import check_source, manifest_names, prepare_manifest
from data_prep.split_manifest import SplitWriter
from data_prep.splits import Roles, available_splits, choose_splits, find_corpus

Texts = str | Sequence[str] | None
USES = ("train", "valid", "test")


def absolute(path) -> Path:
    """With `~` replaced; links stay as they are."""
    return Path(os.path.abspath(expand_user(path)))


def as_list(texts: str | Sequence[str]) -> list[str]:
    return [texts] if isinstance(texts, str) else list(texts)


def check_kept(out_folder: Path, name: str, manifests: Sequence[Path]) -> None:
    """Raises DataError where the manifest of this name, or its report, would be written over one that is read."""
    for path in (out_folder / f"{name}.csv", out_folder / f"{name}.json"):
        for manifest in manifests:
            if path.exists() and manifest.exists() and path.samefile(manifest):
                raise DataError(f"{manifest} would be written over by what is made of it: give another folder")


class Prepared(NamedTuple):
    """The folder that `$data_root` stands for, and the manifest of each split by use, in order."""

    root: Path
    train: dict[str, Path]
    valid: dict[str, Path]
    test: dict[str, Path]


class Corpus:
    """A corpus folder, and own manifests (`data_prep.own`) that take the place of its splits for a use.

    data_folder: None where every use has own manifests. train, valid, test: own manifests, one or several.
    normalizer: of all words, see `data_prep.text.NORMALIZERS`. Raises DataError where a use has neither.
    """

    def __init__(
        self, data_folder, *, train: Texts = None, valid: Texts = None, test: Texts = None, normalizer: str = "none"
    ):
        self.data_folder = None if data_folder is None else absolute(data_folder)
        given = {use: texts for use, texts in zip(USES, (train, valid, test), strict=True) if texts is not None}
        paths = {use: [absolute(text) for text in as_list(texts)] for use, texts in given.items()}
        names = manifest_names(path for own in paths.values() for path in own)
        self.manifests = {use: {names[path]: path for path in own} for use, own in paths.items()}
        self.normalizer = normalizer

    @classmethod
    def named_by(cls, settings: Mapping) -> Self:
        """The data that a recipe names by its keys data_folder, train_manifest, …, text_normalizer."""
        manifests = {use: settings.get(f"{use}_manifest") for use in USES}
        return cls(settings["data_folder"], **manifests, normalizer=settings.get("text_normalizer") or "none")

    @property
    def root(self) -> Path:
        """What `$data_root` stands for: the corpus, or what holds the own manifests where there is none.

        Raises DataError for a folder without corpus that is needed.
        """
        if len(self.manifests) < len(USES):
            try:
                return self.splits_root()
            except DataError:
                if not self.manifests:
                    raise
        if self.data_folder is not None:
            return self.data_folder
        # Tests may change between two commands of a run, and its training data may not change with them.
        kept = {use: own for use, own in self.manifests.items() if use != "test"} or self.manifests
        folders = [path if path.is_dir() else path.parent for own in kept.values() for path in own.values()]
        return Path(os.path.commonpath(folders))

    def check_named(self, uses: Sequence[str]) -> None:
        """Raises DataError where a use has neither a folder nor a manifest, and for a manifest that does not exist."""
        missing = [use for use in uses if use not in self.manifests]
        if missing and self.data_folder is None:
            others = " ".join(f"--{use}_manifest FILE" for use in missing)
            raise DataError(f"data_folder is not set: give --data_folder PATH, or {others}")
        for use in uses:
            for path in self.manifests.get(use, {}).values():
                check_source(path)

    def splits_root(self) -> Path:
        """The folder of the splits. Raises DataError where there is none."""
        self.check_named([use for use in USES if use not in self.manifests])
        return find_corpus(self.data_folder)

    def choose(self, train: Texts = "auto", valid: Texts = "auto", test: Texts = "auto") -> Roles:
        """The names by use: of own manifests where there are such, else of splits, as `choose_splits` finds them.

        An empty list asks for none. Raises DataError.
        """
        wanted = dict(zip(USES, (train, valid, test), strict=True))
        own = {use: list(names) if wanted[use] != [] else [] for use, names in self.manifests.items()}
        wanted = {use: [] if use in own else texts for use, texts in wanted.items()}
        if not any(texts != [] for texts in wanted.values()):
            return Roles(*(own.get(use, []) for use in USES), "")
        root = self.splits_root()
        try:
            roles = choose_splits(available_splits(root), **wanted)
        except DataError as error:
            raise DataError(f"{root}: {error}") from None
        return roles._replace(**own)

    def prepare(
        self,
        out_folder,
        train: Texts = "auto",
        valid: Texts = "auto",
        test: Texts = "auto",
        *,
        workers: int | None = None,
        progress=True,
        check=False,
        say: Callable[[str], None] = print,
    ) -> Prepared:
        """Write `out_folder/<split>.csv` for each split (see `SplitWriter`). say: shows reports and overlaps.

        Raises DataError for a folder without corpus, a missing split or manifest, or one that is refused.
        """
        roles, root = self.choose(train, valid, test), self.root
        if roles.note:
            say(roles.note)
        options: dict[str, Any] = {
            "workers": workers,
            "progress": progress,
            "check": check,
            "normalizer": self.normalizer,
            "say": say,
        }
        sources: dict[str, Path | None] = {}  # None: a split
        for use in USES:
            for name in getattr(roles, use):
                manifest = self.manifests[use][name] if use in self.manifests else None
                if sources.setdefault(name, manifest) != manifest:
                    raise DataError(f"{name} is a split and the name of {sources[name] or manifest}: rename the file")
        for name in sources:
            check_kept(Path(out_folder), name, [manifest for manifest in sources.values() if manifest is not None])
        written = {}
        for name, manifest in sources.items():
            if manifest is None:
                written[name] = prepare_split(self.splits_root(), name, out_folder, **options)
            else:
                writer = SplitWriter(name, out_folder, **options)
                written[name] = prepare_manifest(manifest, root, writer, self.data_folder)
        prepared = Prepared(root, *({name: written[name] for name in getattr(roles, use)} for use in USES))
        for line in overlaps(prepared.train.values(), {**prepared.valid, **prepared.test}):
            say(line)
        return prepared
