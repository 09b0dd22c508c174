"""The files of results: what is written is read again, and damage is named in one line."""

import json
import math
from dataclasses import replace

import pytest

from recipes.errors import RecipeError
from recipes.files import write_json
from recipes.scoring import (
    DecodedUtterance,
    EpochRecord,
    LanguageModelSummary,
    RunSummary,
    ScoredText,
    SplitResult,
    TextResult,
    decoded_file,
)

SPLIT = SplitResult(
    wer=36.364,
    interval=(11.0, 60.5),
    substitutions=2,
    deletions=1,
    insertions=1,
    utterances=3,
    words=11,
    wer_greedy_ctc=27.273,
    audio_seconds=10.5,
    decode_seconds=2.1,
    rtf=0.2,
)
OF_BOTH = {
    "recipe": "quickstart",
    "seed": 7,
    "parameters": 1000,
    "seconds": 60.5,
    "peak_memory_mb": 300.0,
    "device": "cpu",
    "versions": {"python": "3.11"},
    "commit": "0123456789ab",
    "recipe_hash": "a4ca6c176d8c",
}
RUN = RunSummary(**OF_BOTH, mixer="xnor", splits={"test-clean": SPLIT}, decoded_by="python train.py run")
TEXT = TextResult(perplexity_token=9.5, perplexity_word=88.0, tokens=30, unknown_tokens=0, words=14, sentences=3)
LANGUAGE_MODEL = LanguageModelSummary(**OF_BOTH, texts={"valid": TEXT}, train_text={"sentences": 24, "words": 96})
UTTERANCES = [
    DecodedUtterance("1-1-0", "1", 2.5, "../a.flac", "A BOX", "A FOX", "", -1.5, [ScoredText("A FOX", -1.5)]),
    DecodedUtterance("1-1-1", "1", 3, "../b.flac", "GRÜN\u2028", "", "", None),
]
EPOCHS = [
    EpochRecord(epoch, 10 * epoch, 1.5, 1e-3, 1.7e9, {"train_loss": 3.5, "valid_wer": None, "perplexity": math.inf})
    for epoch in (1, 2, 3)
]

# --- round trips --------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "summary",
    [
        RUN,
        replace(RUN, splits={}, commit=None, seconds=None),
        replace(RUN, weights="average of epochs 1, 2", settings="0123456789ab"),
        replace(RUN, splits={"dev": replace(SPLIT, interval=None, rtf=None)}),
        replace(RUN, splits={"dev": replace(SPLIT, merged_wer=3.0, homophone_error=50.0, homophones_seen=99.0)}),
        LANGUAGE_MODEL,
        replace(LANGUAGE_MODEL, texts={"test": replace(TEXT, perplexity_token=math.inf)}),
    ],
)
def test_summaries(summary, tmp_path):
    summary.write(tmp_path)
    assert type(summary).read(tmp_path) == summary
    assert [path.name for path in tmp_path.iterdir()] == ["summary.json"]


def test_what_is_absent_is_left_out_where_that_says_enough(tmp_path):
    replace(RUN, commit=None, splits={"dev": replace(SPLIT, interval=None)}).write(tmp_path)
    values = json.loads((tmp_path / "summary.json").read_text())
    assert values["commit"] is None and values["splits"]["dev"]["interval"] is None
    assert "weights" not in values and "merged_wer" not in values["splits"]["dev"]


def test_older_and_newer_summaries_are_read(tmp_path):
    RUN.write(tmp_path)
    values = json.loads((tmp_path / "summary.json").read_text())
    del values["splits"]["test-clean"]["interval"]
    write_json(tmp_path / "summary.json", {**values, "colour": "green"})
    assert RunSummary.read(tmp_path) == replace(RUN, splits={"test-clean": replace(SPLIT, interval=None)})


def test_decoded_utterances(tmp_path):
    path = decoded_file(tmp_path, "test-clean")
    DecodedUtterance.write_all(UTTERANCES, path)
    assert path == tmp_path / "decoded_test-clean.jsonl"
    assert DecodedUtterance.read_all(path) == UTTERANCES
    line = json.loads(path.read_bytes().splitlines()[1])
    assert line["score"] is None and "nbest" not in line


def test_epochs(tmp_path):
    (tmp_path / "log.jsonl").write_text("".join(record.line() + "\n" for record in EPOCHS))
    assert EpochRecord.read_all(tmp_path) == (EPOCHS, 0)
    line = json.loads(EPOCHS[0].line())
    assert line["train_loss"] == 3.5 and line["valid_wer"] is None and "metrics" not in line


def test_a_run_without_a_log_has_no_epochs(tmp_path):
    assert EpochRecord.read_all(tmp_path) == ([], 0)


