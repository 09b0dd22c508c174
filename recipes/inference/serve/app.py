"""The page and the socket, over aiohttp."""

import asyncio
import contextlib
import json
from collections.abc import Collection
from pathlib import Path

from aiohttp import WSCloseCode, WSMsgType, web

from data_prep.errors import DataError
from recipes.inference.audio.samples import SAMPLE_RATE, stream_samples
from recipes.inference.serve.live import Client, LiveStreams
from recipes.inference.serve.outbox import Message

PAGE = Path(__file__).with_name("page.html")
MESSAGE_BYTES = 2**20  # of a message at most: half a minute of audio
SEND_SECONDS = 10.0  # that a message may take to leave; then its client has stopped reading
CLOSE_SECONDS = 2.0
# The page takes nothing from elsewhere, and stands in no frame of another page.
HEADERS = {
    "Content-Security-Policy": "default-src 'none'; script-src 'unsafe-inline' blob:; style-src 'unsafe-inline'; "
    "connect-src 'self'; img-src data:; frame-ancestors 'none'; base-uri 'none'; form-action 'none'",
    "X-Content-Type-Options": "nosniff",
    "Cache-Control": "no-store",
}


class Service:
    """Answers requests. origins: of the pages that may open a stream; programs, which send no Origin, always may.

    name: of the model, for the page.
    """

    def __init__(self, streams: LiveStreams, origins: Collection[str], name: str):
        self.streams, self.origins, self.name = streams, origins, name

    def app(self) -> web.Application:
        app = web.Application()
        app.router.add_get("/", self.page)
        app.router.add_get("/stream", self.stream)
        app.cleanup_ctx.append(self.computing)
        return app

    async def computing(self, app: web.Application):
        """Run the loop that computes chunks, as long as the application runs."""
        task = asyncio.create_task(self.streams.run())
        yield
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task

    async def page(self, request: web.Request) -> web.FileResponse:
        return web.FileResponse(PAGE, headers=HEADERS)

    async def stream(self, request: web.Request) -> web.StreamResponse:
        """One connection, one stream."""
        origin = request.headers.get("Origin")
        if origin is not None and origin not in self.origins:
            return web.Response(status=403, text=f"pages of {origin} may not use this server: start it with --origin\n")
        # No pings: the answer of a client whose audio waits for room is not read, and it would be taken for gone.
        # One that is gone sends nothing until `Limits.idle` ends its stream.
        socket = web.WebSocketResponse(max_msg_size=MESSAGE_BYTES + 1, timeout=CLOSE_SECONDS, compress=False)
        await socket.prepare(request)
        try:
            client = self.streams.open()
        except DataError as error:
            await socket.send_json({"type": "error", "message": str(error)})
            await socket.close(code=WSCloseCode.TRY_AGAIN_LATER)
            return socket
        reader = asyncio.create_task(receive(socket, client))
        try:
            client.outbox.put(self.greeting(client))
            await send(socket, client)
        finally:
            client.outbox.close(drop=True)  # nothing more of it is computed
            reader.cancel()
            try:
                await asyncio.gather(reader, return_exceptions=True)
                await socket.close()
            finally:  # also where aiohttp cancels this request, at any of the waits
                self.streams.drop(client)
        return socket

    def greeting(self, client: Client) -> Message:
        stream, limits = client.stream, self.streams.limits
        return {
            "type": "ready",
            "model": self.name,
            "rate": SAMPLE_RATE,
            "chunk": stream.context.chunk,
            "latency_ms": stream.latency_ms,
            "minutes": limits.minutes,
        }


async def send(socket: web.WebSocketResponse, client: Client) -> None:
    """Send the messages for the client, until there are no more or it stops reading."""
    with contextlib.suppress(TimeoutError, ConnectionError):
        async for message in client.outbox:
            await asyncio.wait_for(socket.send_json(message), SEND_SECONDS)


async def receive(socket: web.WebSocketResponse, client: Client) -> None:
    """Receive from the client until it ends its stream, disconnects, or reaches a limit."""
    now, limits = asyncio.get_running_loop().time, client.limits
    last = now() + 60 * limits.minutes + limits.idle  # for one that sends a sample now and then
    due = now() + limits.idle
    while client.reason is None and not client.outbox.closed:
        full = now()
        await client.has_room.wait()
        due += now() - full
        try:
            message = await socket.receive(timeout=max(min(due, last) - now(), 0.001))
        except TimeoutError:
            client.end(f"no audio came for {limits.idle:g} s" if due < last else client.too_long)
            return
        try:
            if message.type is WSMsgType.BINARY:
                client.hear(message.data)
                if message.data:
                    due = now() + limits.idle
            elif message.type is WSMsgType.TEXT:
                obey(message.data, client)
            else:  # it closed the connection, or sent what breaks the protocol
                client.outbox.close(drop=True)
        except DataError as error:
            client.fail(str(error))


def obey(text: str, client: Client) -> None:
    """`{"type": "end"}`, or `{"type": "start", "rate": 16000}`. Raises DataError for anything else."""
    try:
        message = json.loads(text)
        kind = message["type"]
    except (ValueError, TypeError, KeyError, RecursionError):
        kind = None
    if kind == "end":
        client.end("the client ended it")
    elif kind == "start":
        stream_samples([], message.get("rate", SAMPLE_RATE))
    else:
        raise DataError(
            f'a message that is neither samples nor {{"type": "start"}} nor {{"type": "end"}}: {text[:50]!r}'
        )
