"""report.html of a run: its tables, and the errors for a folder that does not hold what a report needs."""

import re
from dataclasses import replace
from html import unescape
from pathlib import Path

import pytest

from recipes.errors import RecipeError
from recipes.reports import error_analysis
from recipes.reports import run_report as html_report
from recipes.reports.page import duration
from recipes.reports.run_report import write_report
from recipes.scoring.results import DecodedUtterance, LanguageModelSummary, TextResult
from recipes.scoring.significance import bootstrap_interval
from tests.support.report_runs import log_epoch, random_decoded, split_result, utterance, write_run

ROWS = [
    utterance("1-1-0000", "THE QUEEN WALKED", "THE QUEEN WALKED", duration=1.5),
    utterance("1-1-0001", "A BOX OF STONES", "A FOX STONES", duration=2.0),
    utterance("2-1-0000", "DON'T JUMP OVER", "DONE JUMP OVER THE IT", duration=7.0, greedy="DON JUMP"),
]


def report_of(folder: Path, rows: list[DecodedUtterance] = ROWS, **options) -> str:
    return write_report(write_run(folder, {"test-clean": rows}, **options)).read_text(encoding="utf-8")


def section(page: str, anchor: str) -> str:
    return re.search(rf'<section id="{anchor}">.*?</section>', page, re.DOTALL)[0]


def table(page: str, label: str) -> list[list[str]]:
    """Heads and rows of the table with this label, as text."""
    markup = re.search(rf'aria-label="{re.escape(label)}"><table.*?</table>', page, re.DOTALL)[0]
    rows = re.findall(r"<tr>(.*?)</tr>", markup, re.DOTALL)
    return [[text(cell) for cell in re.findall(r"<t[hd].*?>(.*?)</t[hd]>", row)] for row in rows]


def text(markup: str) -> str:
    """As a browser shows it: white space of any length is one space."""
    return " ".join(unescape(re.sub(r"<[^>]*>", "", markup)).split())


def test_results(tmp_path):
    page = report_of(tmp_path)
    low, high = bootstrap_interval([0, 2, 3], [3, 4, 3])
    heads, row = table(page, "Errors by test set")
    assert dict(zip(heads, row, strict=True)) == {
        "test set": "test-clean",
        "WER %": "50.00",
        "95 % interval": f"{low:.2f} – {high:.2f}",
        "sub": "2",
        "del": "1",
        "ins": "2",
        "words": "10",
        "utterances": "3",
        "greedy CTC WER %": "40.00",
        "real-time factor": "0.125",
    }
    results = text(section(page, "results"))
    assert "50.00 % WER" in results
    assert "nothing is normalised" in results


def test_the_summarys_own_interval_and_homophones_are_shown(tmp_path):
    result = replace(split_result(ROWS), interval=(12.5, 87.5), merged_wer=30.0, homophone_error=25.25)
    heads, row = table(report_of(tmp_path, splits={"test-clean": result}), "Errors by test set")
    shown = dict(zip(heads, row, strict=True))
    assert shown["95 % interval"] == "12.50 – 87.50"
    assert (shown["WER %, homophones as one"], shown["homophone errors %"]) == ("30.00", "25.25")


def test_one_utterance_has_no_interval(tmp_path):
    results = text(section(report_of(tmp_path, ROWS[1:2]), "results"))
    assert "no interval from one utterance" in results


def test_speakers_come_worst_first(tmp_path):
    heads, *rows = table(report_of(tmp_path), "WER by speaker, test-clean")
    assert heads == ["speaker", "utterances", "words", "errors", "WER %"]
    assert rows == [["2", "1", "3", "3", "100.00"], ["1", "2", "7", "2", "28.57"]]


def test_lengths_are_binned(tmp_path):
    rows = [utterance(f"1-1-{n:04d}", "A B", "A B" if n else "A", duration=0.7 * n + 0.25) for n in range(20)]
    heads, *bins = table(report_of(tmp_path, rows), "WER by length, test-clean")
    assert heads == ["seconds", "utterances", "WER %", "95 % interval"]
    assert [(name, count) for name, count, *_ in bins] == [
        ("0–2", "3"),
        ("2–4", "3"),
        ("4–6", "3"),
        ("6–8", "3"),
        ("8–10", "2"),
        ("10–12", "3"),
        ("12–14", "3"),
    ]
    assert bins[0][2:] == ["16.67", "–"]


