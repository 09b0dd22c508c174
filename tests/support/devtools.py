"""Headless Chromium driven over its DevTools protocol, for pages that talk to a server."""

import asyncio
import itertools
import json
import subprocess
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import aiohttp

from tests.support.browser import CHROMIUM, OPTIONS

SECONDS = 60


class Tab:
    """A page of the browser."""

    def __init__(self, socket: aiohttp.ClientWebSocketResponse):
        self.socket, self.numbers = socket, itertools.count()

    async def call(self, method: str, **parameters: Any) -> dict:
        """What the browser answers. Raises AssertionError with its complaint."""
        number = next(self.numbers)
        await self.socket.send_json({"id": number, "method": method, "params": parameters})
        while (answer := await self.socket.receive_json(timeout=SECONDS)).get("id") != number:
            pass
        if "error" in answer:
            raise AssertionError(f"{method}: {answer['error']}")
        return answer["result"]

    async def evaluate(self, expression: str) -> Any:
        """The value of an expression in the page, awaited."""
        result = await self.call("Runtime.evaluate", expression=expression, awaitPromise=True, returnByValue=True)
        if "exceptionDetails" in result:
            raise AssertionError(f"{expression}: {result['exceptionDetails']}")
        return result["result"].get("value")

    async def wait_for(self, expression: str) -> Any:
        """The expression's value as soon as it is true. Raises TimeoutError."""
        async with asyncio.timeout(SECONDS):
            while not (value := await self.evaluate(expression)):
                await asyncio.sleep(0.05)
        return value

    async def choose_file(self, selector: str, file: Path) -> None:
        """Choose a file in an input element, as a user would."""
        root = (await self.call("DOM.getDocument"))["root"]["nodeId"]
        node = (await self.call("DOM.querySelector", nodeId=root, selector=selector))["nodeId"]
        await self.call("DOM.setFileInputFiles", nodeId=node, files=[str(file)])


@asynccontextmanager
async def opened(url: str, folder: Path, *, microphone: Path) -> AsyncIterator[Tab]:
    """The page at ``url``. folder: an empty one for the profile. microphone: a WAV file that is heard once."""
    assert CHROMIUM is not None
    options = [
        *OPTIONS,
        f"--user-data-dir={folder}",
        "--remote-debugging-port=0",
        "--use-fake-ui-for-media-stream",
        "--use-fake-device-for-media-stream",
        f"--use-file-for-fake-audio-capture={microphone}%noloop",
        "--autoplay-policy=no-user-gesture-required",
        "about:blank",
    ]
    with (folder.parent / "chromium.log").open("w") as log:
        browser = subprocess.Popen([CHROMIUM, *options], stdout=log, stderr=log)
    try:
        async with asyncio.timeout(SECONDS):
            while not (written := folder / "DevToolsActivePort").exists() or "\n" not in written.read_text():
                await asyncio.sleep(0.05)
        address = f"http://127.0.0.1:{written.read_text().split()[0]}"
        async with aiohttp.ClientSession() as session:
            async with session.get(f"{address}/json/list") as answer:
                pages = [page for page in json.loads(await answer.text()) if page["type"] == "page"]
            async with session.ws_connect(pages[0]["webSocketDebuggerUrl"], max_msg_size=0) as socket:
                tab = Tab(socket)
                await tab.call("Page.enable")
                await tab.call("Page.navigate", url=url)
                await tab.wait_for(f"location.href.startsWith({url!r}) && document.readyState === 'complete'")
                yield tab
    finally:
        browser.terminate()
        browser.wait(10)
