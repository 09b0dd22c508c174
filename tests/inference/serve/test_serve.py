"""The live server: the texts of a stream, limits, clients that misbehave, and its end."""

import asyncio
import os
import re
import signal
import socket
import sys
from contextlib import asynccontextmanager, suppress

import numpy as np
import pytest

from recipes.inference.serve.__main__ import allowed_origins, limits_of, main, parse, serve
from recipes.inference.serve.limits import Limits
from recipes.inference.serve.live import FAILED, LiveStreams
from recipes.inference.serve.outbox import Outbox
from recipes.inference.streams.text_stream import StreamedText
from tests.inference.conftest import all_texts, cut

aiohttp = pytest.importorskip("aiohttp")

from aiohttp.test_utils import TestClient, TestServer  # noqa: E402

from recipes.inference.serve.app import MESSAGE_BYTES, Service  # noqa: E402

ORIGIN = "http://localhost:1"


@pytest.fixture
def open_stream(transcriber):
    return lambda: transcriber.stream(chunk=4)


@asynccontextmanager
async def serving(open_stream, limits=Limits()):  # noqa: B008 (never changed)
    """(streams, a client of a server)."""
    streams = LiveStreams(open_stream, limits)
    async with TestClient(TestServer(Service(streams, {ORIGIN}, "model").app())) as client:
        yield streams, client


async def say(socket, pieces) -> None:
    for piece in pieces:
        await socket.send_bytes(piece.astype("<i2").tobytes())


async def rest(socket) -> list[dict]:
    """All messages until the server closes."""
    return [message.json() async for message in socket]


async def transcribed(client, pieces) -> list[dict]:
    async with client.ws_connect("/stream") as socket:
        await say(socket, pieces)
        await socket.send_json({"type": "end"})
        return await rest(socket)


def finals(messages) -> list[tuple]:
    """Text, start and end of every final text; of messages, or of the texts of a stream."""
    texts = [message if isinstance(message, dict) else vars(message) for message in messages]
    return [(text["text"], text["start"], text["end"]) for text in texts if text.get("final")]


def test_clients_together_are_told_what_each_is_alone(open_stream, samples):
    """Also the partial texts, where a client reads them as they come."""
    parts = [samples, samples[5000:29000], samples[:700], samples[9000:50000]]
    expected = [all_texts(open_stream(), cut(part)) for part in parts]
    assert sum(len(finals(texts)) for texts in expected) > 3

    async def talk():
        async with serving(open_stream) as (streams, client):
            told = await asyncio.gather(*(transcribed(client, cut(part, seed)) for seed, part in enumerate(parts)))
            await asyncio.wait_for(streams.is_empty.wait(), 60)
            assert streams.rows > 1.3 * streams.batches
            return told

    for messages, texts, part in zip(asyncio.run(talk()), expected, parts, strict=True):
        ready = {"type": "ready", "model": "model", "rate": 16000, "chunk": 4, "latency_ms": 162.5, "minutes": 60}
        assert messages[0] == ready
        assert messages[-1]["type"] == "end" and messages[-1]["seconds"] == round(len(part) / 16000, 3)
        assert finals(messages) == finals(texts)
        partial = {text.text for text in texts if not text.final}
        assert {message["text"] for message in messages if message.get("final") is False} <= partial


@pytest.mark.parametrize(
    ("limits", "reason", "heard"),
    [
        (Limits(minutes=0.01), "a stream may have 0.01 minutes", 9600),
        (Limits(idle=0.1), "no audio came for 0.1 s", 20000),
        (Limits(buffer=0.2), "the client ended it", 20000),
        (Limits(buffer=0.01), "the client ended it", 20000),  # less than a chunk
    ],
)
def test_limits_end_a_stream_with_its_last_text(open_stream, samples, limits, reason, heard):
    async def talk():
        async with serving(open_stream, limits) as (_, client), client.ws_connect("/stream") as socket:
            await say(socket, cut(samples[:20000]))
            if "client" in reason:
                await socket.send_json({"type": "end"})
            return await rest(socket)

    messages = asyncio.run(talk())
    assert messages[-1]["reason"] == reason
    assert finals(messages) == finals(all_texts(open_stream(), [samples[:heard]]))


