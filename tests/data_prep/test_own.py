"""Own manifests of every kind: the same utterances, and everything that is wrong with one by name."""

import csv
import gzip
import json
from pathlib import Path

import numpy as np
import pytest
import soundfile

from data_prep.corpus import Corpus
from data_prep.errors import DataError
from data_prep.manifest import read_manifest
from data_prep.own.__main__ import main
from data_prep.segments import parse_segment

RATE = 16000


@pytest.fixture
def folder(tmp_path) -> Path:
    """Two short recordings and a long one of ten seconds, at two rates."""
    (tmp_path / "audio").mkdir()
    for name, seconds, rate in (("a.wav", 1.0, RATE), ("b.flac", 1.5, 8000), ("long.wav", 10.0, RATE)):
        samples = 0.1 * np.random.default_rng(0).standard_normal(round(seconds * rate))
        soundfile.write(tmp_path / "audio" / name, samples, rate)
    return tmp_path


def prepared(manifest: Path, out: Path, data_folder=None, **options) -> list[dict[str, str]]:
    """The rows of the one manifest that was written."""
    made = Corpus(data_folder, test=str(manifest), **options).prepare(out, [], [], progress=False)
    (written,) = made.test.values()
    return list(read_manifest(written))


def write_csv(path: Path, header: str, *rows: list) -> Path:
    with open(path, "w", newline="") as file:
        csv.writer(file).writerows([header.split(), *rows])
    return path


def write_lines(path: Path, *objects: dict) -> Path:
    path.write_text("".join(f"{json.dumps(item)}\n" for item in objects))
    return path


def kaldi(folder: Path, **files: str) -> Path:
    (folder / "kaldi").mkdir(exist_ok=True)
    for name, content in files.items():
        (folder / "kaldi" / name.replace("wav_scp", "wav.scp")).write_text(content)
    return folder / "kaldi"


def cut(name: str, source: str, start: float, duration: float, of: float, text: str, speaker: str, **more) -> dict:
    """As Lhotse writes it, with its recording inside."""
    recording = {"id": source, "sources": [{"type": "file", "channels": [0], "source": source}], "sampling_rate": RATE}
    supervision = {"id": name, "recording_id": source, "start": 0.0, "duration": duration, "channel": 0}
    return {
        "id": f"{name}-cut",
        "start": start,
        "duration": duration,
        "channel": 0,
        "supervisions": [{**supervision, "text": text, "speaker": speaker}],
        "recording": {**recording, "num_samples": round(of * RATE), "duration": of},
        "type": "MonoCut",
        **more,
    }


def speechbrain_csv(folder: Path) -> Path:
    rows = [
        ["u1", 1.0, "audio/a.wav", "anna", "Hello, world"],
        ["u2", 1.5, "$data_root/audio/b.flac", "bo", "Good day"],
    ]
    part = ["u3", 2.5, "audio/long.wav", "anna", "A part"]
    rows = [[*row, "", ""] for row in rows] + [[*part, 2.25, 4.75]]
    return write_csv(folder / "mine.csv", "ID duration wav spk_id wrd start end", *rows)


def jsonl(folder: Path) -> Path:
    return write_lines(
        folder / "mine.jsonl",
        {"id": "u1", "audio": str(folder / "audio" / "a.wav"), "text": "Hello, world", "speaker": "anna"},
        {"id": "u2", "audio": "audio/b.flac", "text": "Good day", "speaker": "bo", "duration": 1.5},
        {"id": "u3", "audio": "audio/long.wav", "text": "A part", "speaker": "anna", "start": 2.25, "end": 4.75},
    )


def nemo_gz(folder: Path) -> Path:
    plain = write_lines(
        folder / "plain",
        {"id": "u1", "audio_filepath": "audio/a.wav", "text": "Hello, world", "duration": 1.0, "speaker": "anna"},
        {"id": "u2", "audio_filepath": "audio/b.flac", "text": "Good day", "duration": 1.5, "speaker": "bo"},
        {
            "id": "u3",
            "audio_filepath": "audio/long.wav",
            "text": "A part",
            "offset": 2.25,
            "duration": 2.5,
            "spk": "anna",
        },
    )
    path = folder / "mine.jsonl.gz"
    path.write_bytes(gzip.compress(plain.read_bytes()))
    return path


