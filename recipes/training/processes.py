"""Several processes that train together (torchrun): ranks, work for the main process alone, sums, gathered lists.

Everything works in a single process too. SpeechBrain's helpers take SLURM's number of a task for a rank, although SLURM
numbers the tasks of a job whether or not they train together. Here a rank counts only if there is a process group, or
torchrun is about to make one.
"""

import os
import signal
import sys
import threading
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import TypeVar

import torch
import torch.distributed as dist
from speechbrain.utils.distributed import ddp_barrier, ddp_broadcast, ddp_init_group
from speechbrain.utils.run_opts import RunOptions

from recipes.errors import MISTAKE, USERS_MISTAKES, RecipeError

PARENT_CHECK_SECONDS = 1.0
PATIENCE_SECONDS = 60.0  # for what is being saved
Item = TypeVar("Item")


def under_torchrun() -> bool:
    return "RANK" in os.environ and "LOCAL_RANK" in os.environ


def rank() -> int:
    if dist.is_initialized():
        return dist.get_rank()
    return int(os.environ["RANK"]) if under_torchrun() else 0


def ranks() -> int:
    return dist.get_world_size() if dist.is_initialized() else 1


def is_main() -> bool:
    """Whether this process is the one that writes and speaks."""
    return rank() == 0


def start(run_options: RunOptions) -> RunOptions:
    """Make the process group, if torchrun started this process; returns the options that every Brain must have.

    The backend is gloo where there is no GPU, unless the user names one. A worker ends with torchrun itself. Raises
    RecipeError where the processes cannot be joined.
    """
    if not under_torchrun():
        # SpeechBrain would take SLURM's number of the task for a rank, and write nothing in tasks but the first.
        os.environ["RANK"] = "0"
        return run_options
    on_cpu = not torch.cuda.is_available() or run_options.device == "cpu"
    if on_cpu and "distributed_backend" not in run_options.overridden_args:
        overridden = {*run_options.overridden_args, "distributed_backend"}
        run_options = replace(run_options, distributed_backend="gloo", overridden_args=overridden)
    try:
        ddp_init_group(run_options)
    except (RuntimeError, ValueError, dist.DistError) as error:
        raise RecipeError(f"torchrun: the processes cannot be joined: {str(error).splitlines()[0]}") from None
    # Distributed training would prefer another order of some convolutions' numbers in memory; it costs nothing here.
    warnings.filterwarnings("ignore", message="Grad strides do not match bucket view strides")
    threading.Thread(target=end_with_parent, args=(os.getppid(),), daemon=True).start()
    return run_options


def finish() -> None:
    """End this process well, if it is one of several; call it when all is done."""
    if dist.is_initialized():
        dist.barrier()
        dist.destroy_process_group()
        sys.stdout.flush()
        sys.stderr.flush()
        os._exit(0)  # gloo's threads may outlive what they need at the interpreter's end, which aborts now and then


def end_with_parent(parent: int) -> None:
    """Run in a thread: end this process when its parent (torchrun, say) has died. parent: the parent's process ID."""
    while os.getppid() == parent:
        time.sleep(PARENT_CHECK_SECONDS)
    os.kill(os.getpid(), signal.SIGTERM)  # all workers see it, so that training saves and ends
    time.sleep(PATIENCE_SECONDS)
    os._exit(1)


def on_main_process(work: Callable[[], Item]) -> Item:
    """Do the work in the main process alone. All processes wait for its end and get its result.

    If it raises an error, the main process raises it, and the others exit silently with the same status.
    """
    result, failed = None, None
    try:
        result = work() if is_main() else None
    except Exception as error:
        failed = error
    result, status = ddp_broadcast((result, exit_status(failed)))
    if failed is not None:
        raise failed
    if status:
        raise SystemExit(status)
    ddp_barrier()
    return result


def exit_status(error: Exception | None) -> int:
    if error is None:
        return 0
    return MISTAKE if isinstance(error, USERS_MISTAKES) else 1


def all_sum(values: Sequence[float]) -> list[float]:
    """Each value summed over all processes, in float64; all must call it, with equally many values."""
    if ranks() == 1:
        return list(values)
    device = "cuda" if dist.get_backend() == "nccl" else "cpu"
    summed = torch.tensor(values, dtype=torch.float64, device=device)
    dist.all_reduce(summed)
    return summed.tolist()


def gathered(items: list[Item]) -> list[Item]:
    """The items of all processes, those of the first process first; all must call it."""
    if ranks() == 1:
        return items
    everything: list[list[Item]] = [[] for _ in range(ranks())]
    dist.all_gather_object(everything, items)
    return [item for part in everything for item in part]
