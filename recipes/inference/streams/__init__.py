"""Live streams: samples in as they come, partial and final text out.

text_stream     a stream as it is seen from outside; what computes its chunks is a subclass
stream          that of a trained model, by torch; that of an exported one is `recipes.inference.onnx.stream`
chunks          how samples become chunks
listening       finding the tokens of frames without a search, by torch
frame_tokens    the tokens that begin in a frame
utterance       what was heard since the last endpoint
endpoint        when an utterance is over
"""
