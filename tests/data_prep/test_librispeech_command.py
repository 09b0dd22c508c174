"""LibriSpeech's preparation as a command, and on a sample of the real corpus."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from data_prep import librispeech
from data_prep.manifest import read_manifest
from data_prep.own import __main__ as own
from data_prep.splits import find_corpus
from tests.support.corpus import write_corpus

SPLIT = "train-clean-5"
REPOSITORY = Path(__file__).resolve().parents[2]
SAMPLE = Path(os.environ.get("LIBRISPEECH_SAMPLE", REPOSITORY.parent / "shared" / "librispeech_sample"))


def test_command_writes_every_split_or_those_named(tmp_path):
    write_corpus(tmp_path / "LibriSpeech", {SPLIT: (1, 2), "dev-other": (1, 1), "test-other": (1, 1)})
    assert librispeech.main([str(tmp_path), str(tmp_path / "all")]) == 0
    written = sorted(path.stem for path in (tmp_path / "all").glob("*.csv"))
    assert written == ["dev-other", "test-other", SPLIT]
    assert librispeech.main([str(tmp_path), str(tmp_path / "dev"), "--splits", "dev-other"]) == 0
    assert [path.name for path in (tmp_path / "dev").glob("*.csv")] == ["dev-other.csv"]


def test_a_manifest_is_read_with_the_folder_that_it_was_made_with(tmp_path):
    """The parent of LibriSpeech's folder, which `$data_root` stands for the inside of."""
    write_corpus(tmp_path / "LibriSpeech", {SPLIT: (1, 2), "test-other": (1, 1)})
    assert librispeech.main([str(tmp_path), str(tmp_path / "first")]) == 0
    manifest = tmp_path / "first" / f"{SPLIT}.csv"
    for folder in (tmp_path, tmp_path / "LibriSpeech"):
        assert own.main([str(manifest), str(tmp_path / "second"), "--data_folder", str(folder)]) == 0
        (again,) = (tmp_path / "second").glob("*.csv")
        assert [row["ID"] for row in read_manifest(again)] == [row["ID"] for row in read_manifest(manifest)]


def test_command_ends_with_a_single_line_and_status_2(tmp_path):
    command = [sys.executable, "-m", "data_prep.librispeech", str(tmp_path / "nowhere"), str(tmp_path)]
    ended = subprocess.run(command, cwd=REPOSITORY, capture_output=True, text=True)
    assert ended.returncode == 2
    assert ended.stderr == (
        f"error: no data folder {tmp_path}/nowhere: give the folder that holds LibriSpeech's splits, or its parent\n"
    )


@pytest.mark.skipif(not SAMPLE.is_dir(), reason="no LibriSpeech sample: set LIBRISPEECH_SAMPLE to its folder")
def test_sample_of_the_real_corpus_equals_its_transcripts(tmp_path):
    assert librispeech.main([str(SAMPLE), str(tmp_path)]) == 0
    rows = {row["ID"]: row for path in tmp_path.glob("*.csv") for row in read_manifest(path)}
    lines = [line for path in SAMPLE.rglob("*.trans.txt") for line in path.read_text().splitlines()]
    assert {identifier: row["wrd"] for identifier, row in rows.items()} == dict(line.split(" ", 1) for line in lines)
    assert len(lines) == len(rows) == 116
    for row in rows.values():
        with open(row["wav"].replace("$data_root", str(find_corpus(SAMPLE))), "rb") as file:
            header = file.read(26)  # STREAMINFO ends in 36 bits that count the samples
        assert round(float(row["duration"]) * 16000) == int.from_bytes(header[18:26], "big") % 2**36