@pytest.mark.parametrize("longest, step", [(2.9, 0.5), (6.2, 1), (35.2, 5), (90, 20), (4000, 500)])
def test_there_are_at_most_eight_bins(longest, step):
    assert error_analysis.length_step(longest) == step


def test_an_interval_needs_ten_utterances():
    rows = [error_analysis.AlignedUtterance(utterance("1-1-0000", "A", "A"), ["A"], ["A"], [])] * 10
    assert [group.interval is None for group in error_analysis.by_length(rows, 5)] == [False]
    assert [group.interval is None for group in error_analysis.by_length(rows[1:], 5)] == [True]


def test_words(tmp_path):
    heads, *rows = table(report_of(tmp_path), "Words most often wrong, test-clean")
    assert heads == ["word", "said", "missed", "heard wrongly"]
    assert rows == [
        ["BOX", "1", "1", "0"],
        ["DON'T", "1", "1", "0"],
        ["OF", "1", "1", "0"],
        ["THE", "1", "0", "1"],
        ["DONE", "0", "0", "1"],
        ["FOX", "0", "0", "1"],
        ["IT", "0", "0", "1"],
    ]


def test_confusions(tmp_path):
    rows = [*ROWS, utterance("3-1-0000", "BOX BOX", "FOX FOX")]
    page = report_of(tmp_path, rows)
    assert table(page, "Most frequent substitutions, test-clean")[1:] == [
        ["BOX", "FOX", "3"],
        ["DON'T", "DONE", "1"],
    ]
    assert table(page, "Most frequent deletions, test-clean")[1:] == [["OF", "1"]]
    assert table(page, "Most frequent insertions, test-clean")[1:] == [["IT", "1"], ["THE", "1"]]


def test_worst_utterances_are_aligned(tmp_path):
    page = section(report_of(tmp_path), "worst")
    assert re.findall(r"<h4>(.*?)</h4>", page) == ["2-1-0000", "1-1-0001"]
    first, second = re.findall(r'<p class="words">(.*?)</p>', page)
    assert text(first) == "DON'T → DONE JUMP OVER THE IT"
    assert re.findall(r"<ins.*?>(\w+)</ins>", first) == ["DONE", "THE", "IT"]
    assert text(second) == "A BOX → FOX OF STONES"
    assert re.findall(r"<del.*?>(\w+)</del>", second) == ["BOX", "OF"]
    assert "WER 100.0 % (1 substitution, 2 insertions in 3 words), score −1.5" in text(page)
    assert "greedy CTC: DON JUMP" in page and page.count("greedy CTC") == 1
    assert "2 of 3 utterances have errors." in text(page)


def test_only_the_thirty_worst_are_shown(tmp_path):
    rows = [utterance(f"1-1-{n:04d}", " ".join("ABCDE"), " ".join("ABCDE"[: n % 5])) for n in range(50)]
    page = section(report_of(tmp_path, rows), "worst")
    assert page.count("<article>") == page.count("<audio ") == 30
    assert "50 of 50 utterances have errors; the 30 of highest WER:" in page


def test_a_perfect_run(tmp_path):
    page = report_of(tmp_path, ROWS[:1] * 3)
    assert "0.00 % WER" in text(section(page, "results"))
    assert "No word is wrong." in page and "No substitutions." in page
    assert "0 of 3 utterances have errors." in page


def test_audio_paths_are_quoted(tmp_path):
    page = report_of(tmp_path, [ROWS[0], utterance("1-1-0001", "A", "B", audio="../my 100% corpus/a:b#1.flac")])
    assert 'preload="none" src="../my%20100%25%20corpus/a%3Ab%231.flac"' in page


def test_everything_is_escaped(tmp_path):
    bad = "<script>alert(\"&')</script>"
    rows = [ROWS[0], utterance(bad, f"A {bad}", f"{bad}2 B", speaker=bad, audio=bad, greedy=f"{bad}3")]
    page = report_of(tmp_path, rows)
    assert page.count("<script>") == page.count("</script>") == 1
    assert "&lt;script&gt;alert(&#34;&amp;&#39;)&lt;/script&gt;" in page
    assert "<marks>" not in page and "with &lt;marks&gt; &amp; more" in page


