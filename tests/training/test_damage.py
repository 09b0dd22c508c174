"""Checkpoints that were damaged: seen, set aside with a warning, and the one before used."""

import errno
import os
import shutil
import zipfile
from pathlib import Path

import pytest
import torch

from data_prep.errors import in_words
from recipes.errors import RecipeError
from recipes.training.averaging import average_checkpoints
from recipes.training.integrity import CHECKSUMS
from recipes.training.stored_checkpoints import StoredCheckpoints
from tests.support.damage import FILES, Run, expected, flip, without_checksums
from tests.support.runs import epochs, same_weights, small_corpus, train


def content(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in folder.iterdir() if path.is_file()}


def to_folder(file: Path) -> None:
    file.unlink()
    file.mkdir()


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


def out_of_memory(*_, **options):
    raise RuntimeError(
        "[enforce fail at alloc_cpu.cpp:127] . DefaultCPUAllocator: can't allocate memory: error code 12"
    )


def storage_fails(*_, **options):
    raise OSError(errno.EIO, os.strerror(errno.EIO))


PASSING = {
    "memory": ("torch.load", out_of_memory, "too little memory to read {newest}/model.ckpt: "),
    "storage": ("torch.load", storage_fails, "{newest}/model.ckpt: Input/output error"),
    "storage, while checked": ("data_prep.files.hashlib.file_digest", storage_fails, "CKPT.yaml: Input/output error"),
}


@pytest.mark.parametrize("place, fail, message", PASSING.values(), ids=PASSING)
def test_what_says_nothing_of_the_file_sets_nothing_aside(two, tmp_path, monkeypatch, place, fail, message):
    """A machine that is short of memory or storage for a moment would lose a run all its good checkpoints."""
    _, newest = two
    run = Run(tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(place, fail)
        with pytest.raises((RecipeError, OSError)) as refusal:
            run.checkpointer.recover_if_possible()
        assert message.format(newest=newest) in in_words(refusal.value)
    assert run.checkpointer.recover_if_possible().path == newest and not run.warnings


def test_a_checkpoint_that_its_training_deletes_meanwhile_is_left_out(two, tmp_path, monkeypatch):
    """By what only reads: another average, a search that is tuned."""
    _, newest = two
    warnings = []
    stored = StoredCheckpoints(tmp_path, warn=warnings.append)
    listed = stored.list_checkpoints()
    shutil.rmtree(newest)
    monkeypatch.setattr(stored, "list_checkpoints", lambda: [one for one in listed if one.path not in stored.left_out])
    assert average_checkpoints(stored, "best-2").epochs == [1]
    (warning,) = warnings
    assert warning == f"{newest} is damaged and left out: model.ckpt is missing"


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
    warnings = []
    stored = StoredCheckpoints(tmp_path, warn=warnings.append)
    assert average_checkpoints(stored, "best-2").epochs == [1]
    assert warnings == [f"{two[1]} is damaged and left out: model.ckpt is not what was written"]
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
    warnings = []
    stored = StoredCheckpoints(tmp_path, warn=warnings.append)
    assert average_checkpoints(stored, "best-2").epochs == [1]
    assert warnings == [f"{two[1]} is damaged and left out: weight in model.ckpt is not finite"]
    assert Run(tmp_path).checkpointer.recover_if_possible().path == two[0]
    saved_by_an_earlier_version(two[0], float("inf"))
    with pytest.raises(RecipeError, match=f"no finished epoch in {tmp_path} "):
        average_checkpoints(Run(tmp_path).checkpointer, "best-2")


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


def test_a_run_whose_checkpoints_are_all_damaged_keeps_what_is_its_own(tmp_path, capsys):
    """The tokenizer, without which nothing could be mended, is not trained anew."""
    corpus, output = small_corpus(tmp_path / "corpus"), tmp_path / "run"
    assert train(corpus, output, "--number_of_epochs", "2") == 0
    (output / "averaged.ckpt").unlink()
    for folder in (output / "checkpoints").iterdir():
        flip(folder / "optimizer.ckpt")
    tokenizer = output / "tokenizer" / "tokenizer.model"
    before = tokenizer.read_bytes(), tokenizer.stat().st_mtime_ns
    for _ in range(2):
        capsys.readouterr()
        assert train(corpus, output, "--number_of_epochs", "2", "--seed", "7") == 2
        assert "another recipe" in capsys.readouterr().err
        assert train(corpus, output, "--number_of_epochs", "2") == 2
        assert capsys.readouterr().err.startswith(f"error: no checkpoint in {output / 'checkpoints'} can be used any")
    assert (tokenizer.read_bytes(), tokenizer.stat().st_mtime_ns) == before
