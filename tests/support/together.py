"""Programs as torchrun starts them, several processes that work together, but forked from one that has loaded them.

torchrun itself takes seconds, and so does each process that it starts.
"""

from collections.abc import Sequence
from pathlib import Path

from benchmarks.reliability import programs
from benchmarks.reliability.torchrun import free_port


def run(program: str, arguments: Sequence[str], screen: Path, processes: int = 2) -> tuple[list[int], str]:
    """To their end: each one's exit status, and all that was printed. program: such as "train"."""
    meeting = {"MASTER_ADDR": "127.0.0.1", "MASTER_PORT": str(free_port()), "WORLD_SIZE": str(processes)}
    places = [{"RANK": str(rank), "LOCAL_RANK": str(rank)} for rank in range(processes)]
    programs.load()
    started = [programs.start(program, arguments, screen, {**meeting, **place}) for place in places]
    for process in started:
        process.join(timeout=110)
        if process.exitcode is None:
            programs.kill(process)
    return [process.exitcode for process in started], screen.read_text()
