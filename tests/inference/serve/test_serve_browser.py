"""The live server's page in headless Chromium: a file chosen and dropped, and a microphone that hears a file."""

import asyncio

import numpy as np
import pytest
import soundfile

from recipes.inference import Transcriber
from recipes.inference.audio.reading import read_audio
from recipes.inference.serve.limits import Limits
from recipes.inference.serve.live import LiveStreams
from tests.inference.conftest import all_texts
from tests.support.browser import look, needs_chromium
from tests.support.tones import CHUNK, said, tone_transcriber

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
def test_the_page(run, tmp_path):
    """Final texts are those of the stream, of a file and of the microphone; partial ones are shown.

    The fake microphone resamples its file to the browser's rate, and the browser that to ours: other samples, a part of
    one later, so that only a model that was trained says the same of both.
    """
    file, microphone, streams = tmp_path / "speech.wav", tmp_path / "microphone.wav", []
    soundfile.write(file, said(["TEATO", "OAT"], 1.5, 16000), 16000)
    soundfile.write(microphone, said(["OTE", "TEA"], 1.5, 48000), 48000)
    transcriber = tone_transcriber(Transcriber.load(run, device="cpu").recognise.tokenizer)

    def finals(samples):
        return [text.text for text in all_texts(transcriber.stream(chunk=CHUNK), [samples]) if text.final]

    def open_stream():
        streams.append(transcriber.stream(chunk=CHUNK))
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
            await tab.wait_for(f"{TEXTS}.length === 2")
            await tab.evaluate("document.querySelector('#stop').click()")
            statuses.append(await tab.wait_for(ENDED))
            return statuses, chosen, dropped, await tab.evaluate(TEXTS)

    def opened_page(server, origins):
        origins.add(f"http://127.0.0.1:{server.port}")
        return opened(f"http://127.0.0.1:{server.port}/", tmp_path / "profile", microphone=microphone)

    statuses, chosen, dropped, spoken = asyncio.run(talk())
    assert statuses == ["Ended: the client ended it."] * 3
    assert chosen == dropped == finals(read_audio(str(file))) == ["TEATO", "OAT"]
    assert finals(soundfile.read(microphone)[0][::3]) != ["OTE", "TEA"], "without a filter the whistle is heard"
    assert spoken == finals(read_audio(str(microphone))) == finals(np.concatenate(streams[-1].heard)) == ["OTE", "TEA"]


@needs_chromium
@pytest.mark.parametrize("dark", [False, True])
def test_it_reads_well_on_a_phone(dark, tmp_path):
    seen = look(PAGE, tmp_path, width=360, dark=dark)
    assert seen["texts"] > 8 and seen["content_width"] == 360
    assert [seen[problem] for problem in ("errors", "small", "faint", "outside", "loaded")] == [[]] * 5
