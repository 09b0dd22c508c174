"""transcribe.py: what it prints and writes, and each mistake as one line."""

import io
import json
import os
import re
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import soundfile

from data_prep.errors import DataError
from recipes.errors import RecipeError
from recipes.inference import Transcriber
from recipes.inference.command import stream as command_stream
from recipes.inference.command.options import check_stream_keys
from recipes.inference.command.stream import standard_input
from recipes.inference.transcripts.formats import transcript_file
from transcribe import main

ON = ("--device", "cpu")


def text_of(run, path) -> str:
    return Transcriber.load(run, device="cpu").transcribe(path).text


def mistake(capsys, *arguments) -> str:
    assert main(list(map(str, arguments))) == 2
    shown = capsys.readouterr()
    assert shown.out == ""
    return shown.err.splitlines()[-1]


def stdin_of(content: bytes):
    return SimpleNamespace(buffer=io.BytesIO(content))


def test_one_recording_is_its_text_alone(run, recordings, monkeypatch, capsys):
    """And the process keeps the memory that long recordings need again and again."""
    kept = []
    monkeypatch.setattr("recipes.inference.command.run.keep_freed_memory", lambda: kept.append(True))
    assert main([str(run), recordings[0], *ON]) == 0 and kept
    shown = capsys.readouterr()
    assert shown.out == f"{text_of(run, recordings[0])}\n"
    assert shown.err.splitlines() == [
        f"{run}, {shown.err.partition(', ')[2].splitlines()[0]}",
        "BeamSearch with beam 2, ctc_weight 0.4, length_bonus 0.0, temperature 1.0",
    ]


def test_several_say_whose_text_it_is(run, recordings, capsys):
    assert main([str(run), *recordings[:2], *ON, "--test_search", "null"]) == 0
    shown = capsys.readouterr()
    assert [line.split("\t")[0] for line in shown.out.splitlines()] == recordings[:2]
    assert "greedy CTC" in shown.err


@pytest.mark.parametrize("form", ["txt", "json", "srt", "vtt", "ctm"])
def test_every_format_holds_the_same_words(form, run, recordings, tmp_path, capsys):
    assert main([str(run), *recordings, "--format", form, "--out", str(tmp_path / "out"), *ON]) == 0
    files = sorted((tmp_path / "out").iterdir())
    names = [path.rpartition("/")[2].replace(".flac", f".{form}") for path in recordings]
    assert [file.name for file in files] == sorted(names)
    text = text_of(run, recordings[0])
    content = (tmp_path / "out" / names[0]).read_text()
    if form == "json":
        assert json.loads(content)["text"] == text
    elif form == "ctm":
        assert " ".join(line.split()[4] for line in content.splitlines()) == text
    else:
        lines = content.splitlines()
        assert " ".join(line for line in lines if line and "-->" not in line and line not in ("1", "WEBVTT")) == text


def test_a_stream_gives_the_text_of_its_file(run, recordings, monkeypatch, capsys):
    samples, rate = soundfile.read(recordings[0], dtype="int16")
    wav = io.BytesIO()
    soundfile.write(wav, samples, rate, format="WAV")
    expected = f"{text_of(run, recordings[0])}\n"
    for content, options in ((wav.getvalue(), ()), (samples.astype("<i2").tobytes(), ("--rate", str(rate)))):
        monkeypatch.setattr(sys, "stdin", stdin_of(content))
        assert main([str(run), "-", *options, *ON]) == 0
        assert capsys.readouterr().out == expected


def test_an_mp3_without_a_tag_is_no_bare_samples_to_a_stream_either(monkeypatch):
    """Bare samples may begin as it does: they are told from it by what follows."""
    noise = (np.random.default_rng(0).standard_normal(32000) * 0.05).astype(np.float32)
    mp3 = io.BytesIO()
    soundfile.write(mp3, noise, 16000, format="MP3")
    content = mp3.getvalue()
    assert content[0] == 0xFF
    bare = content[:2] + (noise * 2**15).astype("<i2").tobytes()
    for given, seconds in ((content, 2.0), (bare, 2.0)):
        pipe = io.BufferedReader(io.BytesIO(given))
        monkeypatch.setattr(sys, "stdin", SimpleNamespace(buffer=pipe))
        heard = sum(len(piece) for piece in standard_input())
        assert heard / 16000 == pytest.approx(seconds, abs=0.15)


@pytest.mark.parametrize("content", [b"", b"no sound", bytes(2 * 1599)], ids=["nothing", "text", "almost 100 ms"])
def test_a_stream_of_less_than_a_word_is_a_mistake(content, monkeypatch):
    monkeypatch.setattr(sys, "stdin", stdin_of(content))
    with pytest.raises(DataError, match=r"^standard input: .* of audio hold no word; 100 ms is the least$"):
        list(standard_input())


def test_nbest(run, recordings, capsys):
    assert main([str(run), recordings[0], "--format", "json", "--nbest", "2", *ON]) == 0
    record = json.loads(capsys.readouterr().out)
    assert record["nbest"][0] == {"text": record["text"], "score": record["score"]} and len(record["nbest"]) == 2


