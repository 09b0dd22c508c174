"""Checkpoints that were damaged, or written by a stranger: seen, set aside with a warning, and the one before used."""

import contextlib
import os
import pickle
import shutil
import zipfile
from pathlib import Path

import pytest
import torch
from speechbrain.utils.epoch_loop import EpochCounter

from recipes.errors import RecipeError
from recipes.training.averaging import average_checkpoints, load_weights, save_weights
from recipes.training.checkpoints import AtomicCheckpointer, Clock
from recipes.training.integrity import CHECKSUMS, write_checksums
from recipes.training.trainer import Progress, Trainer
from tests.support.runs import epochs, same_weights, small_corpus, train


class Brain(Trainer):
    """A Brain as far as a checkpoint goes."""

    def __init__(self):
        self.progress, self.optimizer_step, self.step = Progress(), 0, 0


class Run:
    """All parts that a checkpoint of a training in float16 has, the model and the optimizer of one number."""

    def __init__(self, folder: Path, **options):
        self.warnings = []
        self.model = torch.nn.Linear(1, 1, bias=False)
        self.optimizer = torch.optim.Adam(self.model.parameters())
        self.epoch, self.clock, self.brain = EpochCounter(9), Clock(), Brain()
        self.scaler = torch.amp.GradScaler("cpu")
        self.checkpointer = AtomicCheckpointer(folder, warn=self.warnings.append, **options)
        for name in ("model", "epoch", "clock", "optimizer", "brain"):
            self.checkpointer.add_recoverable(name, getattr(self, name))
        self.checkpointer.add_recoverable("scaler", self.scaler, optional_load=True)

    def save(self, epoch: int, wer: float = 50.0, keep_best: int = 9) -> Path:
        """The end of an epoch, at which everything is its number."""
        with torch.no_grad():
            self.model.weight.fill_(float(epoch))
        self.optimizer.state[self.model.weight] = {
            "step": torch.tensor(float(epoch)),
            "exp_avg": torch.full((1, 1), float(epoch)),
            "exp_avg_sq": torch.full((1, 1), float(epoch)),
        }
        self.epoch.current = self.optimizer_step = self.brain.optimizer_step = epoch
        self.clock.earlier = 1000.0 * epoch
        self.checkpointer.save_epoch(keep_best, WER=wer)
        return self.checkpointer.find_checkpoint().path

    def state(self) -> tuple:
        """Where training would go on."""
        state = self.optimizer.state.get(self.model.weight, {})
        moment = float(state["exp_avg"]) if state else None
        return self.model.weight.item(), moment, self.epoch.current, self.brain.optimizer_step


def expected(epoch: int) -> tuple:
    return float(epoch), float(epoch), epoch, epoch


@pytest.fixture(scope="module")
def saved(tmp_path_factory) -> Path:
    run = Run(tmp_path_factory.mktemp("saved"))
    for epoch in (1, 2):
        run.save(epoch)
    return run.checkpointer.checkpoints_dir


