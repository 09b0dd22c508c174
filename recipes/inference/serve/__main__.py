"""Live recognition for many clients: python -m recipes.inference.serve RUN [--port 8000]

Serves a page, with a microphone and a place to drop files, and a WebSocket at /stream: 16-bit samples at 16 kHz in,
partial and final texts out. All clients' next chunks are one batch of the model. SIGTERM or Ctrl-C ends all streams
with their last text. Keys of the recipe that say how to decode may follow, as for transcribe.py.
"""

import argparse
import asyncio
import contextlib
import os
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from data_prep.arguments import ArgumentParser
from recipes.errors import RecipeError, command_line
from recipes.inference.command.options import check_stream_keys, check_threads
from recipes.inference.serve.limits import Limits
from recipes.inference.streams.chunks import CHUNK

if TYPE_CHECKING:
    from recipes.inference.streams.stream import Stream

INSTALL = "pip install -r requirements-serve.txt"
PATIENCE = 20.0  # seconds to finish all streams in
LOOPBACK = "127.0.0.1"
EVERYWHERE = ("0.0.0.0", "::")


def parse(argv: Sequence[str] | None = None) -> tuple[argparse.Namespace, list[str]]:
    parser = ArgumentParser(
        prog="python -m recipes.inference.serve",
        description=__doc__,
        allow_abbrev=False,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    add, limits = parser.add_argument, Limits()
    add("run", help="a folder that train.py wrote, or a release")
    add("--host", default=LOOPBACK, help="address to listen at (default: %(default)s, for this machine alone)")
    add("--port", type=int, default=8000, help="default: %(default)s; 0: any that is free")
    add("--origin", action="append", default=[], metavar="URL", help="whose pages may use it too: https://name:port")
    add("--clients", type=int, default=limits.clients, help="at one time (default: %(default)s)")
    add("--buffer", type=float, default=limits.buffer, metavar="SECONDS", help="of a client's audio that may wait")
    add("--minutes", type=float, default=limits.minutes, help="of audio in a stream (default: %(default)g)")
    add("--idle", type=float, default=limits.idle, metavar="SECONDS", help="without audio, after which a stream ends")
    add("--chunk", type=int, default=CHUNK, metavar="FRAMES", help="40 ms each (default: %(default)s)")
    add("--left_chunks", type=int, metavar="N", help="that a chunk sees before it (default: all)")
    add("--rescore", action="store_true", help="final texts by the recipe's search")
    add("--average", help="weights: best-5, last-5, or epochs 3-7; without it, those of the run's own test")
    add("--device", help="cpu, cuda or cuda:1 (default: the first GPU, or the CPU where there is none)")
    add("--eval_precision", metavar="NAME", help="of the computation: fp32, bf16 or fp16 (default: fp32)")
    add("--trust", action="store_const", const=True, help="let the run's recipe name any class: only of one you know")
    add("--threads", type=int, metavar="N", help="of the CPU")
    parser.set_defaults(ngram=None, window=None, piece=None, batch_seconds=None)
    return parser.parse_known_args(argv)


def limits_of(own: argparse.Namespace) -> Limits:
    """Raises RecipeError for values that cannot be."""
    limits = Limits(own.clients, own.buffer, own.minutes, own.idle)
    limits.check()
    if not 0 <= own.port < 2**16:
        raise RecipeError(f"--port must be a whole number from 0 to {2**16 - 1}, not {own.port}")
    check_threads(own.threads)
    for origin in own.origin:
        if not origin.startswith(("http://", "https://")) or origin.count("/") != 2:
            raise RecipeError(
                f"--origin {origin}: give scheme and name, with the port if there is one: https://name:port"
            )
    return limits


def allowed_origins(own: argparse.Namespace, port: int) -> set[str]:
    """The origins of the server's own page, as browsers write them, and those given by --origin.

    Not whatever name a browser came by: another's name can be made to mean this machine.
    """
    names = {"localhost", LOOPBACK, "[::1]", in_address(own.host)}
    if own.host in EVERYWHERE:
        names |= names_of_machine()
    return {f"http://{name}" + f":{port}" * (port != 80) for name in names} | set(own.origin)


def names_of_machine() -> set[str]:
    """Its name in the network, and its address of each kind as far as the system says them; nothing is sent."""
    names = {socket.gethostname()}
    for family, elsewhere in ((socket.AF_INET, "192.0.2.1"), (socket.AF_INET6, "2001:db8::1")):  # for examples alone
        with contextlib.suppress(OSError), socket.socket(family, socket.SOCK_DGRAM) as probe:
            probe.connect((elsewhere, 9))
            names.add(in_address(probe.getsockname()[0]))
    return {name.lower() for name in names}


def in_address(host: str) -> str:
    """A host as addresses have it: with brackets around one of IPv6."""
    return f"[{host}]" if ":" in host else host


async def serve(own: argparse.Namespace, limits: Limits, open_stream: Callable[[], "Stream"]) -> None:
    """Run the server until a signal comes. Raises RecipeError if it cannot listen at the port."""
    from aiohttp import web

    from recipes.inference.serve.app import Service
    from recipes.inference.serve.live import LiveStreams

    origins: set[str] = set()
    streams = LiveStreams(open_stream, limits)
    name = "/".join(Path(own.run).resolve().parts[-3:])  # quickstart/summarymixing/1234
    runner = web.AppRunner(Service(streams, origins, name).app(), access_log=None, shutdown_timeout=1.0)
    await runner.setup()
    try:
        try:
            await web.TCPSite(runner, own.host, own.port).start()
        except (OSError, UnicodeError) as error:  # UnicodeError: a name such as a..b
            number = getattr(error, "errno", None)
            reason = os.strerror(number) if number and number > 0 else getattr(error, "strerror", "no name of a host")
            raise RecipeError(f"--host {own.host} --port {own.port}: {reason}; give another") from None
        port = runner.addresses[0][1]
        origins |= allowed_origins(own, port)
        stopped = asyncio.Event()
        for number in (signal.SIGTERM, signal.SIGINT):
            asyncio.get_running_loop().add_signal_handler(number, stopped.set)
        print(f"http://{in_address(own.host)}:{port}", flush=True)
        if own.host in EVERYWHERE:
            print(f"for pages of {', '.join(sorted(origins))}; of others with --origin", file=sys.stderr)
        await stopped.wait()
        print(f"finishing {len(streams.clients)} streams", file=sys.stderr, flush=True)
        await streams.stop(PATIENCE)
        mean = streams.rows / max(streams.batches, 1)
        print(f"{streams.batches} batches of {mean:.2f} streams in the mean", file=sys.stderr)
    finally:
        await runner.cleanup()


@command_line
def main(argv=None):
    own, other = parse(argv)
    limits = limits_of(own)
    check_stream_keys(other, own.rescore)
    try:
        import aiohttp  # noqa: F401
    except ImportError:
        raise RecipeError(f"aiohttp is not installed: {INSTALL}") from None
    from recipes.inference.command.run import load_transcriber

    transcriber = load_transcriber(own, other)

    def open_stream() -> "Stream":
        return transcriber.stream(chunk=own.chunk, left_chunks=own.left_chunks, rescore=own.rescore)

    warm = open_stream()  # before the port is open: what cannot stream says so, and the first step is the slowest
    warm.feed(np.zeros(2 * warm.needed, np.float32))
    print(f"{transcriber.name}, on {transcriber.recognise.device}", file=sys.stderr)
    asyncio.run(serve(own, limits, open_stream))


if __name__ == "__main__":
    sys.exit(main())
