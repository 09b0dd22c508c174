"""The reports of a run and of a comparison as a browser shows them: on a phone and on a wide screen, light and dark."""

import json

import pytest

from recipes.bakeoff import write_report as write_comparison_report
from recipes.bakeoff import write_results
from recipes.reports import write_report
from tests.support.bakeoff_folders import log_epoch, write_comparison, write_run
from tests.support.browser import look, needs_chromium
from tests.support.report_runs import run_with_audio

pytestmark = needs_chromium

FIGURES = ["Loss", "Validation WER", "Learning rate", "WER by length of the utterance"]
HEADINGS = [
    "Results",
    "Learning curves",
    "By speaker",
    "By length",
    "By word",
    "Most frequent confusions",
    "Worst utterances",
    "This run",
]

PLAY_AND_SORT = """
  const audio = document.querySelector('audio');
  const before = audio.readyState;
  audio.preload = 'auto';
  audio.load();
  await new Promise(done => {
    for (const event of ['loadedmetadata', 'error']) audio.addEventListener(event, done);
  });
  const table = document.querySelector('[aria-label="WER by speaker, test-other"] table');
  const column = () => [...table.tBodies[0].rows].map(row => row.cells[3].dataset.sort);
  const button = table.tHead.rows[0].cells[3].querySelector('button');
  button.click();
  const falling = column();
  button.click();
  return {before, duration: audio.duration, error: audio.error && audio.error.message,
    players: document.querySelectorAll('audio').length, falling, rising: column()};
"""


@pytest.fixture(scope="module")
def report(tmp_path_factory):
    folder = tmp_path_factory.mktemp("browser")
    return write_report(run_with_audio(folder, {"test-clean": (4, 8), "test-other": (5, 8)}))


@pytest.mark.parametrize("width, dark", [(400, False), (1400, False), (1400, True)], ids=["400", "1400", "1400 dark"])
def test_the_report_is_whole_and_legible(report, tmp_path, width, dark):
    seen = look(report, tmp_path, width=width, dark=dark)
    assert seen["width"] == width
    assert seen["errors"] == []
    assert seen["loaded"] == []  # one file: it loads nothing else
    assert seen["content_width"] <= width
    assert seen["outside"] == seen["overlapping"] == []
    assert seen["texts"] > 200
    assert seen["small"] == [] and seen["faint"] == []
    assert seen["headings"] == HEADINGS
    assert [figure["label"] for figure in seen["figures"]] == FIGURES
    assert all(300 < figure["width"] <= 560 and figure["height"] > 150 for figure in seen["figures"])
    assert (seen["background"] == "rgb(255, 255, 255)") != dark


def test_audio_plays_and_tables_sort(report, tmp_path):
    seen = look(report, tmp_path, width=1400, script=PLAY_AND_SORT)
    assert seen["errors"] == []
    answer = seen["answer"]
    assert answer["before"] == 0  # nothing is read before someone wants to hear it
    assert answer["error"] is None and answer["duration"] > 0.2
    assert answer["players"] > 10
    assert answer["falling"] == sorted(answer["falling"], key=float, reverse=True)
    assert answer["rising"] == sorted(answer["rising"], key=float)
    assert answer["rising"][0] != answer["rising"][-1]


BROKEN = """<!doctype html><html><head><meta charset="utf-8"><style>body{font-size:16px}</style></head><body>
<p style="width:900px">wide</p><p style="font-size:7px">tiny</p><p style="color:#ccc">faint</p>
<svg viewBox="0 0 1000 100" width="400" aria-label="plot"><text x="0" y="50">in a plot</text>
<text x="4" y="52">over it</text><text x="990" y="20" font-size="40">cut off</text></svg>
<img src="absent.png"><script>nothing.at.all()</script></body></html>
"""


def test_the_test_itself_sees_what_is_wrong(tmp_path):
    page = tmp_path / "broken.html"
    page.write_text(BROKEN)
    seen = look(page, tmp_path / "browser", width=400)
    assert seen["width"] == 400 and seen["content_width"] > 400
    assert "nothing is not defined" in json.dumps(seen["errors"]) and "absent.png" in json.dumps(seen["errors"])
    assert [text for text, _ in seen["small"]] == ["tiny", "in a plot", "over it"]
    assert [text for text, _ in seen["faint"]] == ["faint"]
    assert {"wide", "cut off"} <= set(seen["outside"])
    assert ["in a plot", "over it"] in seen["overlapping"]


@pytest.fixture(scope="module")
def comparison(tmp_path_factory):
    folder, names = tmp_path_factory.mktemp("comparison"), ("attention", "summarymixing", "summarymixing3+attention1")
    record = write_comparison(folder, names, (1, 2))
    for number, name in enumerate(names):
        for seed in (1, 2):
            errors = [(utterance + seed) % (number + 3) for utterance in range(40)]
            homophones = {"merged_wer": 5.0, "homophone_error": 10.0 * number, "homophones_seen": 90.0}
            run = write_run(folder, name, seed, {"test-clean": errors}, **homophones)
            for epoch in (1, 2):
                metrics = {"valid_wer_greedy_ctc": 50 / epoch + seed, "valid_homophone_error": 50 / epoch + number}
                log_epoch(run, epoch, 100 * epoch, **metrics)
    write_comparison_report(folder, *write_results(folder, record, "attention"))
    return folder / "report.html"


@pytest.mark.parametrize("width, dark", [(400, False), (1400, True)], ids=["400", "1400 dark"])
def test_a_comparison_is_whole_and_legible(comparison, tmp_path, width, dark):
    seen = look(comparison, tmp_path, width=width, dark=dark)
    assert seen["width"] == width
    assert seen["errors"] == seen["loaded"] == []
    assert seen["content_width"] <= width
    assert seen["outside"] == seen["overlapping"] == []
    assert seen["small"] == [] and seen["faint"] == []
    assert seen["headings"] == [
        "Results",
        "Error against cost",
        "Learning",
        "Which differ",
        "Every run",
        "How it was made",
    ]
    labels = " ".join(figure["label"] for figure in seen["figures"])
    for plot in ("multiply-adds", "seconds of training", "Learning curves", "Homophones"):
        assert plot.lower() in labels.lower()
