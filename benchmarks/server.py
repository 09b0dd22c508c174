"""Clients that speak to the live server in real time, all at once: python -m benchmarks.server RUN --clients 8

Each client sends utterances of its own from a test split, a tenth of a second at a time as a microphone would. A word's
latency is the time from the end of the spoken word until a message first shows it as in the final text. The server is a
process of its own. For comparison, the latency is also given for a server that computes and sends in no time, so that
only waiting for the end of the chunk is left.
"""

import argparse
import asyncio
import json
import os
import re
import signal
import sys
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import NamedTuple

import numpy as np

from benchmarks.long_recordings.accuracy import joined
from benchmarks.results_file import earlier_results
from data_prep.arguments import ArgumentParser
from data_prep.errors import DataError, command_line
from recipes.files import write_json
from recipes.inference import Transcriber
from recipes.inference.audio.samples import SAMPLE_RATE
from recipes.provenance import machine
from recipes.scoring import DecodedUtterance, decoded_file

PIECE = SAMPLE_RATE // 10
SAME_WORD = 0.1  # seconds by which the beginning of a word may differ from one text to the next


class Received(NamedTuple):
    """A message and when it came, in seconds after the client's first sample was spoken."""

    seconds: float
    message: dict


class Latencies(NamedTuple):
    """Seconds of every word, and milliseconds within which half of them and 95 % lie."""

    of_words: list[float]
    p50: int
    p95: int


