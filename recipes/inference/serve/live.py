"""Streams of many clients, advanced together in one thread while the event loop goes on."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable, Sequence
from concurrent.futures import ThreadPoolExecutor

import numpy as np

from data_prep.errors import DataError
from recipes.inference.audio.samples import SAMPLE_RATE
from recipes.inference.serve.limits import Limits
from recipes.inference.serve.outbox import Outbox
from recipes.inference.streams.stream import Outcome, Stream, advance
from recipes.inference.streams.text_stream import StreamedText

logger = logging.getLogger(__name__)
FAILED = "the recogniser failed on this stream; the server's log says why"


class Client:
    """A stream between its connection and the model. Only `LiveStreams` computes with ``stream``."""

    def __init__(self, stream: Stream, limits: Limits, wake: Callable[[], None]):
        self.stream, self.limits, self.wake = stream, limits, wake
        # Never less than the first chunk, the longest: what waits for it would wait for ever.
        self.room = max(limits.buffer * SAMPLE_RATE, stream.needed)
        self.incoming: deque[np.ndarray] = deque()
        self.samples = 0  # taken in so far
        self.waiting = 0  # of them not yet computed
        self.has_room = asyncio.Event()
        self.has_room.set()
        self.reason: str | None = None  # why no more audio will come; None while it may
        self.too_long = f"a stream may have {limits.minutes:g} minutes"
        self.outbox = Outbox()

    def hear(self, content: bytes) -> None:
        """The next samples, 16-bit little-endian. Raises DataError for half a sample.

        What exceeds the minutes of a stream is not heard; the stream ends there.
        """
        if len(content) % 2:
            raise DataError(f"a message of {len(content)} bytes: samples are 16-bit, two bytes each")
        most = int(60 * self.limits.minutes * SAMPLE_RATE)
        samples = np.frombuffer(content, "<i2")[: most - self.samples]
        if len(samples):
            self.incoming.append(samples)
        self.samples += len(samples)
        self.waiting += len(samples)
        if self.waiting >= self.room:
            self.has_room.clear()
        if self.samples == most:
            self.end(self.too_long)
        self.wake()

    def end(self, reason: str) -> None:
        """No more audio will come: what is there is computed, and the last text is sent."""
        if self.reason is None:
            self.reason = reason
            self.wake()

    def fail(self, message: str) -> None:
        """The stream stops here, and the client is told why."""
        self.outbox.close({"type": "error", "message": message})

    # --- what LiveStreams does with it ----------------------------------------------------------------------

    def take_in(self) -> None:
        """Give the stream the samples that arrived while it was being computed."""
        while self.incoming:
            self.stream.push(self.incoming.popleft())

    def tell(self, texts: Sequence[StreamedText]) -> None:
        """Send the texts of a chunk, and make room for audio."""
        for text in texts:
            self.outbox.put_text(text)
        self.waiting = self.stream.samples_waiting() + sum(map(len, self.incoming))
        if self.waiting < self.room:
            self.has_room.set()

    def finish(self, texts: Sequence[StreamedText]) -> None:
        self.tell(texts)
        stream = self.stream
        figures = {"seconds": round(stream.seconds, 3), "computing_seconds": round(stream.computing_seconds, 3)}
        self.outbox.close({"type": "end", "reason": self.reason, **figures})

    @property
    def is_to_finish(self) -> bool:
        return self.reason is not None and not self.stream.is_ready()


class LiveStreams:
    """The clients, and the loop that computes the next chunk of all that have one, as one batch.

    Each batch has one chunk of a client at most, so that a client with much audio waiting delays the others by no more
    than its share of a batch. open_stream: a new stream; all under one context.
    """

    def __init__(self, open_stream: Callable[[], Stream], limits: Limits):
        limits.check()
        self.open_stream, self.limits = open_stream, limits
        self.clients: list[Client] = []
        self.stopping = False
        self.has_work, self.is_empty = asyncio.Event(), asyncio.Event()
        self.is_empty.set()
        self.batches = self.rows = 0  # computed so far; rows: of all batches together
        self.worker = ThreadPoolExecutor(1, "streams")

    def open(self) -> Client:
        """Raises DataError where there is no place left."""
        if self.stopping:
            raise DataError("the server stops")
        if len(self.clients) >= self.limits.clients:
            raise DataError(f"all {self.limits.clients} places are taken: try again later")
        client = Client(self.open_stream(), self.limits, self.has_work.set)
        self.clients.append(client)
        self.is_empty.clear()
        return client

    def drop(self, client: Client) -> None:
        """Remove a client whose connection is closed, which frees its place."""
        self.clients.remove(client)
        if not self.clients:
            self.is_empty.set()

    async def stop(self, patience: float) -> None:
        """Admit no more clients, finish all streams, and wait at most ``patience`` seconds for their last texts."""
        self.stopping = True
        for client in self.clients:
            client.end("the server stops")
        try:
            await asyncio.wait_for(self.is_empty.wait(), patience)
        except TimeoutError:
            logger.warning("%d streams were not finished within %g s", len(self.clients), patience)

    async def run(self) -> None:
        """Compute chunks whenever there are any, forever."""
        loop = asyncio.get_running_loop()
        while True:
            await self.has_work.wait()
            self.has_work.clear()
            while batch := self.next_batch():
                outcomes = await loop.run_in_executor(self.worker, compute, batch)
                self.batches, self.rows = self.batches + 1, self.rows + len(batch)
                for client, texts in zip(batch, outcomes, strict=True):
                    self.deliver(client, texts)

    def next_batch(self) -> list[Client]:
        """The clients with a chunk to compute, and those whose streams are to be finished."""
        live = [client for client in self.clients if not client.outbox.closed]
        for client in live:
            client.take_in()
        return [client for client in live if client.stream.is_ready() or client.is_to_finish]

    def deliver(self, client: Client, texts: Outcome) -> None:
        if isinstance(texts, Exception):
            logger.error("a stream failed", exc_info=texts)
            client.fail(FAILED)
        elif client.stream.finished:
            client.finish(texts)
        else:
            client.tell(texts)


def compute(batch: Sequence[Client]) -> list[Outcome]:
    """The next chunk of every client, or its end; an exception in place of the texts of a stream that failed."""
    ready = [client for client in batch if client.stream.is_ready()]
    outcomes: dict[Client, Outcome] = dict(zip(ready, advance([client.stream for client in ready]), strict=True))
    for client in batch:
        if client not in outcomes:
            try:
                outcomes[client] = client.stream.finish()
            except Exception as error:
                outcomes[client] = error
    return [outcomes[client] for client in batch]
