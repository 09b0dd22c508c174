"""SIGTERM and Ctrl-C as a request to stop, which training follows at its next safe moment."""

import signal
import threading

SIGNALS = (signal.SIGTERM, signal.SIGINT)


class Stop(KeyboardInterrupt):
    """Training was asked to stop, has saved, and ends. The message says how to go on."""


class StopRequest:
    """While entered, the first signal only sets ``signal_name``; a second one interrupts at once.

    SLURM sends SIGTERM before it takes a machine away, torchrun when another process has failed.
    Outside of the main thread, where Python takes no signals, nothing changes.
    """

    def __init__(self):
        self.signal_name: str | None = None
        self._before: dict[int, object] = {}

    def __enter__(self) -> "StopRequest":
        if threading.current_thread() is threading.main_thread():
            self._before = {number: signal.signal(number, self._handle) for number in SIGNALS}
        return self

    def __exit__(self, *_) -> None:
        for number, handler in self._before.items():
            signal.signal(number, handler)
        self._before = {}

    def _handle(self, number: int, frame) -> None:
        if self.signal_name is not None:
            raise KeyboardInterrupt
        self.signal_name = signal.Signals(number).name


def outlive_first_signal(worker: int) -> None:
    """`worker_init_fn` of a DataLoader: the first SIGTERM or Ctrl-C leaves a loading process alive, a second ends it.

    A scheduler and a terminal signal all processes of a job at once; without its loading processes the training could
    not reach its next safe moment. worker: its number, of no use here.
    """
    StopRequest().__enter__()
