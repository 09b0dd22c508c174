"""How fast transcribing is, by torch and by exported models: `python -m benchmarks.inference RUN_FOLDER`."""
