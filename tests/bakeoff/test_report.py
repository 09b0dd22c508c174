"""report.html of a comparison, and its plots as files."""

import json
import re
from xml.etree import ElementTree

import pytest

from recipes.bakeoff import ComparisonRecord, check_places, write_report, write_results
from recipes.bakeoff.runs import Crash, run_folder
from recipes.errors import RecipeError
from tests.bakeoff.conftest import NAMES, SEEDS, results_of
from tests.support.bakeoff_folders import log_epoch, write_comparison, write_run


def headings(page: str) -> list[str]:
    return re.findall("<h2>(.*?)</h2>", page)


def test_report(folder):
    drawings = write_report(folder, *results_of(folder))
    assert [path.name for path in drawings] == ["wer_test-clean.svg"]
    drawing = drawings[0].read_text()
    ElementTree.fromstring(drawing)
    page = (folder / "report.html").read_text()
    for name in NAMES:
        assert f">{name}<" in drawing and f">{name}<" in page
    assert headings(page) == [
        "Results",
        "Error against cost",
        "Learning",
        "Which differ",
        "Every run",
        "How it was made",
    ]
    assert "better, &lt; 0.001 / " in page and "worse, &lt; 0.001 / " in page
    assert page.count('<svg class="plot"') == 3  # two of cost, one learning curve
    assert "Homophones" not in page
    assert "src=" not in page and "http" not in page


def test_curves_over_seeds(folder):
    """The band is from the lowest to the highest seed; of an epoch written twice, the last line holds."""
    for seed in SEEDS:
        run = run_folder(folder, "good", seed)
        log_epoch(run, 2, 200, valid_wer_greedy_ctc=10.0 * seed, valid_homophone_error=5.0)
    write_report(folder, *results_of(folder))
    page = (folder / "report.html").read_text()
    assert "good: 200, 20" in page and "Homophones spelled wrong" in page
    assert page.count('<svg class="plot"') == 4


def test_time_against_length(folder, tmp_path):
    results = results_of(folder)
    file = tmp_path / "benchmark.json"
    rows = [{"mixer": "good", "frames": frames, "step_s": frames / 1000} for frames in (500, 1000)]
    file.write_text(json.dumps({"rows": rows}))
    write_report(folder, *results, file)
    page = (folder / "report.html").read_text()
    assert "Time against length" in headings(page) and "good: 40, 1<" in page
    file.write_text(json.dumps({"rows": [{"mixer": "good", "frames": 500}]}))
    with pytest.raises(RecipeError) as error:
        write_report(folder, *results, file)
    assert str(error.value) == (
        f"--benchmark {file}: no times in it; benchmarks.memory writes them with --repeats 1 or more"
    )
    file.write_text("[]")
    with pytest.raises(RecipeError, match=r"is no results file of benchmarks\.memory: write one with its --out$"):
        check_places(folder, file, None)  # before anything is trained
    with pytest.raises(RecipeError, match=r"^--results .*benchmark\.json is a file: give a folder$"):
        check_places(folder, None, file)
    with pytest.raises(RecipeError, match=r"is the folder of the comparison, where these files are: give another$"):
        check_places(folder, None, folder / ".." / folder.name)


def test_only_crashes(tmp_path):
    record = write_comparison(tmp_path, ("good",), (1,))
    Crash("out of memory").write(run_folder(tmp_path, "good", 1))
    write_report(tmp_path, *write_results(tmp_path, record, "good"))
    page = (tmp_path / "report.html").read_text()
    assert headings(page) == ["Results", "How it was made"] and "good, seed 1 crashed: out of memory." in page


def test_a_single_utterance_has_no_test(tmp_path):
    write_comparison(tmp_path, ("good", "bad"), (1,))
    for name in ("good", "bad"):
        write_run(tmp_path, name, 1, {"test-clean": [1]})
    write_report(tmp_path, *write_results(tmp_path, ComparisonRecord.read(tmp_path), "good"))
    page = (tmp_path / "report.html").read_text()
    assert re.findall('<tr><th scope="row">(?:good|bad)</th><td>·</td><td>·</td></tr>', page)
