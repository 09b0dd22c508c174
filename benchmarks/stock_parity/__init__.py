"""Training beside stock SpeechBrain's own recogniser, on the same data: `python -m benchmarks.stock_parity --help`."""
