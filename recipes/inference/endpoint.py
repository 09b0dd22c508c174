"""When an utterance of a stream is over. Imports no torch."""

from typing import NamedTuple

from data_prep.tokenizer import BLANK
from recipes.errors import RecipeError


class Endpoint(NamedTuple):
    """Rules in seconds, each ending an utterance; the defaults are those of sherpa-onnx.

    before_speech: of silence with nothing said. after_speech: of silence after something was said. longest: of an
    utterance, whatever is said.
    """

    before_speech: float = 2.4
    after_speech: float = 1.2
    longest: float = 20.0

    def check(self) -> None:
        """Raises RecipeError for what is no time."""
        for name, seconds in self._asdict().items():
            if not seconds > 0:
                raise RecipeError(f"endpoint: {name} must be a number of seconds above 0, not {seconds}")

    def is_met(self, path: list[int], silence: int, frame_seconds: float) -> bool:
        """path: CTC's output of each frame of the utterance; silence: of how many blanks it ends in."""
        limit = self.before_speech if silence == len(path) else self.after_speech
        return silence * frame_seconds >= limit or len(path) * frame_seconds >= self.longest


def trailing_blanks(path: list[int]) -> int:
    """How many blanks a path ends in."""
    return next((count for count, output in enumerate(reversed(path)) if output != BLANK), len(path))
