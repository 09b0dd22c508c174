"""Measurements, each a command `python -m benchmarks.NAME --help`; results/README.md has what they gave.

memory, speed           memory and time of mixers and models
probes, overfit         what a mixer can learn: tasks over vectors, four utterances by heart
search, cores           speed of the beam search, decoding on all cores
streaming, server       errors and cost of streams, latency of the server
inference, long_recordings, timestamps      transcribing: formats, hours of audio, times of words
preparation, padding    cost of preparing data, padding of batches
stock_parity            training beside SpeechBrain's own models
reliability             kills, wrong input, running for long
"""
