"""The live server's page in headless Chromium: a file chosen and dropped, and a microphone that hears a file."""

import asyncio

import numpy as np
import pytest
import soundfile

from recipes.inference.serve.limits import Limits
from recipes.inference.serve.live import LiveStreams
from tests.inference.conftest import all_texts, cut
from tests.support.browser import look, needs_chromium

pytest.importorskip("aiohttp")

from aiohttp.test_utils import TestServer

from recipes.inference.serve.app import PAGE, Service
from tests.support.devtools import opened

ENDED = "document.querySelector('#stop').disabled && document.querySelector('#status').textContent"
TEXTS = "[...document.querySelectorAll('#texts p')].map(line => line.lastChild.data)"
DROP = """{
  const input = document.querySelector('#file'), data = new DataTransfer();
  data.items.add(new File([window.kept], 'dropped.wav'));
  document.querySelector('#drop').dispatchEvent(new DragEvent('drop', {dataTransfer: data, cancelable: true}));
}"""


@needs_chromium
def test_the_page(transcriber, samples, tmp_path):
    """Final texts are those of the stream, of a file and of what the microphone gave; partial ones are shown."""
    file, streams = tmp_path / "speech.wav", []
    soundfile.write(file, samples, 16000)

    def open_stream():
        streams.append(transcriber.stream(chunk=4))
        streams[-1].heard = []
        push = streams[-1].push
        streams[-1].push = lambda piece: (streams[-1].heard.append(piece), push(piece))
        return streams[-1]

    async def talk():
        origins = set()
        server = TestServer(Service(LiveStreams(open_stream, Limits()), origins, "the model").app())
        async with server, opened_page(server, origins) as tab:
            await tab.choose_file("#file", file)
            statuses = [await tab.wait_for(ENDED)]
            chosen = await tab.evaluate(TEXTS)
            await tab.evaluate(DROP.replace("window.kept", "new Uint8Array(" + str(list(file.read_bytes())) + ")"))
            await tab.wait_for("!document.querySelector('#stop').disabled")
            statuses.append(await tab.wait_for(ENDED))
            dropped = await tab.evaluate(TEXTS)
            await tab.evaluate("document.querySelector('#microphone').click()")
            await tab.wait_for("document.querySelector('#partial').textContent")
            await tab.wait_for("/^\\d+ ms$/.test(document.querySelector('#median').textContent)")
            await asyncio.sleep(2)
            await tab.evaluate("document.querySelector('#stop').click()")
            statuses.append(await tab.wait_for(ENDED))
            return statuses, chosen, dropped, await tab.evaluate(TEXTS)

    def opened_page(server, origins):
        origins.add(f"http://127.0.0.1:{server.port}")
        return opened(f"http://127.0.0.1:{server.port}/", tmp_path / "profile", microphone=file)

    statuses, chosen, dropped, spoken = asyncio.run(talk())
    expected = [text.text for text in all_texts(transcriber.stream(chunk=4), cut(samples)) if text.final]
    assert statuses == ["Ended: the client ended it."] * 3
    assert chosen == dropped == expected
    heard = np.concatenate(streams[-1].heard)
    assert len(heard) > 16000 and np.abs(heard).max() > 0.1 * np.abs(samples).max()
    assert spoken == [text.text for text in all_texts(transcriber.stream(chunk=4), [heard]) if text.final]


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_it_reads_well_on_a_phone(dark, tmp_path):
    seen = look(PAGE, tmp_path, width=360, dark=dark)
    assert seen["texts"] > 8 and seen["content_width"] == 360
    assert [seen[problem] for problem in ("errors", "small", "faint", "outside", "loaded")] == [[]] * 5
