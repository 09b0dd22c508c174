"""A training that ends at its first batch: python -m benchmarks.preparation.first_batch RESULT DATA_FOLDER RUN …

Writes into RESULT the seconds since this process began, and the peak memory of the loading processes. The model is
tiny and batches are short, so that little of the time is the model's. More arguments are train.py's.
"""

import json
import multiprocessing
import os
import runpy
import sys
import time
from pathlib import Path

from data_prep.arguments import ArgumentParser
from recipes.errors import command_line

RECIPE = "hparams/conformer_summarymixing.yaml"
TINY = (
    "--device cpu --noprogressbar --workers 2 --d_model 16 --heads 2 --layers 2 --d_ffn 32 --kernel_size 3"
    " --decoder_layers 1 --batch_seconds 60"
).split()


def seconds_since_start() -> float:
    """Seconds since this process started, by the system, so the time before the first line of Python counts too."""
    started = int(Path("/proc/self/stat").read_text().rpartition(")")[2].split()[19]) / os.sysconf("SC_CLK_TCK")
    return time.clock_gettime(time.CLOCK_BOOTTIME) - started


def peak_mb(process: int) -> int:
    lines = Path(f"/proc/{process}/status").read_text().splitlines()
    return round(next(int(line.split()[1]) for line in lines if line.startswith("VmHWM:")) / 2**10)


@command_line
def main(argv=None):
    parser = ArgumentParser(prog="python -m benchmarks.preparation.first_batch", description=__doc__)
    parser.add_argument("result", type=Path, metavar="RESULT", help="JSON file for the figures")
    parser.add_argument("data_folder", metavar="DATA_FOLDER", help="a corpus")
    parser.add_argument("run", metavar="RUN", help="folder for the run")
    own, options = parser.parse_known_args(argv)
    from recipes.training.trainer import Trainer

    def stop(trainer, group, total_steps):
        figures = {"seconds": round(seconds_since_start(), 1)}
        figures["worker_mb"] = max(peak_mb(child.pid) for child in multiprocessing.active_children())
        own.result.write_text(json.dumps(figures))
        raise SystemExit(0)

    Trainer.fit_group = stop
    sys.argv = ["train.py", RECIPE, "--data_folder", own.data_folder, "--output_folder", own.run, *TINY, *options]
    runpy.run_path("train.py", run_name="__main__")  # as the program that it is; it ends in `stop`, or by its error
    return 1


if __name__ == "__main__":
    sys.exit(main())
