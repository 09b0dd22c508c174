"""Our beam search beside SpeechBrain's own, with the same weights: `python -m benchmarks.search RUN_FOLDER`."""
