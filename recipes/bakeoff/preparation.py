"""What runs of a comparison prepare alike, manifests and tokenizer, is made once and copied.

A run still checks what it finds, as in any folder that was stopped: what does not fit its own recipe and data is made
anew there.
"""

import shutil
from collections.abc import Iterable
from pathlib import Path

MANIFESTS, TOKENIZER = "manifests", "tokenizer"
COMPLETE = Path(TOKENIZER) / "tokenizer.json"  # the last file of a run's preparation


def copy_preparation(folder: Path, runs: Iterable[Path], comparison: Path) -> None:
    """Into the new folder of a run, from another run that has prepared its data; manifests from the comparison else.

    runs: folders of all runs; comparison: its own folder. A folder that is there already is left as it is.
    """
    if folder.exists():
        return
    prepared = next((run for run in runs if (run / COMPLETE).is_file()), None)
    for name in (MANIFESTS, TOKENIZER):
        source = (prepared or comparison) / name
        if source.is_dir():
            shutil.copytree(source, folder / name)