@command_line
def main(argv=None):
    parser = ArgumentParser(
        prog="python -m benchmarks.server", description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("run", type=Path, metavar="RUN", help="a run that was tested on the split; its data in place")
    parser.add_argument("--split", default="test-clean")
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--seconds", type=float, default=30.0, help="that each client speaks")
    parser.add_argument("--chunk", type=int, default=16, help="frames of 40 ms")
    parser.add_argument("--threads", type=int, default=1, help="of the server")
    parser.add_argument("--out", type=Path, help="JSON file for the figures")
    options = parser.parse_args(argv)
    earlier_results(options.out, "benchmarks.server", ())
    utterances = DecodedUtterance.read_all(decoded_file(options.run, options.split))
    speech = [recording.samples for recording in joined(utterances, options.run, options.seconds / 60)]
    if len(speech) <= options.clients:  # the last one may be short
        least = f"{len(speech) - 1} times {options.seconds:g} s"
        raise DataError(f"{options.split} holds {least}: give fewer --clients or --seconds")
    speech = [samples[: int(options.seconds * SAMPLE_RATE)] for samples in speech[: options.clients]]
    figures = asyncio.run(measure(options, speech))
    print(json.dumps(figures, indent=1))
    if options.out:
        command = f"python -m benchmarks.server RUN --clients {options.clients} --seconds {options.seconds:g}"
        write_json(options.out, {"command": f"{command} --chunk {options.chunk}", "machine": machine("cpu"), **figures})


async def measure(options: argparse.Namespace, speech: Sequence[np.ndarray]) -> dict:
    import aiohttp

    server = await asyncio.create_subprocess_exec(
        *[sys.executable, "-m", "recipes.inference.serve", str(options.run), "--port", "0", "--device", "cpu"],
        *["--chunk", str(options.chunk), "--threads", str(options.threads), "--clients", str(len(speech))],
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
    )
    assert server.stdout is not None
    url = (await server.stdout.readline()).decode().strip()
    if not url:
        raise DataError(f"the server did not start: {(await server.communicate())[1].decode().strip()}")
    before = cpu_seconds(server.pid)
    async with aiohttp.ClientSession() as session:
        # Clients begin at different times within a chunk, as people do.
        delays = np.linspace(0, options.chunk * 0.04, len(speech), endpoint=False)
        started = time.perf_counter()
        by_client = await asyncio.gather(
            *(speak(session, f"{url}/stream", samples, delay) for samples, delay in zip(speech, delays, strict=True))
        )
        wall = time.perf_counter() - started
    spent = cpu_seconds(server.pid) - before
    server.send_signal(signal.SIGTERM)
    batches, streams = re.findall(r"(\d+) batches of ([\d.]+) streams", (await server.communicate())[1].decode())[0]
    latencies, waiting = ms(by_client), ms(received_without_delay(options, speech))
    seconds = [len(samples) / SAMPLE_RATE for samples in speech]
    last = max(messages[-1].seconds - spoken for messages, spoken in zip(by_client, seconds, strict=True))
    return {
        "chunk": options.chunk,
        "clients": len(speech),
        "seconds": round(sum(seconds), 1),
        "words": len(latencies.of_words),
        "algorithmic_latency_ms": by_client[0][0].message["latency_ms"],
        "word_latency_p50_ms": latencies.p50,
        "word_latency_p95_ms": latencies.p95,
        "waiting_alone_p50_ms": waiting.p50,
        "waiting_alone_p95_ms": waiting.p95,
        "last_text_after_ms": round(1000 * last),
        "server_cpu_seconds": round(spent, 1),
        "server_share_of_a_core": round(spent / wall, 3),
        "batches": int(batches),
        "streams_in_a_batch": float(streams),
    }


async def speak(session, url: str, samples: np.ndarray, delay: float) -> list[Received]:
    """Send the samples at the pace of speech; returns all messages of the server."""
    whole = (samples * 2**15).clip(-(2**15), 2**15 - 1).astype("<i2")
    async with session.ws_connect(url) as socket:
        received = [Received(0.0, await socket.receive_json())]
        await asyncio.sleep(delay)
        began = time.perf_counter()

        async def send() -> None:
            for start in range(0, len(whole), PIECE):
                spoken = min(start + PIECE, len(whole)) / SAMPLE_RATE
                await asyncio.sleep(max(began + spoken - time.perf_counter(), 0))
                await socket.send_bytes(whole[start : start + PIECE].tobytes())
            await socket.send_json({"type": "end"})

        sending = asyncio.create_task(send())
        async for message in socket:
            received.append(Received(time.perf_counter() - began, message.json()))
        await sending
    if received[-1].message["type"] != "end":
        raise DataError(f"the server said {received[-1].message}")
    return received


def received_without_delay(options: argparse.Namespace, speech: Sequence[np.ndarray]) -> list[list[Received]]:
    """The messages that clients would receive from a server that takes no time, by client."""
    model = Transcriber.load(options.run, device="cpu")
    by_client = []
    for samples in speech:
        stream, received = model.stream(chunk=options.chunk), list[Received]()
        for start in range(0, len(samples), PIECE):
            piece = samples[start : start + PIECE]
            spoken = (start + len(piece)) / SAMPLE_RATE
            received += [Received(spoken, {"type": "text", **asdict(text)}) for text in stream.feed(piece)]
        end = [{"type": "text", **asdict(text)} for text in stream.finish()]
        by_client.append(received + [Received(len(samples) / SAMPLE_RATE, text) for text in end])
    return by_client


def ms(by_client: Sequence[Sequence[Received]]) -> Latencies:
    latencies = [latency for messages in by_client for latency in word_latencies(messages)]
    p50, p95 = (round(1000 * float(np.percentile(latencies, share))) for share in (50, 95))
    return Latencies(latencies, p50, p95)


def word_latencies(messages: Sequence[Received]) -> list[float]:
    """The latency of every word of the final texts, in seconds."""
    texts = [(received.seconds, received.message) for received in messages if received.message["type"] == "text"]
    latencies = []
    for _, final in ((seconds, text) for seconds, text in texts if text["final"]):
        for word in final["words"]:
            shown = next(
                seconds
                for seconds, text in texts
                for other in text["words"]
                if other["text"] == word["text"] and abs(other["start"] - word["start"]) < SAME_WORD
            )
            latencies.append(shown - word["end"])
    return latencies


def cpu_seconds(process: int) -> float:
    """CPU time of a process and its threads so far. Linux only."""
    fields = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    return (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")


if __name__ == "__main__":
    sys.exit(main())
