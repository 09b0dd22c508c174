"""Where a result comes from: machine, versions, commit, memory."""

import os
import platform
import resource
import subprocess
from importlib.metadata import version
from pathlib import Path

import torch

PACKAGES = ("torchaudio", "speechbrain")


def peak_memory_mb(device: str = "cpu") -> float:
    """Highest memory of this process so far, in MB of 2^20 bytes: the GPU's where it ran there, else resident."""
    if str(device).startswith("cuda"):
        return round(torch.cuda.max_memory_allocated() / 2**20, 1)
    kilobytes = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return round(kilobytes / (2**20 if platform.system() == "Darwin" else 2**10), 1)


def versions() -> dict[str, str]:
    """Versions of Python and of the packages that a result depends on, from their metadata, without importing them."""
    installed = {name: version(name) for name in PACKAGES}
    return {"python": platform.python_version(), "torch": torch.__version__, **installed}


def commit() -> str | None:
    """The commit of this code, "+changes" when the tree differs from it; None outside a checkout."""
    here = Path(__file__).parent
    try:
        described = subprocess.run(
            ["git", "describe", "--always", "--abbrev=12", "--exclude=*", "--dirty=+changes"],
            cwd=here,
            capture_output=True,
            text=True,
            check=True,
            timeout=10,
        )
    except (OSError, subprocess.SubprocessError):
        return None
    return described.stdout.strip()


def machine(device: str) -> str:
    if device.startswith("cuda"):
        return torch.cuda.get_device_name(device)
    return f"{platform.machine()} CPU, {os.cpu_count()} cores"
