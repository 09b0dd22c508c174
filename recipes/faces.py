"""Faces of packages whose modules are imported when a name of theirs is asked for.

SpeechBrain takes most of a second to import: what transcribes must not wait for what trains.
"""

import importlib
from collections.abc import Callable, Sequence
from typing import Any


def lazy_face(package: str, **modules: Sequence[str]) -> Callable[[str], Any]:
    """The `__getattr__` of a package. modules: the names that each of its modules gives."""
    homes = {name: f"{package}.{module}" for module, names in modules.items() for name in names}

    def look_up(name: str) -> Any:
        if name not in homes:
            raise AttributeError(f"module {package!r} has no attribute {name!r}")
        return getattr(importlib.import_module(homes[name]), name)

    return look_up
