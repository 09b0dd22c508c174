"""What a model costs and what a mixer can carry: `python -m benchmarks.memory`, `.search` and `.probes`."""