def test_a_bad_file_is_named_and_the_rest_goes_on(run, recordings, tmp_path, capsys):
    (tmp_path / "notes.wav").write_text("no audio")
    arguments = [str(run), str(tmp_path / "gone.wav"), recordings[0], str(tmp_path / "notes.wav"), recordings[1]]
    assert main([*arguments, *ON]) == 2
    shown = capsys.readouterr()
    assert [line.split("\t")[0] for line in shown.out.splitlines()] == recordings[:2]
    assert shown.err.splitlines()[-3:] == [
        f"error: {tmp_path}/gone.wav: No such file or directory",
        f"error: {tmp_path}/notes.wav: no audio that can be read (Format not recognised)",
        "error: 2 of 4 recordings could not be transcribed; they are named above",
    ]


def test_a_stream_of_several_recordings_says_whose_text_it_is_and_passes_over_bad_ones(run, recordings, capsys):
    assert main([str(run), "gone.wav", *recordings[:2], *ON, "--stream"]) == 2
    shown = capsys.readouterr()
    assert {line.split("\t")[0] for line in shown.out.splitlines()} == set(recordings[:2])
    lines = shown.err.splitlines()
    assert "error: gone.wav: No such file or directory" in lines
    assert lines[-1] == "error: 1 of 3 recordings could not be transcribed; they are named above"


# --- mistakes -------------------------------------------------------------------------------------------------------


def test_nowhere_to_write(run, recordings, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(os, "access", lambda path, mode: False)  # as root, tests may write everywhere
    wanted = f"error: --out {tmp_path}: no permission to write there; give another folder"
    assert mistake(capsys, run, recordings[0], "--out", tmp_path, *ON) == wanted


def test_one_text_that_cannot_be_written_does_not_end_the_others(run, recordings, tmp_path, capsys):
    blocked = transcript_file(tmp_path, Path(recordings[0]).stem, "txt")
    blocked.mkdir()
    assert main([str(run), *recordings[:3], "--out", str(tmp_path), *ON]) == 2
    shown = capsys.readouterr().err
    assert f"error: {blocked} cannot be written: Is a directory; give another --out" in shown
    assert shown.endswith("error: 1 of 3 recordings could not be transcribed; they are named above\n")
    assert sorted(path.name for path in tmp_path.iterdir() if path.is_file()) == sorted(
        f"{Path(path).stem}.txt" for path in recordings[1:3]
    )


def test_a_file_whose_stream_is_interrupted_is_no_success(run, recordings, monkeypatch):
    """A microphone is switched off so, a file is not."""

    def interrupted(recording):
        yield np.zeros(1600, np.float32)
        raise KeyboardInterrupt

    monkeypatch.setattr(command_stream, "pieces_of", interrupted)
    assert main([str(run), recordings[0], "--stream", *ON]) == 130
    monkeypatch.setattr(command_stream, "microphone", lambda: interrupted(None))
    assert main([str(run), "--microphone", *ON]) == 0


def test_what_lies_beside_the_audio_is_not_written_over(run, recordings, tmp_path, capsys):
    audio, text = tmp_path / "talk.flac", tmp_path / "talk.txt"
    audio.symlink_to(recordings[0])
    assert main([str(run), str(audio), "--out", str(tmp_path), *ON]) == 0
    capsys.readouterr()
    text.write_text("what I heard\n")
    wanted = f"error: --out {tmp_path}: {text} lies beside the audio and would be lost: give another folder"
    assert mistake(capsys, run, tmp_path, "--out", tmp_path, *ON) == wanted
    assert text.read_text() == "what I heard\n"
    assert main([str(run), str(audio), "--out", str(tmp_path), "--format", "srt", *ON]) == 0


def test_a_run_that_is_incomplete(run, recordings, tmp_path, capsys):
    folder = shutil.copytree(run, tmp_path / "run")
    (folder / "tokenizer" / "tokenizer.model").unlink()
    assert "tokenizer.model is missing: it is the one that" in mistake(capsys, folder, recordings[0], *ON)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        (["--test_chunk", "32"], "--test_chunk is for tests: give a stream --chunk"),
        (["--test_left_chunks", "4"], "--test_left_chunks is for tests: give a stream --left_chunks"),
        (["--test_search.beam", "2"], "--test_search.beam is for a search, and streams are decoded greedily: give"),
        (["--test_search", "!new:recipes.decoding.BeamSearch {beam: 2}"], "--test_search is for a search, and streams"),
        (["--lm_folder", "runs/lm"], "--lm_folder is for a search, and streams are decoded greedily: give --rescore"),
    ],
)
def test_a_stream_refuses_what_it_would_not_heed(run, recordings, capsys, options, message):
    assert mistake(capsys, run, recordings[0], *ON, "--stream", *options).startswith(f"error: {message}")
    with pytest.raises(RecipeError, match=re.escape(message)):
        check_stream_keys(options, rescore=False)  # what the server asks


def test_greedy_ctc_may_be_said_to_a_stream():
    check_stream_keys(["--test_search", "null", "--lr", "1"], rescore=False)
    check_stream_keys(["--test_search.beam", "3"], rescore=True)
