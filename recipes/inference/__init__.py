"""A trained recogniser in use: recordings in, text out.

    transcriber         the Python interface: `Transcriber`

    audio               what is transcribed: recordings, read as 16 kHz samples
    recognition         whole recordings to transcripts by a trained model; loading it
    long_recordings     windows for the encoder, pieces for the search
    streams             live streams to partial and final text
    transcripts         text, words with their times, files of transcripts
    command             transcribe.py
    serve               live streams of many clients: python -m recipes.inference.serve
    release             folders that others can load: python -m recipes.inference.release
    export              models to ONNX files: python -m recipes.inference.export
    onnx                transcribing with ONNX files, without torch

    in_speechbrain      what the hyperparams.yaml of every release names, so that SpeechBrain can load it

Modules that need torch are imported only when they are used, so that transcribing with an exported model imports
neither torch nor SpeechBrain.
"""

from typing import TYPE_CHECKING

from recipes.faces import lazy_face
from recipes.inference.transcripts.transcript import Transcript, Word

if TYPE_CHECKING:
    from recipes.inference.transcriber import Transcriber

__all__ = ["Transcriber", "Transcript", "Word"]

__getattr__ = lazy_face(__name__, transcriber=["Transcriber"])
