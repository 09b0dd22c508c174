"""What processes that train together (torchrun) do once for all of them."""

from collections.abc import Callable
from typing import TypeVar

from speechbrain.utils.distributed import ddp_barrier, ddp_broadcast, if_main_process

T = TypeVar("T")


def on_main_process(work: Callable[[], T]) -> T:
    """Do the work in the main process alone. All processes wait for its end, and get the result."""
    result = ddp_broadcast(work() if if_main_process() else None)
    ddp_barrier()
    return result
