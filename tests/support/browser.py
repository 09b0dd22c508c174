"""A page in headless Chromium: what a reader would see, measured for tests."""

import json
import re
import shutil
import subprocess
from html import escape, unescape
from pathlib import Path

import pytest

CHROMIUM = next(filter(None, map(shutil.which, ("chromium", "chromium-browser", "google-chrome"))), None)
needs_chromium = pytest.mark.skipif(
    CHROMIUM is None, reason="no chromium on the PATH (Debian: apt-get install chromium)"
)
OPTIONS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-sync",
    "--disable-background-networking",
    "--disable-component-update",
    "--hide-scrollbars",
]
SECONDS = 60

# The page stands in a frame, because a headless window is at least 500 pixels wide and a frame is not. Frames
# of files may not look into each other: the page sends its findings to the frame's owner. The owner counts as
# loading while a document in it is open, and the browser prints no page before it has loaded.
FRAME = """<!doctype html><meta name="color-scheme" content="light dark">
<style>body{{margin:0}}iframe{{border:0}}#open{{display:none}}</style>
<iframe src="page.html" width="{width}" height="900"></iframe>
<iframe id="open"></iframe><pre id="findings"></pre><script>
const waiting = document.getElementById('open').contentDocument;
waiting.open();
addEventListener('message', event => {{
  document.getElementById('findings').textContent = JSON.stringify(event.data);
  waiting.close();
}});
</script>"""
COLLECT_ERRORS = """<script>window.scriptErrors = [];
addEventListener('error', event =>
  scriptErrors.push(event.message || 'not loaded: ' + event.target.outerHTML), true);
addEventListener('unhandledrejection', event => scriptErrors.push(String(event.reason)));</script>"""
LOOK = """<script>addEventListener('load', async () => {
  const shown = element => element.checkVisibility() && element.getClientRects().length > 0;
  const rgba = colour => {
    const [r, g, b, a = 1] = colour.match(/[\\d.]+/g).map(Number);
    return [r, g, b, a];
  };
  const over = ([r, g, b, a], back) => [r, g, b].map((value, i) => value * a + back[i] * (1 - a));
  const behind = element => {
    const layers = [];
    for (; element; element = element.parentElement)
      layers.push(rgba(getComputedStyle(element).backgroundColor));
    return layers.reverse().reduce((back, layer) => over(layer, back), [255, 255, 255]);
  };
  const light = colour => {
    const [r, g, b] = colour.map(v => (v /= 255) <= 0.03928 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4);
    return 0.2126 * r + 0.7152 * g + 0.0722 * b;
  };
  const contrast = (ink, back) => {
    const [low, high] = [light(ink), light(back)].sort((a, b) => a - b);
    return (high + 0.05) / (low + 0.05);
  };
  const small = [], faint = [], outside = [], overlapping = [];
  let texts = 0;
  const walker = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  for (let node; node = walker.nextNode();) {
    const element = node.parentElement;
    if (!node.data.trim() || element.closest('script,style,title') || !shown(element)) continue;
    texts += 1;
    const style = getComputedStyle(element), svg = element.closest('svg');
    const pixels = parseFloat(style.fontSize) * (svg ? element.getScreenCTM().a : 1);
    if (pixels < 9.5) small.push([node.data.trim(), pixels]);
    const ink = rgba(svg ? style.fill : style.color);
    if (svg) ink[3] *= Number(style.fillOpacity);
    const back = behind(svg ? svg.parentElement : element), seen = contrast(over(ink, back), back);
    if (seen < 4.5) faint.push([node.data.trim(), seen]);
    const box = element.getBoundingClientRect();
    const beyond = box.right > innerWidth + 1 || box.left < -1;
    if (beyond && !element.closest('.scroll,pre')) outside.push(node.data.trim());
  }
  for (const svg of document.querySelectorAll('svg')) {
    const boxes = [...svg.querySelectorAll('text')].map(
      text => [text.textContent, text.getBoundingClientRect()]);
    const around = svg.getBoundingClientRect();
    boxes.forEach(([name, a], at) => {
      const beyond = a.left < around.left - 1 || a.right > around.right + 1 || a.bottom > around.bottom + 1;
      if (beyond) outside.push(name);
      for (const [below, b] of boxes.slice(at + 1))
        if (Math.min(a.right, b.right) - Math.max(a.left, b.left) > 1
            && Math.min(a.bottom, b.bottom) - Math.max(a.top, b.top) > 2) overlapping.push([name, below]);
    });
  }
  const findings = {
    width: innerWidth, content_width: document.documentElement.scrollWidth,
    texts, small, faint, outside, overlapping,
    background: getComputedStyle(document.body).backgroundColor,
    height: document.documentElement.scrollHeight,
    figures: [...document.querySelectorAll('svg')].map(svg => {
      const box = svg.getBoundingClientRect();
      return {label: svg.getAttribute('aria-label'), width: box.width, height: box.height};
    }),
    headings: [...document.querySelectorAll('h2')].filter(shown).map(heading => heading.textContent),
    loaded: performance.getEntriesByType('resource').map(resource => resource.name),
  };
  findings.answer = await (async () => { SCRIPT })();
  findings.errors = scriptErrors;
  parent.postMessage(findings, '*');
});</script>"""