@pytest.mark.parametrize(
    ("limits", "message", "reason"),
    [
        (Limits(idle=0.2), b"", "no audio came for 0.2 s"),
        (Limits(idle=0.2), '{"type": "start"}', "no audio came for 0.2 s"),
        (Limits(idle=0.3, minutes=0.001), bytes(2), "a stream may have 0.001 minutes"),
    ],
)
def test_messages_without_sound_hold_no_place(open_stream, limits, message, reason):
    async def talk():
        async with serving(open_stream, limits) as (_, client), client.ws_connect("/stream") as socket:
            while not socket.closed:
                with suppress(ConnectionError):
                    await (socket.send_str if isinstance(message, str) else socket.send_bytes)(message)
                with suppress(TimeoutError):
                    answer = await socket.receive(timeout=0.02)
                    if answer.type is aiohttp.WSMsgType.TEXT:
                        heard = answer.json()
            return heard

    assert asyncio.run(talk())["reason"] == reason


def test_a_full_server_says_so(open_stream, samples):
    async def talk():
        async with serving(open_stream, Limits(clients=1)) as (_, client):
            async with client.ws_connect("/stream"):
                (refusal,) = await transcribed(client, [])
            return refusal, await transcribed(client, [samples[:8000]])

    refusal, messages = asyncio.run(talk())
    assert refusal == {"type": "error", "message": "all 1 places are taken: try again later"}
    assert messages[-1]["type"] == "end"


def test_clients_that_misbehave_leave_the_others_alone(open_stream, samples):
    """One sends what cannot be, one far too much, one reads nothing and sends much, one vanishes."""
    much = np.tile(samples, 2)

    async def nonsense(client, *messages):
        async with client.ws_connect("/stream") as socket:
            for message in messages:
                await (socket.send_str if isinstance(message, str) else socket.send_bytes)(message)
            return (await rest(socket))[-1], socket.close_code

    async def flood(client):
        async with client.ws_connect("/stream") as socket:
            await say(socket, np.array_split(much, 10))
            await asyncio.sleep(0.2)  # and goes without having read a text

    async def vanish(client):
        socket = await client.ws_connect("/stream")
        await say(socket, [samples])
        socket._response.connection.transport.abort()

    async def talk():
        async with serving(open_stream, Limits(buffer=1.0)) as (streams, client):
            (own, *told), _, _ = await asyncio.gather(
                asyncio.gather(
                    transcribed(client, cut(samples)),
                    nonsense(client, b"odd"),
                    nonsense(client, "[" * 5000),
                    nonsense(client, '{"type": "start", "rate": 16000}', '{"type": "start", "rate": 48000}'),
                    nonsense(client, bytes(MESSAGE_BYTES + 2)),
                    nonsense(client, *[b""] * 100, bytes(MESSAGE_BYTES), b"odd"),
                ),
                flood(client),
                vanish(client),
            )
            await asyncio.wait_for(streams.is_empty.wait(), 60)
            return own, told

    own, told = asyncio.run(talk())
    assert finals(own) == finals(all_texts(open_stream(), [samples]))
    for (message, _), expected in zip(
        told,
        [
            "a message of 3 bytes: samples are 16-bit",
            'a message that is neither samples nor {"type": "start"} nor {"type": "end"}',
            "a stream takes samples at 16000 Hz, not 48000: resample them first",
        ],
        strict=False,
    ):
        assert message["type"] == "error" and message["message"].startswith(expected)
    too_big, largest = told[-2:]
    assert too_big[1] == aiohttp.WSCloseCode.MESSAGE_TOO_BIG
    assert largest[0]["message"].startswith("a message of 3 bytes")


def test_a_connection_lost_while_its_stream_is_closed_frees_the_place(open_stream, monkeypatch):
    """aiohttp's test server cancels the request then, wherever it waits."""
    closing = asyncio.Event()

    async def slow_to_end(socket, client):
        try:
            await asyncio.Event().wait()
        finally:
            closing.set()
            await asyncio.sleep(0.2)

    monkeypatch.setattr("recipes.inference.serve.app.receive", slow_to_end)

    async def talk():
        async with serving(open_stream) as (streams, client):
            socket = await client.ws_connect("/stream")
            await socket.receive_json()
            streams.clients[0].fail("the recogniser failed")
            await closing.wait()
            socket._response.connection.transport.abort()
            await asyncio.wait_for(streams.is_empty.wait(), 60)

    asyncio.run(talk())


