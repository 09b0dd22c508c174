"""A trained recogniser in use: recordings in, text out. What needs torch is imported when it is asked for.

So that transcribing with an exported model imports neither torch nor SpeechBrain.
"""

from typing import TYPE_CHECKING, Any

from recipes.inference.transcript import Transcript, Word

if TYPE_CHECKING:
    from recipes.inference.transcriber import Transcriber

__all__ = ["Transcriber", "Transcript", "Word"]


def __getattr__(name: str) -> Any:
    if name == "Transcriber":
        from recipes.inference.transcriber import Transcriber

        return Transcriber
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
