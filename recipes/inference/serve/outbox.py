"""Messages on their way to a client, whatever pace it reads at."""

import asyncio
from collections import deque
from collections.abc import AsyncIterator
from dataclasses import asdict
from typing import Any

from recipes.inference.streams.text_stream import StreamedText

Message = dict[str, Any]


class Outbox:
    """A queue in which a newer text replaces a waiting partial one, so that a slow client gets fewer partial texts.

    All final texts stay. Their length is limited by the minutes of speech that a stream may have.
    """

    def __init__(self) -> None:
        self.messages: deque[Message] = deque()
        self.closed = False
        self.changed = asyncio.Event()

    def put_text(self, text: StreamedText) -> None:
        if self.messages and self.messages[-1].get("final") is False:
            self.messages.pop()
        self.put({"type": "text", **asdict(text)})

    def put(self, message: Message) -> None:
        """Queue a message; after `close` it is ignored."""
        if not self.closed:
            self.messages.append(message)
            self.changed.set()

    def close(self, message: Message | None = None, drop: bool = False) -> None:
        """Send this message as the last one. drop: discard the messages that wait."""
        if drop:
            self.messages.clear()
        if message is not None:
            self.put(message)
        self.closed = True
        self.changed.set()

    async def __aiter__(self) -> AsyncIterator[Message]:
        """Every message as soon as it is there, until the outbox is closed and empty."""
        while True:
            while self.messages:
                yield self.messages.popleft()
            if self.closed:
                return
            self.changed.clear()
            await self.changed.wait()
