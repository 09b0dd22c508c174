"""Transcribing with ONNX files, by onnxruntime and numpy: nothing here imports torch or SpeechBrain.

info                what a file says of itself, in its metadata
model, transducer   files of whole recordings: CTC, and the folder of a transducer
engine              recordings to transcripts, as `transcribe.py --onnx` does
steps, stream       files of streams: chunks and state; their text

What writes these files is `recipes.inference.export`.
"""
