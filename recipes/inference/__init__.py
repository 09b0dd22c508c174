"""A trained recogniser in use: recordings in, text out."""

from recipes.inference.transcript import Transcript, Word

__all__ = ["Transcript", "Word"]