def test_an_epoch_counts_once_and_torn_lines_are_passed_over(tmp_path):
    """A run that was killed may repeat an epoch, and leave a line cut short."""
    again = replace(EPOCHS[1], steps=21)
    lines = [EPOCHS[0].line(), EPOCHS[1].line()[:-9], EPOCHS[1].line(), "[]", EPOCHS[2].line(), again.line()]
    (tmp_path / "log.jsonl").write_text("\n".join(lines))
    assert EpochRecord.read_all(tmp_path) == ([EPOCHS[0], again, EPOCHS[2]], 2)


@pytest.mark.parametrize(
    "line",
    [
        '{"epoch": 1',
        "7",
        '{"epoch": 1}',
        EPOCHS[0].line().replace('"epoch": 1', '"epoch": "1"'),
        EPOCHS[0].line().replace("3.5", '"low"'),
        b"\xff\xfe",
    ],
)
def test_lines_that_are_no_epoch(line):
    with pytest.raises(ValueError):
        EpochRecord.parse(line)


# --- damage -------------------------------------------------------------------------------------------------


def changed(**values):
    return lambda text: json.dumps({**json.loads(text), **values})


def without(key: str):
    return lambda text: json.dumps({name: value for name, value in json.loads(text).items() if name != key})


def in_split(**values):
    return lambda text: changed(splits={"test-clean": {**json.loads(text)["splits"]["test-clean"], **values}})(text)


DAMAGE = {
    "cut short": (lambda text: text[:-20], ": cut short or damaged"),
    "empty": (lambda text: "", ": cut short or damaged"),
    "not an object": (lambda text: "[]", ": not an object"),
    "field missing": (without("seed"), ": no field 'seed'"),
    "field of another type": (changed(seed="7"), ": no usable field 'seed'"),
    "true for a number": (changed(seed=True), ": no usable field 'seed'"),
    "share for a count": (changed(parameters=0.5), ": no usable field 'parameters'"),
    "null for a text": (changed(mixer=None), ": no usable field 'mixer'"),
    "splits of another type": (changed(splits=["test-clean"]), ": no usable field 'splits'"),
    "split of another type": (changed(splits={"test-clean": 5}), ": no usable field 'splits.test-clean'"),
    "field of a split missing": (changed(splits={"dev": {"wer": 5}}), ": no field 'splits.dev.substitutions'"),
    "field of a split": (in_split(words="11"), ": no usable field 'splits.test-clean.words'"),
    "half an interval": (in_split(interval=[5.0]), ": no usable field 'splits.test-clean.interval'"),
    "interval of texts": (in_split(interval=["a", "b"]), ": no usable field 'splits.test-clean.interval'"),
}


@pytest.mark.parametrize(("damage", "message"), DAMAGE.values(), ids=DAMAGE)
def test_damaged_summary(damage, message, tmp_path):
    RUN.write(tmp_path)
    path = tmp_path / "summary.json"
    path.write_text(damage(path.read_text()))
    with pytest.raises(RecipeError) as error:
        RunSummary.read(tmp_path)
    assert str(error.value) == f"{path}{message}"


def test_missing_summary(tmp_path):
    with pytest.raises(RecipeError) as error:
        LanguageModelSummary.read(tmp_path)
    assert str(error.value) == f"{tmp_path / 'summary.json'} is missing"


DECODED_DAMAGE = {
    "cut short": (lambda content: content[:-20], ", line 2: cut short or damaged"),
    "garbage": (lambda content: b"\xff\xfe\n" + content, ", line 1: cut short or damaged"),
    "empty": (lambda content: b"", " is empty"),
    "not an object": (lambda content: b"7\n" + content, ", line 1: not an object"),
    "field missing": (lambda content: content.replace(b'"speaker"', b'"voice"', 1), ", line 1: no field 'speaker'"),
    "field of another type": (
        lambda content: content.replace(b"2.5", b'"long"'),
        ", line 1: no usable field 'duration'",
    ),
    "sentence without a text": (
        lambda content: content.replace(b'"text"', b'"words"'),
        ", line 1: no field 'nbest.text'",
    ),
}


@pytest.mark.parametrize(("damage", "message"), DECODED_DAMAGE.values(), ids=DECODED_DAMAGE)
def test_damaged_decoded_utterances(damage, message, tmp_path):
    path = decoded_file(tmp_path, "dev")
    DecodedUtterance.write_all(UTTERANCES, path)
    path.write_bytes(damage(path.read_bytes()))
    with pytest.raises(RecipeError) as error:
        DecodedUtterance.read_all(path)
    assert str(error.value) == f"{path}{message}"


def test_missing_decoded_utterances(tmp_path):
    with pytest.raises(RecipeError) as error:
        DecodedUtterance.read_all(decoded_file(tmp_path, "dev"))
    assert str(error.value) == f"{tmp_path / 'decoded_dev.jsonl'} is missing"


def test_json_is_written_as_a_whole(tmp_path):
    path = tmp_path / "summary.json"
    write_json(path, {"wer": 5.5})
    with pytest.raises(TypeError):
        write_json(path, {"wer": object()})
    assert json.loads(path.read_text()) == {"wer": 5.5}
    assert [file.name for file in tmp_path.iterdir()] == ["summary.json"]
