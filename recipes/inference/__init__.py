"""A trained recogniser in use: recordings in, text out.

    transcriber, recognition        the Python interface; a batch of recordings from samples to transcripts
    audio, recordings, formats      reading audio, what a command line names, writing transcripts
    windows, long                   long recordings: windows for the encoder, pieces for the search
    alignment, words                times and confidences of words
    command*, options, engine       transcribe.py
    streaming, text_stream, listening, frame_tokens, utterance, endpoint       live streams
    serve                           live streams for many clients, over WebSockets
    export, onnx                    models as ONNX, and using them without torch
    release*, model_card, hyperparams, in_speechbrain       folders that others can load

Modules that need torch are imported only when they are used, so that transcribing with an exported model imports
neither torch nor SpeechBrain.
"""

from typing import TYPE_CHECKING

from recipes.faces import lazy_face
from recipes.inference.transcript import Transcript, Word

if TYPE_CHECKING:
    from recipes.inference.transcriber import Transcriber

__all__ = ["Transcriber", "Transcript", "Word"]

__getattr__ = lazy_face(__name__, transcriber=["Transcriber"])