def test_the_page_refers_to_nothing_outside(tmp_path):
    page = report_of(tmp_path)
    assert re.findall(r"(?:src|href)=\"(?!#|data:,|\.\./)[^\"]*", page) == []
    assert not re.search(r"https?:|@import|url\(", page.replace(text(section(page, "run")), ""))


def test_learning_curves(tmp_path):
    page = section(report_of(tmp_path), "curves")
    assert re.findall(r"<figcaption>(.*?)</figcaption>", page) == ["Loss", "Validation WER", "Learning rate"]
    assert page.count("validation: ") == page.count("greedy CTC: ") == 5
    assert page.count("beam search: ") == 1


def test_a_single_epoch_has_values_and_no_curves(tmp_path):
    page = section(report_of(tmp_path, epochs=1), "curves")
    assert "<figcaption>" not in page
    assert re.findall(r'<tr><th scope="row">(.*?)</th><td>(.*?)</td>', page) == [
        ("Loss, training", "80"),
        ("Loss, validation", "40"),
        ("Validation WER %, greedy CTC", "64"),
        ("Learning rate", "0.002"),
    ]


def test_a_search_of_every_fifth_epoch_is_a_line_of_its_own(tmp_path):
    page = section(report_of(tmp_path, epochs=20), "curves")
    assert page.count("beam search: ") == 4
    lines = re.findall(r'<g class="line"><path d="([^"]*)"', page)
    assert [line.count("L") for line in lines] == [19, 19, 19, 3, 19]


def test_a_loss_that_is_not_a_number_is_a_gap(tmp_path):
    folder = write_run(tmp_path, {"test-clean": ROWS})
    log_epoch(folder, 6, train_loss=float("nan"))
    page = section(write_report(folder).read_text(), "curves")
    assert page.count("training: ") == 5 and page.count("validation: ") == 6


def test_a_repeated_epoch_counts_as_it_was_last(tmp_path):
    folder = write_run(tmp_path, {"test-clean": ROWS})
    log_epoch(folder, 5, valid_loss=1234.0)
    page = section(write_report(folder).read_text(), "curves")
    assert "validation: 5, 1,234<" in page and "validation: 5, 8<" not in page


def test_a_damaged_line_of_the_log_is_left_out_and_said(tmp_path):
    folder = write_run(tmp_path, {"test-clean": ROWS})
    with open(folder / "log.jsonl", "a") as log:
        log.write('{"epoch": 6, "los')
    page = section(write_report(folder).read_text(), "curves")
    assert "Left out: 1 line of log.jsonl, cut short or damaged." in page
    assert page.count("validation: ") == 5


def test_a_converted_model_has_no_curves(tmp_path):
    page = report_of(tmp_path, epochs=0)
    assert "There is no log.jsonl: this model was not trained in this folder." in section(page, "curves")
    assert f"python train.py {tmp_path}/recipe.yaml --test_only" in page


def test_what_repeats_the_run(tmp_path):
    folder = tmp_path / "two words"
    run = section(report_of(folder), "run")
    assert f"python train.py '{folder}/recipe.yaml' --output_folder ANOTHER_FOLDER" in text(run)
    for fact in ("1234", "2,589,120", "4 min 46 s", "1,460 MB", "python 3.11, torch 2.11", "0123456789ab"):
        assert fact in text(run)
    assert "<details><summary>The whole recipe</summary><pre># A recipe of a test" in run


@pytest.mark.parametrize("seconds, shown", [(9.6, "10 s"), (286.4, "4 min 46 s"), (90061, "25 h 1 min")])
def test_durations(seconds, shown):
    assert duration(seconds) == shown


def test_a_run_without_test_sets(tmp_path):
    page = write_report(write_run(tmp_path, {})).read_text()
    assert "This run has no test set." in page and 'id="worst"' not in page


def test_a_report_of_librispeechs_size_is_small(tmp_path):
    splits = {"test-clean": (40, 66), "test-other": (33, 89)}
    path = write_report(write_run(tmp_path, random_decoded(splits)))
    assert path.stat().st_size < 2e6
    assert section(path.read_text(), "worst").count("<article>") == 60


