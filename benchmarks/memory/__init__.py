"""Memory and time of a training step against the length of the utterance: `python -m benchmarks.memory`."""
