"""Joint scores and times of our search and of SpeechBrain's."""

import functools
import statistics
import time
from collections.abc import Callable, Iterable

from torch import nn

from recipes.decoding import BeamSearch
from recipes.stock.search import SearchTask, joint_score, run_stock, stock_search

STOCK = {"stock_full": False, "stock_partial": True}  # SpeechBrain's searches: whether CTC scoring is partial
TOLERANCE = 1e-6  # two joint scores that differ by no more are equal


def compare(batches: list[SearchTask], search: BeamSearch) -> dict[str, dict[str, float]]:
    """For each of SpeechBrain's searches: on how many utterances the joint score is the same, or higher for either."""
    results = {name: {"same": 0, "ours_higher": 0, "stock_higher": 0, "largest_deficit": 0.0} for name in STOCK}
    for batch in batches:
        ours = [hypotheses[0] for hypotheses in search(batch.decoder, batch.encoded, batch.ctc_log_probs)]
        for name, partial in STOCK.items():
            result = results[name]
            theirs = run_stock(stock_search(batch, search, partial=partial), batch.encoded)
            for row, pair in enumerate(zip(ours, theirs, strict=True)):
                our_tokens, their_tokens = (hypothesis.tokens for hypothesis in pair)
                task = batch.utterance(row)
                deficit = 0.0
                if our_tokens != their_tokens:
                    deficit = joint_score(task, their_tokens, search) - joint_score(task, our_tokens, search)
                outcome = "same" if abs(deficit) <= TOLERANCE else "stock_higher" if deficit > 0 else "ours_higher"
                result[outcome] += 1
                result["largest_deficit"] = round(max(result["largest_deficit"], deficit), 6)
    return results


def measure(task: SearchTask, search: BeamSearch, names: Iterable[str], repeats: int, most_seconds: float) -> dict:
    """Median seconds and decoder steps of our search and of SpeechBrain's ``names``, which take turns.

    repeats: of each search, but none more of a search that has taken ``most_seconds``.
    """
    stock = {name: stock_search(task, search, partial=STOCK[name]) for name in names}
    runs: dict[str, Callable[[], object]] = {"ours": lambda: search(task.decoder, task.encoded, task.ctc_log_probs)}
    runs |= {name: functools.partial(run_stock, searcher, task.encoded) for name, searcher in stock.items()}
    # The output layers, which run once in every step.
    outputs = {"ours": task.decoder.out, **{name: searcher.fc for name, searcher in stock.items()}}
    seconds: dict[str, list[float]] = {name: [] for name in runs}
    steps = {}
    runs["ours"]()  # warm-up
    for _ in range(repeats):
        for name, run in runs.items():
            if sum(seconds[name]) <= most_seconds:
                duration, steps[name] = timed(run, outputs[name])
                seconds[name].append(duration)
    median = {name: statistics.median(durations) for name, durations in seconds.items()}
    return {
        "repeats": {name: len(durations) for name, durations in seconds.items()},
        "seconds": {name: round(duration, 4) for name, duration in median.items()},
        "steps": steps,
        "times_ours": {name: round(median[name] / median["ours"], 1) for name in stock},
    }


def timed(run: Callable[[], object], output: nn.Module) -> tuple[float, int]:
    """Seconds of a call, and how often it ran the module ``output``."""
    calls = 0

    def count(*_) -> None:
        nonlocal calls
        calls += 1

    hook = output.register_forward_hook(count)
    begin = time.perf_counter()
    run()
    duration = time.perf_counter() - begin
    hook.remove()
    return duration, calls
