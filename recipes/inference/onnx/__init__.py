"""Models exported as ONNX: writing the files (`export`), and transcribing with them without torch (`engine`, `stream`).

info                    what a file says of itself, in its metadata
export                  from a model to files, which are compared with torch before they are kept
parts, stream_parts     the parts of a model as modules from tensors to tensors; the step of a stream
model, transducer       files of whole recordings, run by onnxruntime
steps, stream           files of streams: chunks and state, by numpy
engine                  what transcribe.py --onnx uses
"""