def kaldi_folder(folder: Path) -> Path:
    return kaldi(
        folder,
        wav_scp="r1 ../audio/a.wav\nr2 ../audio/b.flac\nr3 ../audio/long.wav\n",
        segments="u1 r1 0 1\nu2 r2 0.0 -1\nu3 r3 2.25 4.75\n",
        text="u1 Hello, world\nu2 Good day\nu3\tA part\n",
        utt2spk="u1 anna\nu2 bo\nu3 anna\n",
    )


def lhotse_cuts(folder: Path) -> Path:
    return write_lines(
        folder / "mine.jsonl",
        cut("u1", "audio/a.wav", 0.0, 1.0, 1.0, "Hello, world", "anna"),
        cut("u2", "audio/b.flac", 0.0, 1.5, 1.5, "Good day", "bo"),
        cut("u3", "audio/long.wav", 2.25, 2.5, 10.0, "A part", "anna"),
    )


@pytest.mark.parametrize("write", [speechbrain_csv, jsonl, nemo_gz, kaldi_folder, lhotse_cuts])
def test_every_format_gives_the_same_utterances(folder, tmp_path, write):
    rows = prepared(write(folder), tmp_path / "out", data_folder=folder)
    assert [(row["ID"], float(row["duration"]), row["spk_id"], row["wrd"]) for row in rows] == [
        ("u1", 1.0, "anna", "Hello, world"),
        ("u2", 1.5, "bo", "Good day"),
        ("u3", 2.5, "anna", "A part"),
    ]
    files = [parse_segment(row["wav"]) for row in rows]
    assert [file.path for file in files] == [f"$data_root/audio/{name}" for name in ("a.wav", "b.flac", "long.wav")]
    assert files[2].start == 2.25 and files[2].end == 4.75


@pytest.mark.parametrize(
    ("normalizer", "words"),
    [
        ("none", "Don\N{RIGHT SINGLE QUOTATION MARK}t “stop” — the 'well-known' dogs' café, 50 %!"),
        ("upper", "DON'T STOP THE WELL KNOWN DOGS CAFÉ 50"),
        ("basic", "don't stop the well known dogs café 50"),
    ],
)
def test_text_is_normalised_once_and_that_is_recorded(folder, tmp_path, capsys, normalizer, words):
    text = "Don\N{RIGHT SINGLE QUOTATION MARK}t “stop” — the 'well-known'  dogs' cafe\N{COMBINING ACUTE ACCENT}, 50 %!"
    manifest = write_csv(folder / "mine.csv", "wav wrd", ["audio/a.wav", text])
    (row,) = prepared(manifest, tmp_path / "out", normalizer=normalizer)
    assert row["wrd"] == words
    report = json.loads((tmp_path / "out" / "mine.json").read_text())
    assert report["normalizer"] == normalizer
    assert ("text_normalizer" in capsys.readouterr().out) == (normalizer != "none")


def test_words_that_normalising_leaves_empty_are_an_empty_transcript(folder, tmp_path):
    rows = [[f"u{n}", "audio/a.wav", "yes"] for n in range(10)]
    manifest = write_csv(folder / "mine.csv", "id audio text", *rows, ["u-marks", "audio/a.wav", "...!"])
    assert len(prepared(manifest, tmp_path / "out", normalizer="basic")) == 10
    report = json.loads((tmp_path / "out" / "mine.json").read_text())
    assert report["problems"] == {"empty transcript": ["u-marks"]}


def good_rows(count: int = 100) -> list[list]:
    return [[f"u{number:03d}", "audio/long.wav", "yes", number / 20, number / 20 + 1] for number in range(count)]


