"""A trained recogniser in use: recordings in, text out. What needs torch is imported when it is asked for.

So that transcribing with an exported model imports neither torch nor SpeechBrain.
"""

from typing import TYPE_CHECKING

from recipes.faces import lazy_face
from recipes.inference.transcript import Transcript, Word

if TYPE_CHECKING:
    from recipes.inference.transcriber import Transcriber

__all__ = ["Transcriber", "Transcript", "Word"]

__getattr__ = lazy_face(__name__, transcriber=["Transcriber"])
