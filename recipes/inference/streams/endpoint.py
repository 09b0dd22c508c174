"""When an utterance of a stream is over. Imports no torch."""

from typing import NamedTuple

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

    def is_met(self, frames: int, silence: int, frame_seconds: float) -> bool:
        """frames: of the utterance; silence: at its end, all of them where nothing was said."""
        limit = self.before_speech if silence == frames else self.after_speech
        return silence * frame_seconds >= limit or frames * frame_seconds >= self.longest