def look(page: Path, folder: Path, *, width: int, dark: bool = False, script: str = "") -> dict:
    """Open a copy of the page `width` pixels wide; returns what is there.

    folder: an empty folder for the copy and the browser's profile. script: body of an asynchronous function that
    runs in the page; what it returns is in `answer`. The other findings: `width` and `content_width` in pixels,
    `errors` of scripts and of things not loaded, what was `loaded` beside the page, the number of `texts`, `small`
    texts (under 9.5 pixels as drawn), `faint` texts (contrast under 4.5), texts `outside` of the page or cut off by a
    plot, `overlapping` texts in a plot, `figures` with their sizes, `headings`.
    """
    write_frame(page, folder, width, script)
    printed = run_chromium(folder, "--window-size=1500,1000", "--dump-dom", dark=dark)
    findings = re.search(r'<pre id="findings">(.+?)</pre>', printed, re.DOTALL)
    if not findings:
        raise AssertionError(f"the page at {page} sent no findings; the browser printed: {printed[-2000:]}")
    return json.loads(unescape(findings[1]))


def write_frame(page: Path, folder: Path, width: int, script: str) -> None:
    """Write the copy, which finds what the page refers to (audio) where the page itself finds it, and its frame."""
    folder.mkdir(parents=True, exist_ok=True)
    head = f'<head><base href="{escape(page.resolve().parent.as_uri())}/">'
    text = page.read_text(encoding="utf-8")
    if "<head>" not in text or "</body>" not in text:
        raise AssertionError(f"{page} lacks <head> or </body>")
    text = text.replace("<head>", head + COLLECT_ERRORS, 1)
    text = text.replace("</body>", LOOK.replace("SCRIPT", script) + "</body>", 1)
    (folder / "page.html").write_text(text, encoding="utf-8")
    (folder / "frame.html").write_text(FRAME.format(width=width), encoding="utf-8")


def run_chromium(folder: Path, *options: str, dark: bool) -> str:
    scheme = ["--blink-settings=preferredColorScheme=0"] if dark else []
    command = [CHROMIUM, *OPTIONS, f"--user-data-dir={folder / 'profile'}", *scheme, *options]
    command.append((folder / "frame.html").resolve().as_uri())
    finished = subprocess.run(command, capture_output=True, text=True, timeout=SECONDS, check=False)
    if finished.returncode:
        raise AssertionError(f"chromium ended with {finished.returncode}: {finished.stderr[-2000:]}")
    return finished.stdout
