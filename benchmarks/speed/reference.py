"""Peers of the user's own: the authors' SummaryMixing in a checkout, and any module that a Python file makes.

None of their code is kept here. CC BY-NC code, for example, runs from where the user has it, and only times are
written.
"""

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

from torch import nn

from recipes.errors import RecipeError

AUTHORS_FILE = Path("speechbrain/nnet/summary_mixing.py")  # in github.com/SamsungLabs/SummaryMixing
AUTHORS_MLP = "speechbrain.lobes.models.VanillaNN"  # which theirs imports, from the checkout where it has one
Build = Callable[[int, int], nn.Module]  # of d_model and heads: what a peer is made by, called with [B, T, d_model]


def load_file(path: Path, name: str) -> ModuleType:
    """Run a Python file as a module. Raises RecipeError where there is none, or where it fails."""
    spec = importlib.util.spec_from_file_location(name, path) if path.is_file() else None
    if spec is None or spec.loader is None:
        raise RecipeError(f"{path} is no Python file: give the checkout's folder, or the file")
    module = importlib.util.module_from_spec(spec)
    try:
        spec.loader.exec_module(module)
    except Exception as error:  # whatever the user's file does
        raise RecipeError(f"{path} cannot be loaded: {type(error).__name__}: {error}") from error
    return module


def authors_summary_mixing(folder: Path) -> Callable[[str], Build]:
    """Makes the authors' module of a mode (``SummaryMixing``, ``SummaryMixing-lite``), from their checkout."""
    mlp = folder / Path(*AUTHORS_MLP.split(".")).with_suffix(".py")
    installed = sys.modules.get(AUTHORS_MLP)
    if mlp.is_file():
        sys.modules[AUTHORS_MLP] = load_file(mlp, AUTHORS_MLP)
    try:
        kind = load_file(folder / AUTHORS_FILE, "reference_summary_mixing").SummaryMixing
    finally:
        if installed is not None:
            sys.modules[AUTHORS_MLP] = installed
        elif mlp.is_file():
            del sys.modules[AUTHORS_MLP]

    def of_mode(mode: str) -> Build:
        return lambda d_model, heads: kind(
            enc_dim=d_model,
            nhead=heads,
            local_proj_hid_dim=[d_model],
            local_proj_out_dim=d_model,
            summary_hid_dim=[d_model],
            summary_out_dim=d_model,
            mode=mode,
        )

    return of_mode


def users_peer(text: str) -> tuple[str, Build]:
    """``MIXER=FILE.py:FUNCTION``: the mixer's name, and the function of d_model and heads that makes its peer.

    Raises RecipeError for another form, and for a file without the function.
    """
    mixer, _, rest = text.partition("=")
    file, _, function = rest.rpartition(":")
    if not (mixer and file and function):
        raise RecipeError(f"--peer {text}: write MIXER=FILE.py:FUNCTION")
    module = load_file(Path(file), f"peer_of_{mixer}")
    if not callable(getattr(module, function, None)):
        raise RecipeError(f"--peer {text}: {file} has no function {function}")
    return mixer, getattr(module, function)