def test_an_evaluation_names_its_weights_and_the_run_it_is_of(tmp_path):
    command = f"python evaluate.py {tmp_path}/run"
    fields = {"weights": "average of epochs 3, 4", "decoded_by": f"{command} --beam 20"}
    folder = write_run(tmp_path / "run" / "evaluations" / "beam=20", {"test-clean": ROWS}, epochs=0, **fields)
    run = text(section(write_report(folder).read_text(), "run"))
    assert "average of epochs 3, 4" in run and f"{command} --beam 20" in run
    (folder / "decoded_test-clean.jsonl").unlink()
    with pytest.raises(RecipeError, match=re.escape(f"evaluate again: {command} --beam 20") + "$"):
        write_report(folder)
    (folder / "summary.json").unlink()
    with pytest.raises(RecipeError, match=re.escape(f"{folder} holds no results: {command}") + "$"):
        write_report(folder)


# --- errors -------------------------------------------------------------------------------------------------


def remove_field(path: Path, field: str) -> None:
    path.write_text(re.sub(rf'"{field}": [^,]+,\s*', "", path.read_text(), count=1))


DAMAGES = {
    "no summary": (
        lambda run: (run / "summary.json").unlink(),
        "{run} holds no results: python train.py {run}/recipe.yaml --test_only",
    ),
    "summary cut short": (
        lambda run: (run / "summary.json").write_text('{"recipe": "qu'),
        "{run}/summary.json: cut short or damaged: {again}",
    ),
    "summary without seed": (
        lambda run: remove_field(run / "summary.json", "seed"),
        "{run}/summary.json: no field 'seed': {again}",
    ),
    "decoded file missing": (
        lambda run: (run / "decoded_test-clean.jsonl").unlink(),
        "{run}/decoded_test-clean.jsonl is missing: {again}",
    ),
    "decoded file empty": (
        lambda run: (run / "decoded_test-clean.jsonl").write_text(""),
        "{run}/decoded_test-clean.jsonl is empty: {again}",
    ),
    "decoded line cut short": (
        lambda run: (run / "decoded_test-clean.jsonl").write_bytes(
            (run / "decoded_test-clean.jsonl").read_bytes()[:-20]
        ),
        "{run}/decoded_test-clean.jsonl, line 3: cut short or damaged: {again}",
    ),
    "decoded without speaker": (
        lambda run: remove_field(run / "decoded_test-clean.jsonl", "speaker"),
        "{run}/decoded_test-clean.jsonl, line 1: no field 'speaker': {again}",
    ),
    "decoded of another evaluation": (
        lambda run: (
            write_run(run, {"dev-clean": ROWS[1:], "test-clean": ROWS[:1]})
            and DecodedUtterance.write_all(ROWS[1:2], run / "decoded_dev-clean.jsonl")
        ),
        "{run}/decoded_dev-clean.jsonl has 1 utterances, summary.json says 2: {again}",
    ),
}


@pytest.mark.parametrize("damage", DAMAGES)
def test_errors_are_one_line(tmp_path, capsys, damage):
    run = write_run(tmp_path / "run", {"test-clean": ROWS})
    spoil, hint = DAMAGES[damage]
    spoil(run)
    again = f"evaluate again: python train.py {run}/recipe.yaml --test_only"
    assert html_report.main([str(run)]) == 2
    assert capsys.readouterr().err == f"error: {hint.format(run=run, again=again)}\n"
    assert not (run / "report.html").exists()


def test_results_of_another_kind_are_told_so(tmp_path):
    """What evaluates a recogniser again would not help."""
    perplexity = TextResult(1.0, 1.0, 1, 0, 1, 1)
    LanguageModelSummary("lm", 1, 1, 1.0, 1.0, "cpu", {}, None, "0", texts={"valid": perplexity}, train_text={}).write(
        tmp_path
    )
    with pytest.raises(
        RecipeError, match=r"is a run of a language model, which has no report: its perplexities are in"
    ):
        write_report(tmp_path)
    (tmp_path / "comparison.json").touch()
    with pytest.raises(
        RecipeError, match=r"holds a comparison, whose report is made by python compare\.py --table --out"
    ):
        write_report(tmp_path)


def test_a_report_that_fails_leaves_the_one_before(tmp_path):
    run = write_run(tmp_path, {"test-clean": ROWS})
    assert html_report.main([str(run)]) == 0
    before = (run / "report.html").read_bytes()
    (run / "decoded_test-clean.jsonl").unlink()
    assert html_report.main([str(run)]) == 2
    assert (run / "report.html").read_bytes() == before
    assert [path.name for path in run.glob(".*")] == []
