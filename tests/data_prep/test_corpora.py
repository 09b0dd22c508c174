"""Corpora that are not quite LibriSpeech: other names, formats, encodings and folders, each by a stated rule."""

import os
import shutil
import subprocess
import sys

import numpy as np
import pytest
import soundfile

from data_prep.corpus import Corpus
from data_prep.errors import DataError
from data_prep.librispeech import main, prepare_split
from data_prep.manifest import read_manifest
from tests.support.corpus import write_corpus
from tests.support.runs import ROOT

SPLIT = "train"


def write(folder, texts, ending="flac", samples=None, transcript="1-2.trans.txt", encoding="utf-8", separator=" "):
    """Audio of 0.1 s for each ID, and a transcript file beside it."""
    folder.mkdir(parents=True, exist_ok=True)
    options = {"format": "OGG", "subtype": "OPUS"} if ending == "opus" else {}
    for name in texts:
        soundfile.write(folder / f"{name}.{ending}", np.zeros(1600) if samples is None else samples, 16000, **options)
    lines = "".join(f"{name}{separator}{words}\n" for name, words in texts.items())
    (folder / transcript).write_bytes(lines.encode(encoding))


def rows_of(corpus, out, **options):
    return {row["ID"]: row for row in read_manifest(prepare_split(corpus, SPLIT, out, progress=False, **options))}


@pytest.mark.parametrize(
    ("name", "folder", "spk_id"),
    [
        ("84-121123-0000", "84/121123", "84-121123"),
        ("84_121123_000000", "audio/84/121123", "84-121123"),
        ("LJ001-0004", "wavs", "wavs"),
        ("p225_001", "p225", "p225"),
        ("common_voice_en_17", "de-AT/clips", "de_AT-clips"),
        ("utterance.7:a", "x/y", "x-y"),
        ("ÄÖ-1", "x", "x"),
        ("a1", "", "unknown"),
    ],
)
def test_ids_of_any_form_without_blanks(tmp_path, name, folder, spk_id):
    write(tmp_path / SPLIT / folder, {name: "GO ON"})
    (row,) = rows_of(tmp_path, tmp_path / "out").values()
    place = f"{folder}/{name}" if folder else name
    assert row == {
        "ID": name,
        "duration": "0.1",
        "wav": f"$data_root/{SPLIT}/{place}.flac",
        "spk_id": spk_id,
        "wrd": "GO ON",
    }


def test_speakers_are_counted_where_the_corpus_names_them(tmp_path, capsys):
    write(tmp_path / "train", {"a1": "GO", "a2": "ON"})
    write(tmp_path / "test" / "p225", {"p225_001": "GO"})
    write(tmp_path / "test" / "p226", {"p226_001": "GO"})
    for split in ("train", "test"):
        prepare_split(tmp_path, split, tmp_path / "out", progress=False)
    shown = capsys.readouterr().out.splitlines()
    assert shown[0].endswith("2 utterances     0.00 hours     0 speakers")
    assert shown[1].endswith("2 utterances     0.00 hours     2 speakers")


def test_folders_called_train_valid_and_test(tmp_path):
    write_corpus(tmp_path, {"train": (1, 2), "valid": (1, 1), "test": (1, 1)})
    prepared = Corpus(tmp_path).prepare(tmp_path / "out", progress=False)
    assert [list(use) for use in prepared[1:]] == [["train"], ["valid"], ["test"]]


@pytest.mark.parametrize("ending", ["mp3", "ogg", "opus", "wav", "aiff", "FLAC", "Wav"])
def test_formats(tmp_path, ending):
    write(tmp_path / SPLIT, {"a-b-1": "GO"}, ending)
    row = rows_of(tmp_path, tmp_path / "out")["a-b-1"]
    assert row["wav"].endswith(f"a-b-1.{ending}") and float(row["duration"]) == pytest.approx(0.1, abs=0.05)


def test_several_channels_are_kept_and_counted(tmp_path, capsys):
    write(tmp_path / SPLIT, {"a-b-1": "GO"}, samples=np.zeros((1600, 2)))
    for _ in ("new", "reused"):
        assert list(rows_of(tmp_path, tmp_path / "out")) == ["a-b-1"]
        assert "  kept: 1 files with several channels; training takes their mean\n" in capsys.readouterr().out


def test_of_several_formats_flac_is_taken(tmp_path, capsys):
    for ending in ("wav", "mp3", "flac"):
        write(tmp_path / SPLIT / "a", {"a-b-1": "GO"}, ending)
    for ending in ("wav", "mp3"):
        write(tmp_path / SPLIT / "b", {"c-d-1": "ON"}, ending)
    rows = rows_of(tmp_path, tmp_path / "out")
    assert [row["wav"].rpartition("/")[2] for row in rows.values()] == ["a-b-1.flac", "c-d-1.wav"]
    shown = capsys.readouterr().out
    assert "  kept: 2 utterances with audio in several formats; FLAC is read, then WAV\n" in shown
    assert "left out" not in shown


