"""What importing the modules of data_prep loads."""

import subprocess
import sys
from pathlib import Path

import data_prep

FOLDER = Path(data_prep.__file__).parent
MODULES = sorted(f"data_prep.{path.stem}" for path in FOLDER.glob("[!_]*.py") if path.stem != "synthesize")


def loaded_by(*modules):
    """Names of all modules that a fresh Python has after importing these."""
    code = f"import sys, {', '.join(modules)}; print(*sys.modules)"
    return subprocess.check_output([sys.executable, "-c", code], cwd=FOLDER.parent, text=True).split()


def test_the_synthesiser_is_loaded_by_its_own_command_alone():
    assert len(MODULES) >= 9
    loaded = loaded_by(*MODULES)
    assert set(MODULES) <= set(loaded)
    assert not [name for name in loaded if name.startswith(("data_prep.synth", "espeakng", "recipes", "torch"))]
    assert "data_prep.synthetic" in loaded_by("data_prep.synthesize")
