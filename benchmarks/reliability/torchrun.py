"""Programs of this repository started by torchrun, several processes of one thread on this machine."""

import os
import socket
import subprocess
import sys
from collections.abc import Sequence

from benchmarks.reliability.programs import ROOT

ENVIRONMENT = {**os.environ, "OMP_NUM_THREADS": "1", "PYTHONPATH": str(ROOT)}


def start(program: str, arguments: Sequence[str], processes: int = 2) -> subprocess.Popen:
    """Started in a process group of its own; both outputs in one pipe."""
    options = [f"--nproc_per_node={processes}", f"--master_port={free_port()}"]
    command = [sys.executable, "-m", "torch.distributed.run", *options]
    environment = {key: value for key, value in ENVIRONMENT.items() if key not in ("RANK", "LOCAL_RANK", "WORLD_SIZE")}
    return subprocess.Popen(
        [*command, str(ROOT / program), *arguments],
        env=environment,
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
        start_new_session=True,
    )


def free_port() -> int:
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        return free.getsockname()[1]


def run(program: str, arguments: Sequence[str], processes: int = 2) -> tuple[int, str]:
    """To its end: the exit status, and all that was printed."""
    process = start(program, arguments, processes)
    printed, _ = process.communicate(timeout=110)
    return process.returncode, printed
