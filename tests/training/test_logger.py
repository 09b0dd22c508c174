"""The logs of a run: each epoch once, whatever happened in between."""

import logging

import pytest

from recipes.scoring import EpochRecord
from recipes.training.logger import LogFile, RunLogger


def record(epoch: int, loss: float = 1.0) -> EpochRecord:
    return EpochRecord(epoch, steps=10 * epoch, seconds=1.5, lr=1e-3, time=1.7e9, metrics={"train_loss": loss})


@pytest.fixture
def logger(tmp_path) -> RunLogger:
    logger = RunLogger(tmp_path)
    for epoch in (1, 2, 3):
        logger.log_epoch(record(epoch))
    return logger


def test_epochs_in_order(logger, tmp_path):
    assert EpochRecord.read_all(tmp_path) == ([record(1), record(2), record(3)], 0)


def test_an_epoch_that_is_trained_again_replaces_its_line(logger, tmp_path):
    logger.log_epoch(record(3, loss=2.0))
    assert (tmp_path / "log.jsonl").read_text().splitlines() == [
        record(1).line(),
        record(2).line(),
        record(3, loss=2.0).line(),
    ]


def test_going_back_drops_the_epochs_behind(logger, tmp_path):
    """The newest checkpoints were damaged."""
    logger.log_epoch(record(2, loss=2.0))
    assert EpochRecord.read_all(tmp_path) == ([record(1), record(2, loss=2.0)], 0)


@pytest.mark.parametrize("torn", [b'{"epoch": 4, "ste', b"\x00\x00\x00", b'{"epoch": 4}\n'])
def test_a_torn_line_is_mended(logger, tmp_path, torn):
    with open(tmp_path / "log.jsonl", "ab") as file:
        file.write(torn)
    logger.log_epoch(record(4))
    assert EpochRecord.read_all(tmp_path) == ([record(number) for number in (1, 2, 3, 4)], 0)


def test_a_full_disk_leaves_the_log(logger, tmp_path, monkeypatch):
    def fail(*_):
        raise OSError(28, "No space left on device")

    before = (tmp_path / "log.jsonl").read_bytes()
    monkeypatch.setattr("data_prep.files.os.fsync", fail)
    with pytest.raises(OSError, match="No space left"):
        logger.log_epoch(record(4))
    assert (tmp_path / "log.jsonl").read_bytes() == before
    assert sorted(path.name for path in tmp_path.iterdir()) == ["log.jsonl", "log.txt"]


def test_a_full_disk_is_not_said_by_the_text_log(logger, monkeypatch, capsys):
    """It would show a traceback for every line; what cannot be written otherwise ends the run."""

    def fail():
        raise OSError(28, "No space left on device")

    (handler,) = (handler for handler in logging.getLogger().handlers if isinstance(handler, LogFile))
    monkeypatch.setattr(handler, "flush", fail)
    logger.info("seen")
    output = capsys.readouterr()
    assert (output.out, output.err) == ("seen\n", "")


def test_the_root_logger_is_given_back(tmp_path):
    """To a program that calls this one."""
    root = logging.getLogger()
    before = list(root.handlers), root.level
    logger = RunLogger(tmp_path, tensorboard=True)
    logger.info("in the log")
    assert root.handlers == [logger.file]
    logger.close()
    root.info("not in it")
    assert (list(root.handlers), root.level) == before and logger.file.stream is None
    text = (tmp_path / "log.txt").read_text()
    assert "in the log" in text and "not in it" not in text


def test_other_processes_write_nothing(tmp_path, monkeypatch):
    monkeypatch.setattr("recipes.training.logger.is_main", lambda: False)
    logger = RunLogger(tmp_path / "run")
    logger.log_epoch(record(1))
    logger.info("unseen")
    assert not (tmp_path / "run").exists()
