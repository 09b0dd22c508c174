"""Speed on a CPU, beside stock SpeechBrain and the machine's own matrix products: `python -m benchmarks.speed`."""