def test_a_stream_that_fails_is_told_and_the_next_one_goes_on(open_stream, samples, monkeypatch, caplog):
    async def talk():
        async with serving(open_stream) as (_, client):
            with monkeypatch.context() as patch:
                patch.setattr("recipes.inference.streams.stream.step", lambda *_: 1 / 0)
                failed = await transcribed(client, [samples[:8000]])
            return failed, await transcribed(client, [samples[:8000]])

    failed, messages = asyncio.run(talk())
    assert failed[-1] == {"type": "error", "message": FAILED} and "ZeroDivisionError" in caplog.text
    assert messages[-1]["type"] == "end"


def test_a_partial_text_gives_way_to_the_next_one():
    async def collect():
        outbox = Outbox()
        for text, final in [("A", False), ("A B", False), ("A B", True), ("C", False), ("C D", False)]:
            outbox.put_text(StreamedText(text, final, 0.0, 1.0))
        outbox.close({"type": "end"})
        outbox.put({"type": "late"})
        return [message.get("text", message["type"]) async for message in outbox]

    assert asyncio.run(collect()) == ["A B", "C D", "end"]


def test_pages_from_elsewhere_may_not_listen_in(open_stream):
    async def talk():
        async with serving(open_stream) as (_, client):
            with pytest.raises(aiohttp.WSServerHandshakeError) as refused:
                await client.ws_connect("/stream", headers={"Origin": "http://elsewhere.example"})
            assert refused.value.status == 403
            async with client.ws_connect("/stream", headers={"Origin": ORIGIN}) as socket:
                assert (await socket.receive_json())["type"] == "ready"
            page = await client.get("/")
            assert "frame-ancestors 'none'" in page.headers["Content-Security-Policy"]
            assert "<title>" in await page.text()

    asyncio.run(talk())
    own, _ = parse(["RUN", "--host", "name.example", "--origin", "https://other.example"])
    assert allowed_origins(own, 8000) == {
        *(f"http://{name}:8000" for name in ("localhost", "127.0.0.1", "[::1]", "name.example")),
        "https://other.example",
    }
    everywhere, _ = parse(["RUN", "--host", "0.0.0.0"])
    assert f"http://{socket.gethostname().lower()}:8000" in allowed_origins(everywhere, 8000)
    assert "http://localhost" in allowed_origins(own, 80)


def test_sigterm_finishes_the_streams(open_stream, samples, capsys):
    """A stream in the middle of a word has its last text; nobody is let in any more."""

    async def talk():
        own, _ = parse(["RUN", "--port", "0"])
        server = asyncio.create_task(serve(own, limits_of(own), open_stream))
        while not (url := re.search("http://.*", capsys.readouterr().out)):
            await asyncio.sleep(0.01)
        async with aiohttp.ClientSession() as session, session.ws_connect(f"{url[0]}/stream") as socket:
            await say(socket, [samples[:20000]])
            while (await socket.receive_json())["type"] != "text":
                pass
            os.kill(os.getpid(), signal.SIGTERM)
            messages = await rest(socket)
        await asyncio.wait_for(server, 10)
        return messages

    messages = asyncio.run(talk())
    assert finals(messages)[-1:] == finals(all_texts(open_stream(), [samples[:20000]]))[-1:]
    assert messages[-1]["reason"] == "the server stops"
    assert "finishing 1 streams" in capsys.readouterr().err


def test_what_is_missing_is_named(run, tmp_path, monkeypatch, capsys):
    assert main([str(tmp_path / "none")]) == 2
    assert "none is no run folder" in capsys.readouterr().err
    assert main([str(run), "--device", "cpu", "--chunk", "0"]) == 2
    assert capsys.readouterr().err == "error: chunk must be a whole number from 1 up, not 0\n"
    monkeypatch.setitem(sys.modules, "aiohttp", None)
    assert main([str(run)]) == 2
    assert capsys.readouterr().err == "error: aiohttp is not installed: pip install -r requirements-serve.txt\n"
