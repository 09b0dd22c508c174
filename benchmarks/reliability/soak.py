"""A training of many epochs: memory and time of an epoch stay what they were at the start."""

import statistics
import time
from itertools import pairwise
from pathlib import Path

from benchmarks.reliability.programs import ProgramFailed, kill, start
from benchmarks.reliability.tiny_run import arguments
from recipes.scoring import EpochRecord

EARLY = 5  # the epoch whose memory is the measure: by then everything has been loaded
POLL_SECONDS = 0.01
# Several checkpoints within an epoch, of which the first and the last must cost the same.
OPTIONS = ("--ckpt_interval_minutes", "0", "--ckpt_interval_steps", "2", "--batch_seconds", "10")


def soak(data: Path, folder: Path, epochs: int) -> dict:
    """Train so many epochs. Memory is the resident size of the training process, read from /proc."""
    output, screen = folder / "soak", folder / "soak.screen"
    process = start("train", arguments(data, output, *OPTIONS, "--number_of_epochs", str(epochs)), screen)
    memory = {}
    try:
        for epoch in (EARLY, epochs):
            while last_epoch(output) < epoch:
                if process.exitcode is not None:
                    raise ProgramFailed(screen.read_text(encoding="utf-8"))
                time.sleep(POLL_SECONDS)
            memory[epoch] = resident_mb(process.pid)
    finally:
        if process.exitcode is None:
            kill(process)
    records, _ = EpochRecord.read_all(output)
    seconds = [after.time - before.time for before, after in pairwise(records)]
    share = max(len(seconds) // 10, 1)
    return {
        "epochs": epochs,
        "optimizer_steps": records[-1].steps,
        "rss_mb": memory[EARLY],
        "rss_growth_mb": round(memory[epochs] - memory[EARLY], 1),
        "epoch_seconds": {
            "first_tenth": round(statistics.median(seconds[:share]), 2),
            "last_tenth": round(statistics.median(seconds[-share:]), 2),
        },
    }


def last_epoch(output: Path) -> int:
    records, _ = EpochRecord.read_all(output)
    return records[-1].epoch if records else 0


def resident_mb(process: int) -> float:
    for line in Path(f"/proc/{process}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return round(int(line.split()[1]) / 2**10, 1)
    raise RuntimeError(f"process {process} has no memory: it has ended")