def test_every_problem_is_named_and_the_rest_is_kept(folder, tmp_path, capsys):
    (folder / "audio" / "empty.wav").touch()
    (folder / "audio" / "text.wav").write_text("no audio " * 99)
    manifest = write_csv(
        folder / "mine.csv",
        "id audio text start end",
        *good_rows(),
        ["u001", "audio/a.wav", "again", "", ""],
        ["gone", "audio/gone.wav", "yes", "", ""],
        ["empty", "audio/empty.wav", "yes", "", ""],
        ["damaged", "audio/text.wav", "yes", "", ""],
        ["wordless", "audio/a.wav", " ", "", ""],
        ["beyond", "audio/long.wav", "yes", 9, 10.2],
        ["backwards", "audio/long.wav", "yes", 5, 4],
        ["vague", "audio/long.wav", "yes", "five", 6],
    )
    rows = prepared(manifest, tmp_path / "out")
    assert [row["ID"] for row in rows] == [f"u{number:03d}" for number in range(100) if number != 1]
    report = json.loads((tmp_path / "out" / "mine.json").read_text())
    assert report["problems"] == {
        "damaged audio file": ["damaged"],
        "duplicate ID": ["u001", "u001"],
        "empty audio file": ["empty"],
        "empty transcript": ["wordless"],
        "missing audio file": ["gone"],
        "row that cannot be used": [f"{manifest}:109"],
        "segment beyond the end of its file": ["beyond"],
        "segment without length": ["backwards"],
    }
    assert (report["utterances_found"], report["utterances"], report["segments"]) == (108, 99, 99)
    shown = capsys.readouterr().out
    assert "left out: segment beyond the end of its file: 1: beyond" in shown
    assert f"first bad line {manifest}:109: start is no number of seconds" in shown


def test_more_than_a_tenth_is_refused_with_the_commonest_problem_and_its_rule(folder, tmp_path):
    manifest = write_csv(
        folder / "mine.csv", "id audio text start end", *good_rows(8), ["x", "audio/long.wav", "yes", 90000, 120000]
    )
    with pytest.raises(DataError) as error:
        prepared(manifest, tmp_path / "out")
    assert str(error.value).startswith(
        f"{manifest}: 1 of 9 utterances are unusable, most by: segment beyond the end of its file (the rule: start and "
        "end are seconds from the beginning of the file); a split is refused"
    )


def test_every_row_of_an_id_that_is_not_unique_counts_as_left_out(folder, tmp_path):
    same = (["same", *row[1:]] for row in good_rows(12))
    manifest = write_csv(folder / "mine.csv", "id audio text start end", *good_rows(12), *same)
    with pytest.raises(DataError, match="12 of 24 utterances are unusable, most by: duplicate ID"):
        prepared(manifest, tmp_path / "out")


def test_segment_that_ends_a_rounding_error_after_its_file_is_cut(folder, tmp_path):
    manifest = write_csv(folder / "mine.csv", "audio text start end", ["audio/long.wav", "yes", 9, 10.04])
    (row,) = prepared(manifest, tmp_path / "out")
    assert (row["ID"], row["wav"], row["duration"]) == (
        "audio-long-00009.000",
        "$data_root/audio/long.wav#t=9,10",
        "1.0",
    )


def test_an_utterance_without_id_is_called_the_same_wherever_the_root_is(folder, tmp_path):
    manifest = write_csv(folder / "mine.csv", "audio text", ["audio/a.wav", "yes"], ["audio/b.flac", "no"])
    for data_folder in (None, folder, tmp_path / "elsewhere"):
        rows = prepared(manifest, tmp_path / "out", data_folder=data_folder)
        assert [row["ID"] for row in rows] == ["audio-a", "audio-b"]


def test_manifest_stays_until_it_or_its_audio_or_the_normalizer_changes(folder, tmp_path, monkeypatch):
    manifest, out = write_csv(folder / "mine.csv", "audio text", ["audio/a.wav", "Yes"]), tmp_path / "out"
    prepared(manifest, out)
    written = (out / "mine.csv").stat().st_mtime_ns
    prepared(manifest, out)
    assert (out / "mine.csv").stat().st_mtime_ns == written
    assert prepared(manifest, out, normalizer="upper")[0]["wrd"] == "YES"
    soundfile.write(folder / "audio" / "a.wav", np.zeros(RATE * 3), RATE)
    assert prepared(manifest, out)[0]["duration"] == "3.0"
    write_csv(manifest, "audio text", ["audio/a.wav", "No"])
    assert prepared(manifest, out)[0]["wrd"] == "No"


