"""The latency of words that clients of the live server were shown."""

from benchmarks.server import Received, word_latencies


def text(seconds: float, final: bool, *words: tuple[str, float, float]) -> Received:
    said = [{"text": word, "start": start, "end": end} for word, start, end in words]
    return Received(seconds, {"type": "text", "final": final, "words": said})


def test_a_word_counts_from_its_end_to_when_it_was_first_shown_as_it_stayed():
    messages = [
        Received(0.0, {"type": "ready"}),
        text(1.0, False, ("ONE", 0.1, 0.4), ("TO", 0.6, 0.8)),
        text(2.0, False, ("ONE", 0.1, 0.4), ("TWO", 0.65, 0.9)),
        text(3.5, True, ("ONE", 0.1, 0.4), ("TWO", 0.65, 0.9), ("TEN", 2.0, 2.5)),
        text(6.0, True, ("ONE", 5.0, 5.5)),  # the word again, but another one
        Received(6.1, {"type": "end"}),
    ]
    assert [round(latency, 3) for latency in word_latencies(messages)] == [0.6, 1.1, 1.0, 0.5]
