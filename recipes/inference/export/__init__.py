"""Writing trained models as ONNX files: `python -m recipes.inference.export` (see `__main__`). Needs torch.

files           the files, with what they say of themselves in their metadata
graph           from torch to a graph that is seen to give the same numbers; weights in 8 bits
parts           what can be exported of a model for whole recordings, as modules from tensors to tensors
stream_parts    the same for streams: the next chunk, with all state outside

What runs these files is `recipes.inference.onnx`.
"""
