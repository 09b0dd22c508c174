"""The benchmark that has mixers learn a few utterances by heart."""

import json
import subprocess

import pytest

from benchmarks import overfit
from tests.support.corpus import write_corpus
from tests.support.runs import TINY
from train import main as train


@pytest.fixture
def speech(tmp_path):
    folder = tmp_path / "speech"
    words = write_corpus(folder, {"train-clean-5": (2, 3), "test-clean": (1, 3)})
    return folder, {identifier: text for split in words.values() for identifier, text in split.items()}


def test_the_shortest_are_taken_into_one_split(speech, tmp_path):
    folder, words = speech
    chosen = overfit.shortest_utterances(folder, 4)
    size = {path.stem: path.stat().st_size for path in folder.rglob("*.flac")}
    assert sorted(audio.stem for audio, _ in chosen) == sorted(sorted(size, key=size.get)[:4])
    overfit.write_split(chosen, tmp_path / "corpus")
    lines = [line for file in (tmp_path / "corpus").rglob("*.trans.txt") for line in file.read_text().splitlines()]
    assert sorted(lines) == sorted(f"{audio.stem} {words[audio.stem]}" for audio, _ in chosen)
    assert len([*(tmp_path / "corpus" / "test-clean").rglob("*.flac")]) == 4


def test_figures_of_a_mixer_with_an_option(speech, tmp_path, monkeypatch, capsys):
    """Training itself is replaced by a tiny one in this process."""

    def run(command):
        assert "--mixers.summarymixing.variant=windowed" in command
        options = [*TINY, "--number_of_epochs", "2"]
        return subprocess.CompletedProcess(command, train([*command[2:], *options]), "", "no memory\n")

    monkeypatch.setattr(overfit, "train", run)
    out = tmp_path / "figures.json"
    entry = "windowed=summarymixing,mixers.summarymixing.variant=windowed"
    arguments = [str(speech[0]), "--mixers", entry, "--folder", str(tmp_path / "runs"), "--out", str(out)]
    assert overfit.main(arguments) == 0
    figures = json.loads(out.read_text())
    (row,) = figures["rows"]
    assert row["mixer"] == entry and row["epochs"] == 2 and row["parameters"] > 0 and row["wer"] >= 0
    assert len(figures["utterances"]) == 4 and "windowed: WER" in capsys.readouterr().out.replace(entry, "windowed")


def test_a_corpus_of_others_is_not_removed(speech, tmp_path, capsys):
    corpus = speech[0].rename(tmp_path / "LibriSpeech")
    before = sorted(corpus.rglob("*"))
    elsewhere = tmp_path / "elsewhere"
    write_corpus(elsewhere, {"test-clean": (2, 2)})
    for source in (corpus, elsewhere):
        assert overfit.main([str(source), "--mixers", "xnor", "--folder", str(tmp_path)]) == 2
        assert (
            capsys.readouterr().err
            == f"error: {corpus} holds other speech, which would be lost: give another --folder\n"
        )
    assert sorted(corpus.rglob("*")) == before


def test_errors_are_one_line(speech, tmp_path, monkeypatch, capsys):
    assert overfit.main([str(tmp_path / "nothing"), "--mixers", "xnor", "--folder", str(tmp_path)]) == 2
    nothing = f"error: {tmp_path / 'nothing'} holds 0 utterances with transcripts, and 4 are needed\n"
    assert capsys.readouterr().err == nothing
    failed = subprocess.CompletedProcess([], 1, "", "Traceback\nerror: no memory\n")
    monkeypatch.setattr(overfit, "train", lambda command: failed)
    assert overfit.main([str(speech[0]), "--mixers", "xnor", "--folder", str(tmp_path / "runs")]) == 2
    assert capsys.readouterr().err == "error: xnor: training failed: error: no memory\n"