@pytest.fixture
def two(saved, tmp_path) -> list[Path]:
    """The folders of two checkpoints, of the epochs 1 and 2."""
    shutil.copytree(saved, tmp_path, dirs_exist_ok=True)
    return sorted(tmp_path.iterdir())


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def flip(file: Path) -> None:
    damaged = bytearray(file.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    file.write_bytes(damaged)


def to_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


FILES = [
    "CKPT.yaml",
    CHECKSUMS,
    *(f"{part}.ckpt" for part in ("model", "epoch", "clock", "optimizer", "brain", "scaler")),
]
DAMAGE = {
    "missing": Path.unlink,
    "empty": lambda file: file.write_bytes(b""),
    "cut": lambda file: file.write_bytes(file.read_bytes()[: file.stat().st_size // 2]),
    "zeroed": lambda file: file.write_bytes(bytes(file.stat().st_size)),
    "flipped": flip,
    "longer": lambda file: file.write_bytes(file.read_bytes() + b"\0"),
    "garbage": lambda file: file.write_bytes(b"\x80\xff[{: !!" * 99),
    "other text": lambda file: file.write_text("{}"),
    "folder": to_folder,
}


@pytest.mark.parametrize("damage", DAMAGE)
@pytest.mark.parametrize("name", FILES)
def test_the_one_before_is_used(two, tmp_path, name, damage):
    older, newest = two
    DAMAGE[damage](newest / name)
    before = content(newest)
    run = Run(tmp_path)
    assert run.checkpointer.recover_if_possible().path == older
    assert run.state() == expected(1)
    aside = tmp_path / f"damaged+{newest.name}"
    (warning,) = run.warnings
    assert warning.startswith(f"{newest} is damaged, ") and warning.endswith(
        f": it is set aside as {aside.name}, and not used"
    )
    assert name in warning or name == CHECKSUMS, "the damaged file is named"
    assert content(aside) == before, "nothing is deleted"
    assert not newest.exists()
    again = Run(tmp_path)
    assert again.checkpointer.recover_if_possible().path == older and not again.warnings


SEEN_WITHOUT = [
    *((name, damage) for name in FILES if name != CHECKSUMS for damage in ("missing", "empty", "zeroed", "garbage")),
    *((f"{part}.ckpt", damage) for part in ("model", "optimizer", "scaler") for damage in ("cut", "other text")),
]


@pytest.mark.parametrize("name, damage", SEEN_WITHOUT)
def test_checkpoints_of_earlier_versions_are_checked_by_reading_them(two, tmp_path, name, damage):
    for folder in two:
        without_checksums(folder)
    older, newest = two
    DAMAGE[damage](newest / name)
    run = Run(tmp_path)
    if (name, damage) == ("scaler.ckpt", "missing"):  # a run in another precision has none
        assert run.checkpointer.recover_if_possible().path == newest
        return
    assert run.checkpointer.recover_if_possible().path == older
    assert run.state() == expected(1)
    assert len(run.warnings) == 1 and (tmp_path / f"damaged+{newest.name}").is_dir()


def without_checksums(folder: Path) -> None:
    """A checkpoint as earlier versions wrote it."""
    (folder / CHECKSUMS).unlink()
    index = folder / "CKPT.yaml"
    ours = ("checksums", "measure", "keep_best", "keep_last")
    index.write_text("".join(line for line in index.open() if not line.startswith(ours)))


def test_checkpoints_of_earlier_versions_load(two, tmp_path):
    for folder in two:
        without_checksums(folder)
    run = Run(tmp_path)
    assert run.checkpointer.recover_if_possible().path == two[1]
    assert run.state() == expected(2) and not run.warnings
    assert average_checkpoints(run.checkpointer, "best-2").weights["weight"].item() == 1.5
    run.save(3, keep_best=1)
    assert average_checkpoints(run.checkpointer, "best-2").epochs == [2, 3], "older ones are cleared as ours are"


@pytest.mark.parametrize("name", ["model.ckpt", "optimizer.ckpt", "scaler.ckpt"])
def test_a_flipped_byte_among_the_tensors_is_seen_without_checksums_too(two, tmp_path, name):
    for folder in two:
        without_checksums(folder)
    file = two[1] / name
    with zipfile.ZipFile(file) as archive:
        part = archive.read(next(part for part in archive.namelist() if part.endswith("data.pkl")))
    damaged = bytearray(file.read_bytes())
    damaged[damaged.index(part) + len(part) // 2] ^= 4
    file.write_bytes(damaged)
    run = Run(tmp_path)
    assert run.checkpointer.recover_if_possible().path == two[0]


def test_all_damaged_is_one_line_at_every_start(two, tmp_path):
    for folder in two:
        flip(folder / "model.ckpt")
    for _ in range(2):
        with pytest.raises(RecipeError) as refusal:
            Run(tmp_path).checkpointer.recover_if_possible()
        assert str(refusal.value) == (
            f"no checkpoint in {tmp_path} can be used any more, damaged+{two[0].name}, damaged+{two[1].name} are "
            "damaged: put a good copy there, or begin anew in another --output_folder"
        )


def test_a_name_that_is_taken_is_not_overwritten(two, tmp_path):
    copy = tmp_path / "copy"
    shutil.copytree(two[1], copy)
    for number in range(2):
        flip(two[1] / "model.ckpt")
        before = content(two[1])
        assert Run(tmp_path).checkpointer.newest().path == two[0]
        aside = tmp_path / (f"damaged+{two[1].name}" + ("+2" if number else ""))
        assert content(aside) == before
        shutil.copytree(copy, two[1], dirs_exist_ok=True)


def test_an_older_checkpoint_that_is_half_deleted_hides_nothing(two, tmp_path):
    (two[0] / "CKPT.yaml").unlink()
    (two[0] / "optimizer.ckpt").unlink()
    run = Run(tmp_path)
    assert run.checkpointer.recover_if_possible().path == two[1]
    assert len(run.warnings) == 1


def test_tensors_of_another_shape_are_no_damage(two, tmp_path):
    run = Run(tmp_path)
    run.model = torch.nn.Linear(2, 1, bias=False)
    run.checkpointer.add_recoverable("model", run.model)
    with pytest.raises(RecipeError, match=r"model\.ckpt does not fit the recipe: size mismatch for weight"):
        run.checkpointer.recover_if_possible()
    assert two[1].is_dir() and not run.warnings


# --- the average --------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["model.ckpt", "CKPT.yaml", "epoch.ckpt"])
@pytest.mark.parametrize("checksums", [True, False])
def test_the_average_is_of_intact_checkpoints(tmp_path, name, checksums):
    """The best of all is damaged: the next best takes its place."""
    run = Run(tmp_path)
    folders = [run.save(epoch, wer) for epoch, wer in enumerate([30.0, 10.0, 20.0, 40.0], start=1)]
    for folder in folders:
        if not checksums:
            without_checksums(folder)
    DAMAGE["cut" if name != "epoch.ckpt" else "empty"](folders[1] / name)
    average = average_checkpoints(run.checkpointer, "best-2")
    assert average.epochs == [1, 3] and average.weights["weight"].item() == 2.0
    assert folders[1].name not in [checkpoint.path.name for checkpoint in run.checkpointer.list_checkpoints()]


def test_a_wrong_score_in_a_damaged_index_counts_nothing(tmp_path):
    run = Run(tmp_path)
    folders = [run.save(epoch, wer) for epoch, wer in enumerate([30.0, 10.0, 20.0], start=1)]
    index = folders[0] / "CKPT.yaml"
    index.write_text(index.read_text().replace("30.0", "01.0"))
    assert average_checkpoints(run.checkpointer, "best-1").epochs == [2]


def test_in_read_only_use_nothing_is_renamed_or_deleted(two, tmp_path):
    flip(two[1] / "model.ckpt")
    (tmp_path / f"saving+{two[1].name}").mkdir()
    before = sorted(path.name for path in tmp_path.iterdir())
    run = Run(tmp_path, read_only=True)
    assert average_checkpoints(run.checkpointer, "best-2").epochs == [1]
    assert run.warnings == [f"{two[1]} is damaged and left out: model.ckpt is not what was written"]
    assert sorted(path.name for path in tmp_path.iterdir()) == before


def test_no_average_of_damaged_checkpoints_alone(two, tmp_path):
    for folder in two:
        flip(folder / "model.ckpt")
    with pytest.raises(RecipeError) as refusal:
        average_checkpoints(Run(tmp_path).checkpointer, "best-2")
    assert str(refusal.value) == (
        f"no finished epoch in {tmp_path} (damaged are damaged+{two[0].name}, damaged+{two[1].name}): "
        "train before testing"
    )


# --- what is not finite -------------------------------------------------------------------------------------


@pytest.mark.parametrize("value", [float("nan"), float("inf")])
@pytest.mark.parametrize("part", ["model", "optimizer"])
def test_what_is_not_finite_is_not_saved(two, tmp_path, part, value):
    run, before = Run(tmp_path), sorted(tmp_path.iterdir())
    run.checkpointer.recover_if_possible()
    with torch.no_grad():
        place = run.model.weight if part == "model" else run.optimizer.state[run.model.weight]["exp_avg"]
        place.fill_(value)
    name = "weight of the model" if part == "model" else "state.0.exp_avg of the optimizer"
    with pytest.raises(RecipeError) as refusal:
        run.checkpointer.save_epoch(1, WER=1.0)
    assert str(refusal.value) == (
        f"training has diverged: {name} is not finite, and is not saved; the last good checkpoint is {two[1]}; start "
        "anew with a lower lr or more warmup_steps, in another --output_folder"
    )
    assert sorted(tmp_path.iterdir()) == before


def saved_by_an_earlier_version(folder: Path, value: float) -> None:
    """Write it into the weights of a checkpoint, as if it had been saved so."""
    torch.save({"weight": torch.full((1, 1), value)}, folder / "model.ckpt")
    without_checksums(folder)


def test_what_is_not_finite_is_neither_averaged_nor_gone_on_from(two, tmp_path):
    saved_by_an_earlier_version(two[1], float("nan"))
    run = Run(tmp_path, read_only=True)
    assert average_checkpoints(run.checkpointer, "best-2").epochs == [1]
    assert run.warnings == [f"{two[1]} is damaged and left out: weight in model.ckpt is not finite"]
    assert Run(tmp_path).checkpointer.recover_if_possible().path == two[0]
    saved_by_an_earlier_version(two[0], float("inf"))
    with pytest.raises(RecipeError, match=f"no finished epoch in {tmp_path} "):
        average_checkpoints(Run(tmp_path).checkpointer, "best-2")


# --- files of a stranger ------------------------------------------------------------------------------------


class Hostile:
    """Leaves a file behind when it is unpickled."""

    def __init__(self, mark: Path):
        self.mark = mark

    def __reduce__(self):
        return os.mkdir, (str(self.mark),)


def with_torch(file: Path, mark: Path) -> None:
    torch.save({"weight": Hostile(mark)}, file)


def with_pickle(file: Path, mark: Path) -> None:
    file.write_bytes(pickle.dumps(Hostile(mark)))


def with_yaml(file: Path, mark: Path) -> None:
    file.write_text(f"unixtime: 4000000000.0\nend-of-epoch: true\nWER: !!python/object/apply:os.mkdir ['{mark}']\n")


@pytest.mark.parametrize("checksums", [True, False], ids=["checksums", "none"])
@pytest.mark.parametrize("attack", [with_torch, with_pickle, with_yaml])
@pytest.mark.parametrize("name", [name for name in FILES if name != CHECKSUMS])
def test_no_file_of_a_checkpoint_runs_code(two, tmp_path, monkeypatch, name, attack, checksums):
    """The stranger also writes the checksums anew, and wants torch to be careless."""
    mark = tmp_path / "mark"
    without_checksums(two[1])
    attack(two[1] / name, mark)
    if checksums:
        write_checksums(two[1])
    monkeypatch.setenv("TORCH_FORCE_NO_WEIGHTS_ONLY_LOAD", "1")
    run = Run(tmp_path)
    assert run.checkpointer.recover_if_possible().path == two[0]
    assert run.state() == expected(1)
    assert average_checkpoints(run.checkpointer, "best-2").epochs == [1]
    assert not mark.exists()


def test_the_attacks_work_on_careless_readers(tmp_path):
    for number, attack in enumerate([with_torch, with_pickle]):
        mark, file = tmp_path / f"mark{number}", tmp_path / f"file{number}"
        attack(file, mark)
        with contextlib.suppress(RuntimeError):
            torch.load(file, weights_only=False)
        assert mark.is_dir()


def test_averaged_weights_are_read_with_the_same_care(tmp_path):
    file, mark = tmp_path / "averaged.ckpt", tmp_path / "mark"
    save_weights({"weight": torch.ones(64)}, file)
    assert load_weights(file)["weight"].sum() == 64
    flip(file)
    with pytest.raises(RecipeError, match=r"averaged\.ckpt is damaged: "):
        load_weights(file)
    with_torch(file, mark)
    with pytest.raises(RecipeError, match=r"averaged\.ckpt is damaged: "):
        load_weights(file)
    assert not mark.exists()


# --- in a whole run -----------------------------------------------------------------------------------------


def test_a_run_with_a_damaged_checkpoint_ends_as_the_unbroken_one(tmp_path, capsys):
    """The last epoch is trained again from the checkpoint before, and comes out the same."""
    corpus = small_corpus(tmp_path / "corpus")
    assert train(corpus, tmp_path / "unbroken", "--number_of_epochs", "3") == 0
    shutil.copytree(tmp_path / "unbroken", tmp_path / "run")
    older, newest = sorted((tmp_path / "run" / "checkpoints").iterdir())
    flip(newest / "model.ckpt")
    capsys.readouterr()
    assert train(corpus, tmp_path / "run", "--number_of_epochs", "3") == 0
    screen = capsys.readouterr().out
    assert f"warning: {newest} is damaged, model.ckpt is not what was written" in screen
    assert f"going on from {older}" in screen
    assert same_weights(tmp_path / "run", tmp_path / "unbroken")
    assert [record.epoch for record in epochs(tmp_path / "run")] == [1, 2, 3]
    lines = (tmp_path / "run" / "log.jsonl").read_text().splitlines()
    assert len(lines) == 3
