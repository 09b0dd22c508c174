"""A corpus of LibriSpeech's size, from files to a training's first batch: `python -m benchmarks.preparation`."""
