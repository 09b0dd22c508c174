"""What a client may take. Imports no torch."""

import math
from typing import NamedTuple

from recipes.errors import RecipeError


class Limits(NamedTuple):
    """clients: at one time. minutes: of audio of one stream. idle: seconds without audio until a stream is ended.

    buffer: seconds of a client's audio that wait to be computed, a chunk at least; while there are more its connection
    is not read, so that a client which sends faster than that waits too.
    """

    clients: int = 16
    buffer: float = 10.0
    minutes: float = 60.0
    idle: float = 30.0

    def check(self) -> None:
        """Raises RecipeError for limits that let nobody in."""
        if self.clients < 1:
            raise RecipeError(f"--clients must be 1 or more, not {self.clients}")
        for name in ("buffer", "minutes", "idle"):
            value = getattr(self, name)
            if not 0 < value < math.inf:
                raise RecipeError(f"--{name} must be above 0, not {value:g}")
