"""What a run shows and writes while it trains: a progress bar, a text log, a machine-readable log, curves."""

import logging
import sys
import time
from pathlib import Path

from tqdm import tqdm

from recipes.scoring.results import EpochRecord
from recipes.training.processes import is_main


class LogFile(logging.FileHandler):
    """Of a disk that is full the log says nothing: whatever else cannot be written ends the run, with one line."""

    def handleError(self, record):
        if not isinstance(sys.exception(), OSError):
            super().handleError(record)


class RunLogger:
    """Writes `log.txt` (for people) and `log.jsonl` (a JSON object a line) into the run's folder.

    Messages of libraries go to `log.txt` only. Processes other than the main process write and show nothing.
    tensorboard: write curves for TensorBoard too, under `tensorboard/`. Until `close` the root logger is this one's.
    """

    def __init__(self, folder: Path, *, tensorboard: bool = False):
        self.folder, self.active, self.curves = folder, is_main(), None
        if self.active and tensorboard:
            from torch.utils.tensorboard import SummaryWriter  # slow to import, seldom asked for

            self.curves = SummaryWriter(str(folder / "tensorboard"))
        if self.active:
            folder.mkdir(parents=True, exist_ok=True)
            self.file = LogFile(folder / "log.txt", encoding="utf-8")
            self.file.setFormatter(logging.Formatter("%(asctime)s %(name)s %(message)s"))
            root = logging.getLogger()
            self.replaced = list(root.handlers), root.level
            root.handlers[:] = [self.file]
            root.setLevel(logging.INFO)

    def close(self) -> None:
        """Close the files, and give the root logger back as it was. Messages are still shown."""
        if self.active:
            root = logging.getLogger()
            root.handlers[:], level = self.replaced
            root.setLevel(level)
            self.file.close()
        if self.curves is not None:
            self.curves.close()

    def info(self, message: str) -> None:
        """Show a message on the screen, without tearing a progress bar, and write it into the text log."""
        if self.active:
            tqdm.write(message, file=sys.stdout)
            sys.stdout.flush()
            logging.getLogger("run").info(message)

    def log_epoch(self, record: EpochRecord) -> None:
        """Write the epoch into the machine-readable log, all at once.

        Replaces the epoch's record, those of later epochs (the run has gone back to an older checkpoint) and what
        a kill left of a line.
        """
        if self.active:
            records, _ = EpochRecord.read_all(self.folder)
            earlier = [earlier for earlier in records if earlier.epoch < record.epoch]
            EpochRecord.write_all([*earlier, record], self.folder)

    def scalars(self, step: int, **values: float | None) -> None:
        """Points of the curves that TensorBoard shows, where it was asked for."""
        if self.curves is not None:
            for name, value in values.items():
                if value is not None:
                    self.curves.add_scalar(name, value, step)
            self.curves.flush()


class EpochBar:
    """Progress of a training epoch with loss, learning rate, and the time left of the whole run."""

    def __init__(self, epoch: int, epochs: int, batches: int, done: int, show: bool):
        self.epochs_after, self.batches, self.first = epochs - epoch, batches, done
        self.started = time.monotonic()
        self.bar = tqdm(
            total=batches,
            initial=done,
            desc=f"epoch {epoch}/{epochs}",
            unit="batch",
            dynamic_ncols=True,
            disable=not show,
            mininterval=0.5 if sys.stderr.isatty() else 30,
        )

    def update(self, batches: int, loss: float | None, lr: float) -> None:
        """So many batches more are done."""
        self.bar.update(batches)
        seconds_a_batch = (time.monotonic() - self.started) / max(self.bar.n - self.first, 1)
        seconds_left = seconds_a_batch * (self.batches * (self.epochs_after + 1) - self.bar.n)
        left = tqdm.format_interval(seconds_left)
        self.bar.set_postfix_str(f"loss {loss or 0:.3f}, lr {lr:.1e}, run ends in {left}", refresh=False)

    def close(self) -> None:
        self.bar.close()


def loss_text(loss: float | None) -> str:
    """As it stands on the screen; None: of no batch, or of none that was finite."""
    return "-" if loss is None else f"{loss:.3f}"