def test_data_may_move(folder, tmp_path):
    manifest = write_csv(folder / "mine.csv", "audio text", ["audio/a.wav", "Yes"])
    prepared(manifest, tmp_path / "out")
    before = (tmp_path / "out" / "mine.csv").read_bytes()
    (folder / "moved").mkdir()
    for name in ("mine.csv", "audio"):
        (folder / name).rename(folder / "moved" / name)
    made = Corpus(None, test=str(folder / "moved" / "mine.csv")).prepare(tmp_path / "out", [], [], progress=False)
    assert made.root == folder / "moved" and made.test["mine"].read_bytes() == before


def test_relative_path_that_is_not_beside_the_manifest_is_looked_for_in_the_data_folder(folder, tmp_path):
    (folder / "lists").mkdir()
    manifest = write_csv(folder / "lists" / "mine.csv", "audio text", ["audio/a.wav", "Yes"])
    with pytest.raises(DataError, match=r"missing audio file .*in the manifest's folder, then in --data_folder"):
        prepared(manifest, tmp_path / "out")
    (row,) = prepared(manifest, tmp_path / "out", data_folder=folder)
    assert row["wav"] == "$data_root/audio/a.wav"


def test_manifests_of_one_name_are_told_apart_by_their_folders(folder):
    for place, audio in (("train", "long"), ("test", "a")):
        (folder / place).mkdir()
        write_csv(folder / place / "all.csv", "audio text", [f"../audio/{audio}.wav", "Yes"])
    both = {use: str(folder / use / "all.csv") for use in ("train", "test")}
    made = Corpus(None, **both, valid=both["test"]).prepare(folder / "out", progress=False)
    assert [list(names) for names in made[1:]] == [["train-all"], ["test-all"], ["test-all"]]
    with pytest.raises(DataError, match=r"two manifests would be called train-a, .*a\.csv and .*a\.jsonl: rename one"):
        Corpus(None, test=[str(folder / "train" / "a.csv"), str(folder / "train" / "a.jsonl")])


def test_quotes_in_a_table_of_tabs_are_text(folder):
    """As in Common Voice, where a quote that does not end would take all lines after it into its text."""
    texts = {"u1": '"Hello', "u2": 'the "A part', "u3": '"Hi," he said', "u4": '"he said ""hi"""', "u5": '"Good day"'}
    lines = ["id\taudio\ttext", *(f"{name}\taudio/a.wav\t{text}" for name, text in texts.items())]
    (folder / "mine.tsv").write_text("\n".join(lines) + "\n", encoding="utf-16")  # as Excel writes it
    assert main([str(folder / "mine.tsv"), str(folder / "out")]) == 0
    (folder / "MINE.TSV.GZ").write_bytes(gzip.compress((folder / "mine.tsv").read_bytes()))
    assert main([str(folder / "MINE.TSV.GZ"), str(folder / "capitals")]) == 0
    words = {row["ID"]: row["wrd"] for row in read_manifest(folder / "out" / "mine.csv")}
    assert words == {**texts, "u4": 'he said "hi"', "u5": "Good day"}


WRONG = {
    "column twice": (
        "mine.csv",
        "wav,text,wav,,\na.wav,x,b.wav,,\n",
        "two columns are named 'wav': rename or remove one",
    ),
    "no column": ("mine.csv", "id,audio\nu1,a.wav\n", "no column for text (text, wrd, words, transcript, transcrip"),
    "no columns": (
        "mine.csv",
        "",
        "no column for audio (audio, wav, path, audio_path, audio_filepath, file) and text (",
    ),
    "keys": ("mine.jsonl", '{"audio": "a.wav"}\n', "1 of 1 utterances are unusable, most by: row that cannot be used"),
    "no rows": ("mine.jsonl", "", "no utterance in it"),
    "other text": ("mine.jsonl", "hello\n", "is no manifest: give a CSV or TSV file, a file with a JSON object a line"),
    "recordings": ("r.jsonl", '{"id": "r", "sources": []}\n', "is Lhotse's manifest of recordings: give one of cuts"),
    "bytes": (
        "mine.csv",
        b"audio,text\na.wav,caf\xe9\n",
        "line 2: not UTF-8 text; convert it, iconv -f latin1 -t utf-8",
    ),
    "quote without end": (
        "mine.csv",
        'audio,text\na.wav,A\na.wav,"B\na.wav,C\n',
        "line 3: unexpected end of data; a value in quotes ends with one, and those inside are doubled",
    ),
    "quote within": (
        "mine.csv",
        'audio,text\na.wav,"Hi," he said\n',
        "line 2: ',' expected after '\"'; a value in quotes",
    ),
    "cut off": ("mine.jsonl.gz", gzip.compress(b"{}" * 99)[:-20], "is damaged (Compressed file ended before"),
}


