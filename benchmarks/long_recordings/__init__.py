"""Long recordings: errors (`python -m benchmarks.long_recordings`), and time and memory (`….cost`)."""