@pytest.mark.parametrize("name", ["transcripts.txt", "transcript.txt", "1-2.TRANS.TXT"])
def test_names_of_transcript_files(tmp_path, name):
    write(tmp_path / SPLIT, {"a-b-1": "GO"}, transcript=name)
    assert list(rows_of(tmp_path, tmp_path / "out")) == ["a-b-1"]


def test_transcript_file_in_a_folder_above(tmp_path):
    """As in Multilingual LibriSpeech; a file nearer to the audio is the one that counts."""
    write(tmp_path / SPLIT / "audio" / "1" / "2", {"1_2_1": "WRONG"})
    write(tmp_path / SPLIT / "audio" / "3" / "4", {"3_4_1": "GO", "3_4_2": "ON"})
    (tmp_path / SPLIT / "audio" / "3" / "4" / "1-2.trans.txt").rename(tmp_path / SPLIT / "transcripts.txt")
    rows = rows_of(tmp_path, tmp_path / "out")
    assert {name: row["wrd"] for name, row in rows.items()} == {"1_2_1": "WRONG", "3_4_1": "GO", "3_4_2": "ON"}


@pytest.mark.parametrize("encoding", ["utf-8", "utf-8-sig", "utf-16", "utf-16-le-bom", "utf-16-be-bom"])
@pytest.mark.parametrize("separator", [" ", "\t", "  "])
def test_encodings_and_separators(tmp_path, encoding, separator):
    write(tmp_path / SPLIT, {"a-b-1": "CAFÉ\r", "a-b-2": "ON"}, separator=separator)
    path = tmp_path / SPLIT / "1-2.trans.txt"
    text = path.read_bytes().decode()
    if encoding.endswith("-bom"):
        path.write_bytes(("\ufeff" + text).encode(encoding.removesuffix("-bom")))
    else:
        path.write_bytes(text.encode(encoding))
    assert {name: row["wrd"] for name, row in rows_of(tmp_path, tmp_path / "out").items()} == {
        "a-b-1": "CAFÉ",
        "a-b-2": "ON",
    }


def test_composed_and_decomposed_text_and_names_are_equal(tmp_path):
    write(tmp_path / SPLIT, {"e\u0301-1": "CAFE\u0301 \uff21\uff22"})
    path = tmp_path / SPLIT / "1-2.trans.txt"
    path.write_text(path.read_text().replace("e\u0301-1", "\u00e9-1"))
    (row,) = rows_of(tmp_path, tmp_path / "out").values()
    assert (row["ID"], row["wrd"]) == ("\u00e9-1", "CAF\u00c9 AB")
    assert os.path.exists(row["wav"].replace("$data_root", str(tmp_path)))


# --- what cannot be read names its rule and the first bad line ---


def refused(corpus, out):
    with pytest.raises(DataError) as error:
        prepare_split(corpus, SPLIT, out, progress=False)
    assert "\n" not in str(error.value)
    return str(error.value)


def test_lines_of_another_form(tmp_path, capsys):
    write(tmp_path / SPLIT / "wavs", {"LJ1": "GO ON", "LJ2": "STOP"}, separator="|", transcript="transcripts.txt")
    expected = (
        "the rule: an audio file is named like its ID and ends in .flac .wav .w64 .rf64 .aiff .aif .aifc .au .snd .caf"
        " .sph .nist .opus .ogg .oga .mp3; first bad line wavs/transcripts.txt:1 'LJ1|GO ON'"
    )
    assert "4 of 4 utterances are unusable, most by: audio without transcript line" in refused(
        tmp_path, tmp_path / "out"
    )
    assert (
        f"  left out: transcript line without audio: 2: LJ1|GO, LJ2|STOP\n    {expected}\n" in capsys.readouterr().out
    )


def test_latin1_lines(tmp_path, capsys):
    write(tmp_path / SPLIT, {"a-b-1": "GO", "a-b-2": "CAFÉ", "a-b-3": "ÉTÉ"}, encoding="latin-1")
    refused(tmp_path, tmp_path / "out")
    assert (
        "  left out: malformed transcript line: 2: 1-2.trans.txt:2, 1-2.trans.txt:3\n"
        "    the rule: a line is an ID without blanks, a blank and the words, in UTF-8 or UTF-16;"
        " first bad line 1-2.trans.txt:2\n"
    ) in capsys.readouterr().out