@pytest.mark.parametrize(("name", "content", "message"), WRONG.values(), ids=WRONG.keys())
def test_manifest_that_cannot_be_read_is_a_single_line(tmp_path, capsys, name, content, message):
    (tmp_path / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    assert main([str(tmp_path / name), str(tmp_path / "out")]) == 2
    error = capsys.readouterr().err
    assert error.startswith("error: ") and error.count("\n") == 1
    assert str(tmp_path / name) in error and message in error


def test_folders_and_missing_manifests(tmp_path, capsys):
    (tmp_path / "folder").mkdir()
    assert main([str(tmp_path / "folder"), str(tmp_path / "out")]) == 2
    assert "folder is no manifest: give a CSV or TSV file" in capsys.readouterr().err
    assert main([str(tmp_path / "gone.csv"), str(tmp_path / "out")]) == 2
    assert f"error: no manifest {tmp_path}/gone.csv: give a CSV or TSV file" in capsys.readouterr().err
    (tmp_path / "folder" / "text").touch()
    assert main([str(tmp_path / "folder"), str(tmp_path / "out")]) == 2
    assert "folder has no wav.scp: a data folder of Kaldi has wav.scp and text" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["my.csv", "my.json"])
def test_a_manifest_is_not_written_over_by_what_is_made_of_it(tmp_path, capsys, name):
    """Its report has the ending .json."""
    (tmp_path / name).write_text("audio,text\na.wav,YES\n")
    for out in (tmp_path, tmp_path / ".." / tmp_path.name):
        assert main([str(tmp_path / name), str(out)]) == 2
    message = f"error: {tmp_path / name} would be written over by what is made of it: give another folder\n"
    assert capsys.readouterr().err == 2 * message
    assert (tmp_path / name).read_text() == "audio,text\na.wav,YES\n"


def reasons(capsys, manifest: Path, out: Path) -> str:
    with pytest.raises(DataError):
        prepared(manifest, out)
    return capsys.readouterr().out


def test_what_kaldi_would_compute_is_refused_by_name(folder, tmp_path, capsys):
    place = kaldi(folder, wav_scp="r1 sox a.mp3 -t wav - |\nr2 ../audio/a.wav\n", text="r1 YES\nr3 NO\n")
    shown = reasons(capsys, place, tmp_path / "out")
    assert f"row that cannot be used: 3: {place}/text:1, {place}/text:2, {place}/text:r2" in shown
    assert "wav.scp has a command for r1: only files are read" in shown


def test_what_kaldi_says_twice_and_not_alike_is_refused_by_name(folder, tmp_path, capsys):
    scp = "r1 ../audio/a.wav\nr1 ../audio/b.flac\nr2 ../audio/a.wav\nr2 ../audio/a.wav\n"
    place = kaldi(folder, wav_scp=scp, text="r1 YES\nr2 NO\n")
    shown = reasons(capsys, place, tmp_path / "out")
    assert f"row that cannot be used: 1: {place}/text:1" in shown and "wav.scp has two lines for r1" in shown


def test_what_lhotse_would_compute_is_refused_by_name(folder, tmp_path, capsys):
    plain = cut("u1", "audio/a.wav", 0.0, 1.0, 1.0, "yes", "anna")
    sped_up = {**plain, "recording": {**plain["recording"], "transforms": [{"name": "Speed"}]}}
    by_reason = {
        "a cut of changed audio (transforms)": sped_up,
        "a mixed cut": {"id": "m", "type": "MixedCut", "tracks": []},
        "a cut without its recording": {**plain, "recording": None},
        "a cut without supervision": {**plain, "supervisions": []},
        "of type command": {**plain, "recording": {**plain["recording"], "sources": [{"type": "command"}]}},
    }
    for reason, line in by_reason.items():
        assert reason in reasons(capsys, write_lines(folder / "mine.jsonl", line), tmp_path / "out")
