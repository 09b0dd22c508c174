"""Rows of own manifests: speakers, characters that are none, and what a training manifest hangs on."""

import json

import numpy as np
import soundfile

from data_prep.corpus import Corpus
from data_prep.manifest import read_manifest, speaker_of
from tests.data_prep.test_own import RATE, cut, folder, good_rows, kaldi, prepared, write_csv, write_lines

__all__ = ["folder"]  # a fixture


def test_a_manifest_of_librispeech_names_speakers_with_their_chapters(folder, tmp_path):
    """SpeechBrain's, and this project's own. Chapters are not speakers of their own."""
    rows = [["u1", 2.0, "audio/a.wav", "103-1240", "YES"], ["u2", 1.5, "audio/b.flac", "103-1241", "NO"]]
    made = prepared(write_csv(folder / "mine.csv", "ID duration wav spk_id wrd", *rows), tmp_path / "out")
    assert {speaker_of(row["spk_id"]) for row in made} == {"103"}
    rows = [["u1", "audio/a.wav", "103-1240", "YES"], ["u2", "audio/b.flac", "103-1241", "NO"]]
    made = prepared(write_csv(folder / "other.csv", "id audio speaker text", *rows), tmp_path / "out")
    assert {speaker_of(row["spk_id"]) for row in made} == {"103_1240", "103_1241"}, "a name that the user gave"


def test_half_a_character_is_a_bad_row(folder, tmp_path):
    """JSON can hold one half of an emoji, which no UTF-8 file can."""
    good = [{"id": name, "audio": "audio/long.wav", "text": "yes", "start": 0, "end": 1} for name, *_ in good_rows(30)]
    bad = [{"audio": "audio/a.wav", "text": "\ud83d"}, {"audio": "audio/\ud83d.wav", "text": "yes"}]
    rows = prepared(write_lines(folder / "mine.jsonl", *good, *bad), tmp_path / "out")
    assert len(rows) == 30
    assert len(json.loads((tmp_path / "out" / "mine.json").read_text())["problems"]["row that cannot be used"]) == 2


def test_other_tests_leave_the_training_manifest_as_it_is(folder, tmp_path):
    """Its paths and so its checksum, by which a run knows its data."""
    (folder / "elsewhere").mkdir()
    train = write_csv(folder / "lists.csv", "audio text", ["audio/a.wav", "Yes"])
    (folder / "project").mkdir()
    train = train.rename(folder / "project" / "train.csv")
    (folder / "audio").rename(folder / "project" / "audio")
    here = write_csv(folder / "project" / "test.csv", "audio text", ["audio/b.flac", "Yes"])
    there = write_csv(folder / "elsewhere" / "test.csv", "audio text", [folder / "project" / "audio" / "b.flac", "Yes"])
    made = [
        Corpus(None, train=str(train), valid=str(here), test=str(test)).prepare(tmp_path / name, progress=False)
        for name, test in (("here", here), ("there", there))
    ]
    assert made[0].train["train"].read_bytes() == made[1].train["train"].read_bytes()
    assert [row["wrd"] for row in read_manifest(made[1].test["elsewhere-test"])] == ["Yes"]


def call(folder) -> None:
    """A recording of two speakers, one in each channel."""
    soundfile.write(folder / "audio" / "call.wav", np.full((RATE, 2), [0.1, -0.3]), RATE)


def test_one_channel_of_several_is_left_out_by_name(folder, tmp_path, capsys):
    """Training hears the mean of all channels: two speakers at once, and the words of one."""
    call(folder)
    in_both = cut("all", "audio/call.wav", 0.0, 1.0, 1.0, "BOTH", "anna")
    in_both["supervisions"][0]["channel"] = [0, 1]
    cuts = [cut(f"u{n}", "audio/a.wav", 0.0, 1.0, 1.0, "YES", "anna") for n in range(12)]
    one = cut("one", "audio/call.wav", 0.0, 1.0, 1.0, "HELLO", "bo")
    rows = prepared(write_lines(folder / "mine.jsonl", *cuts, in_both, one), tmp_path / "out")
    assert [row["ID"] for row in rows] == sorted([*(f"u{n}" for n in range(12)), "all"])
    assert "left out: one channel of a file with several: 1: one" in capsys.readouterr().out


def test_the_channel_of_kaldis_segments_is_heard_where_it_is_the_only_one(folder, tmp_path, capsys):
    call(folder)
    lines = [*(f"u{n} r1 0 1 0" for n in range(12)), "all r2 0 1 -1", "one r2 0 1 1"]
    place = kaldi(
        folder,
        wav_scp="r1 ../audio/a.wav\nr2 ../audio/call.wav\n",
        segments="".join(f"{line}\n" for line in lines),
        text="".join(f"{line.split()[0]} YES\n" for line in lines),
    )
    rows = prepared(place, tmp_path / "out")
    assert [row["ID"] for row in rows] == sorted([*(f"u{n}" for n in range(12)), "all"])
    assert "left out: one channel of a file with several: 1: one" in capsys.readouterr().out