def test_other_names_of_transcript_files(tmp_path, capsys):
    write(tmp_path / SPLIT / "a", {"a-b-1": "GO"}, transcript="text")
    assert (
        "(the rule: *.trans.txt, transcripts.txt or transcript.txt lies beside the audio or in a folder above it)"
        in (refused(tmp_path, tmp_path / "out"))
    )


# --- folders ---


@pytest.mark.parametrize("links", [1, 2, 40])
def test_links_to_a_parent_folder_end(tmp_path, links):
    write(tmp_path / SPLIT / "1" / "2", {"1-2-0": "GO"})
    for number in range(links):
        (tmp_path / SPLIT / "1" / f"link{number}").symlink_to(tmp_path / SPLIT)
    (tmp_path / SPLIT / "loop").symlink_to(tmp_path / SPLIT / "loop")
    assert list(rows_of(tmp_path, tmp_path / "out")) == ["1-2-0"]


def test_links_to_other_places_are_followed(tmp_path):
    write(tmp_path / "elsewhere" / "2", {"1-2-0": "GO"})
    (tmp_path / SPLIT).mkdir()
    (tmp_path / SPLIT / "1").symlink_to(tmp_path / "elsewhere")
    (row,) = rows_of(tmp_path, tmp_path / "out").values()
    assert row["wav"] == f"$data_root/{SPLIT}/1/2/1-2-0.flac"


def test_folder_whose_name_is_not_utf8_is_left_out(tmp_path, capsys):
    write(tmp_path / SPLIT / "1" / "2", {f"1-2-{number}": "GO" for number in range(20)})
    folder = os.fsencode(tmp_path / SPLIT) + b"/caf\xe9"
    write(tmp_path / "made", {"3-4-0": "ON"})
    shutil.move(os.fsencode(tmp_path / "made"), folder)
    for _ in ("new", "reused"):
        assert len(rows_of(tmp_path, tmp_path / "out")) == 20
        assert "  left out: name that is not UTF-8: 1: caf\\udce9/3-4-0.flac\n" in capsys.readouterr().out


def test_split_whose_name_is_not_utf8_is_a_single_line(tmp_path):
    write(tmp_path / "made", {"3-4-0": "ON"})
    name = b"train-caf\xe9".decode(errors="surrogateescape")
    shutil.move(tmp_path / "made", tmp_path / name)
    with pytest.raises(DataError, match=r"train-caf\\udce9 in .* is no UTF-8 name: rename the folder"):
        Corpus(tmp_path).prepare(tmp_path / "out", valid=[], test=[], progress=False)


def test_ascii_screen(tmp_path):
    write(tmp_path / "Ä" / SPLIT, {"é-1": "", **{f"a-{number}": "GO" for number in range(20)}})
    command = [sys.executable, "-m", "data_prep.librispeech", str(tmp_path / "Ä"), str(tmp_path / "out")]
    environment = {**os.environ, "PYTHONIOENCODING": "ascii"}
    finished = subprocess.run(command, cwd=ROOT, capture_output=True, env=environment)
    assert finished.returncode == 0, finished.stderr
    assert b"empty transcript: 1: \\xe9-1" in finished.stdout


# --- decoding everything ---


def test_check_finds_what_headers_do_not_show(tmp_path, capsys):
    write(
        tmp_path / SPLIT,
        {f"a-b-{number:02}": "GO" for number in range(40)},
        samples=np.random.default_rng(0).uniform(-0.1, 0.1, 9000),
    )
    damaged = tmp_path / SPLIT / "a-b-01.flac"
    content = bytearray(damaged.read_bytes())
    content[len(content) // 2] ^= 1
    damaged.write_bytes(content)
    (tmp_path / SPLIT / "a-b-02.flac").unlink()
    soundfile.write(tmp_path / SPLIT / "a-b-02.wav", np.full(1000, np.nan), 16000, subtype="FLOAT")
    assert len(rows_of(tmp_path, tmp_path / "out")) == 40
    capsys.readouterr()
    assert len(rows_of(tmp_path, tmp_path / "out", check=True)) == 38
    shown = capsys.readouterr().out
    assert shown.startswith(f"{SPLIT}: decoding 0.0 hours of audio, about 1 min\n")
    assert "  left out: audio with NaN or infinity: 1: a-b-02\n  left out: damaged audio file: 1: a-b-01\n" in shown
    for options in ({"check": True}, {}):
        assert len(rows_of(tmp_path, tmp_path / "out", **options)) == 38, "it is decoded once"
        assert "decoding" not in capsys.readouterr().out


def test_check_as_a_command(tmp_path, capsys):
    write_corpus(tmp_path / "corpus", {SPLIT: (1, 3)})
    assert main([str(tmp_path / "corpus"), str(tmp_path / "out"), "--check"]) == 0
    assert "decoding" in capsys.readouterr().out
