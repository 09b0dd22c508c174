"""One engine in a process of its own: python -m benchmarks.inference.worker THREADS (torch RUN RECIPE | onnx FILE)

It reads requests, a JSON object a line: files to transcribe, and whether by greedy CTC or by beam search. It answers
each with the wall and CPU seconds that it took, and the peak memory of the process so far.
"""

import json
import os
import sys
import time
from pathlib import Path

from benchmarks.preparation.first_batch import peak_mb
from recipes.inference.audio.recordings import find_recordings
from recipes.inference.recognition.engine import Engine


def engines(kind: str, threads: int, arguments: list[str]) -> dict[str, Engine]:
    """The engines by search. The process of an exported model does not import torch."""
    if kind == "onnx":
        from recipes.inference.onnx.engine import OnnxEngine
        from recipes.inference.onnx.model import OnnxModel

        return {"greedy": OnnxEngine(OnnxModel(Path(arguments[0]), threads))}
    import torch

    from benchmarks.inference.models import loaded
    from recipes.inference.transcriber import Transcriber

    torch.set_num_threads(threads)
    run, recipe = arguments
    model = loaded(Path(run), Path(recipe) if recipe else None)
    searches = {"greedy": None, "beam": model.search}
    return {name: Transcriber(model._replace(search=search), device="cpu") for name, search in searches.items()}


def main(argv: list[str]) -> int:
    threads, kind, *arguments = argv
    by_search = engines(kind, int(threads), arguments)
    print("ready", flush=True)
    for line in sys.stdin:
        request = json.loads(line)
        recordings = find_recordings(request["files"])
        wall, cpu = time.perf_counter(), time.process_time()
        for outcome in by_search[request["search"]].transcribe_each(recordings):
            assert outcome.error is None, outcome.error
        answer = {
            "seconds": time.perf_counter() - wall,
            "cpu_seconds": time.process_time() - cpu,
            "peak_mb": peak_mb(os.getpid()),
        }
        print(json.dumps(answer), flush=True)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
