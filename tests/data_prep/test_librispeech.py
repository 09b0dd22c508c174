"""LibriSpeech to manifests: the right rows, every problem named, nothing redone or lost."""

import csv
import os
import shutil

import numpy as np
import pytest
import soundfile

from data_prep import audio
from data_prep.corpus import Corpus
from data_prep.errors import DataError
from data_prep.librispeech import prepare_split
from data_prep.manifest import read_manifest
from data_prep.split_manifest import SplitWriter
from tests.support.corpus import write_corpus

SPLIT = "train-clean-5"


@pytest.fixture
def corpus(tmp_path):
    """A split of 4 speakers, 10 utterances each."""
    write_corpus(tmp_path / "corpus", {SPLIT: (4, 10)}, seconds=(0.05, 0.1))
    return tmp_path / "corpus"


@pytest.fixture
def chapter(corpus):
    """The first chapter's folder, 101/1101."""
    return corpus / SPLIT / "101" / "1101"


def transcript_of(chapter):
    return next(chapter.glob("*.trans.txt"))


def edit(path, old, new):
    text = path.read_text()
    assert old in text
    path.write_text(text.replace(old, new))


def manifest_of(corpus, out):
    return list(read_manifest(prepare_split(corpus, SPLIT, out, progress=False)))


def test_manifest_has_the_stock_columns_and_the_corpus_words(tmp_path):
    texts = write_corpus(tmp_path / "corpus", {"dev-clean-2": (2, 3), "test-clean": (1, 2), SPLIT: (3, 4)})
    root, *roles = Corpus(tmp_path / "corpus").prepare(tmp_path / "out", progress=False)
    assert root == tmp_path / "corpus"
    assert [list(role) for role in roles] == [[SPLIT], ["dev-clean-2"], ["test-clean"]]
    for split, manifest in (item for role in roles for item in role.items()):
        with open(manifest, newline="") as file:
            header, *rows = csv.reader(file)
        assert header == ["ID", "duration", "wav", "spk_id", "wrd"]
        assert [row[0] for row in rows] == sorted(texts[split])
        for identifier, duration, wav, speaker_chapter, words in rows:
            speaker, chapter, _ = identifier.split("-")
            assert wav == f"$data_root/{split}/{speaker}/{chapter}/{identifier}.flac"
            assert speaker_chapter == f"{speaker}-{chapter}"
            assert words == texts[split][identifier]
            samples, rate = soundfile.read(wav.replace("$data_root", str(root)))
            assert round(float(duration) * rate) == len(samples)


@pytest.mark.parametrize("rate", [8000, 11025, 22050, 44100, 48000])
def test_duration_gives_back_the_number_of_samples_at_any_rate(tmp_path, capsys, rate):
    write_corpus(tmp_path / "corpus", {SPLIT: (1, 5)}, seconds=(0.1, 0.3), sample_rate=rate)
    for row in manifest_of(tmp_path / "corpus", tmp_path / "out"):
        frames = soundfile.info(row["wav"].replace("$data_root", str(tmp_path / "corpus"))).frames
        assert abs(float(row["duration"]) * rate - frames) < 0.01
    assert f"kept: 5 of 5 files at {rate} Hz; training resamples them to 16000 Hz" in capsys.readouterr().out


def test_wav_files_and_other_folder_depths_are_taken(corpus, tmp_path):
    chapter = corpus / SPLIT / "101" / "1101"
    samples, rate = soundfile.read(chapter / "101-1101-0003.flac")
    (chapter / "101-1101-0003.flac").unlink()
    soundfile.write(chapter / "101-1101-0003.wav", samples, rate)
    for path in chapter.iterdir():
        path.rename(corpus / SPLIT / path.name)
    wavs = {row["ID"]: row["wav"] for row in manifest_of(corpus, tmp_path / "out")}
    assert len(wavs) == 40
    assert wavs["101-1101-0003"] == f"$data_root/{SPLIT}/101-1101-0003.wav"


def test_transcripts_saved_by_a_windows_editor_are_read_alike(corpus, tmp_path):
    before = manifest_of(corpus, tmp_path / "out")
    for transcript in corpus.rglob("*.trans.txt"):
        text = transcript.read_text().replace("\n", "\r\n") + "\r\n"
        transcript.write_bytes(b"\xef\xbb\xbf" + text.encode())
    assert manifest_of(corpus, tmp_path / "out") == before


def test_number_of_workers_changes_nothing(corpus, tmp_path):
    contents = {
        prepare_split(corpus, SPLIT, tmp_path / str(workers), workers, progress=False).read_bytes()
        for workers in (1, 2, 5)
    }
    assert len(contents) == 1


def test_workers_are_the_cores_that_the_process_may_use(monkeypatch, tmp_path):
    monkeypatch.setattr("os.cpu_count", lambda: 128)
    monkeypatch.setattr("os.sched_getaffinity", lambda _: {3, 7}, raising=False)
    assert SplitWriter(SPLIT, tmp_path).workers == 2


def test_no_workers_is_an_error(corpus, tmp_path):
    with pytest.raises(DataError, match="workers is 0: give 1 or more"):
        prepare_split(corpus, SPLIT, tmp_path / "out", workers=0)


def test_testing_on_dev_is_shown_on_screen(tmp_path, capsys):
    write_corpus(tmp_path, {SPLIT: (1, 1), "dev-clean-2": (1, 1), "dev-other": (1, 1)})
    prepared = Corpus(tmp_path).prepare(tmp_path / "out", progress=False)
    assert (list(prepared.valid), list(prepared.test)) == (["dev-clean-2"], ["dev-clean-2", "dev-other"])
    note = "No test* split here, so testing is on the dev splits: dev-clean-2, dev-other."
    assert note in capsys.readouterr().out


# --- problems ---


def remove_transcript(chapter):
    transcript_of(chapter).unlink()


def empty_line(chapter):
    words = transcript_of(chapter).read_text().split("\n")[2].split(" ", 1)[1]
    edit(transcript_of(chapter), f"-0002 {words}", "-0002  ")


def remove_audio(chapter):
    (chapter / "101-1101-0002.flac").unlink()


def remove_line(chapter):
    lines = transcript_of(chapter).read_text().splitlines(keepends=True)
    transcript_of(chapter).write_text("".join(lines[:2] + lines[3:]))


def repeat_line(chapter):
    with open(transcript_of(chapter), "a") as file:
        file.write("101-1101-0002 OTHER WORDS\n")


def repeat_elsewhere(chapter):
    other = chapter.parent / "copy"
    other.mkdir()
    shutil.copy(chapter / "101-1101-0002.flac", other)
    (other / "x.trans.txt").write_text("101-1101-0002 OTHER WORDS\n")


def malform_line(chapter):
    edit(transcript_of(chapter), "101-1101-0002 ", "101-1101-0002\ufffd ")


def break_encoding(chapter):
    path = transcript_of(chapter)
    path.write_bytes(path.read_bytes().replace(b"101-1101-0002 ", b"101-1101-0002 \xff"))


def empty_file(chapter):
    (chapter / "101-1101-0002.flac").write_bytes(b"")


def no_samples(chapter):
    (chapter / "101-1101-0002.flac").unlink()
    soundfile.write(chapter / "101-1101-0002.wav", np.zeros(0), 16000)


def overwrite_header(chapter):
    (chapter / "101-1101-0002.flac").write_bytes(b"<html>not found</html>")


def cut_long_file(path, part):
    soundfile.write(path, np.random.default_rng(0).uniform(-0.1, 0.1, 32000), 16000)
    content = path.read_bytes()
    path.write_bytes(content[: int(part * len(content))])
    soundfile.info(path)  # its header is whole


def cut_last_frame(chapter):
    cut_long_file(chapter / "101-1101-0002.flac", 0.87)  # the last of 8 frames is 0.8 of the others


def cut_in_half(chapter):
    cut_long_file(chapter / "101-1101-0002.flac", 0.5)


def link_to_nowhere(chapter):
    path = chapter / "101-1101-0002.flac"
    path.unlink()
    path.symlink_to(chapter / "gone.flac")


@pytest.mark.parametrize(
    ("damage", "expected"),
    [
        (empty_line, ["empty transcript: 1: 101-1101-0002"]),
        (remove_audio, ["transcript line without audio: 1: 101-1101-0002"]),
        (remove_line, ["audio without transcript line: 1: 101-1101-0002"]),
        (repeat_line, ["duplicate ID: 1: 101-1101-0002"]),
        (repeat_elsewhere, ["duplicate ID: 1: 101-1101-0002"]),
        (
            malform_line,
            [
                "audio without transcript line: 1: 101-1101-0002",
                "malformed transcript line: 1: 101/1101/101-1101.trans.txt:3",
            ],
        ),
        (
            break_encoding,
            [
                "audio without transcript line: 1: 101-1101-0002",
                "malformed transcript line: 1: 101/1101/101-1101.trans.txt:3",
            ],
        ),
        (empty_file, ["empty audio file: 1: 101-1101-0002"]),
        (no_samples, ["empty audio file: 1: 101-1101-0002"]),
        (overwrite_header, ["damaged audio file: 1: 101-1101-0002"]),
        (cut_last_frame, ["damaged audio file: 1: 101-1101-0002"]),
        (cut_in_half, ["damaged audio file: 1: 101-1101-0002"]),
        (link_to_nowhere, ["damaged audio file: 1: 101-1101-0002"]),
    ],
    ids=lambda value: value.__name__ if callable(value) else "",
)
def test_problem_is_left_out_and_named_on_every_call(corpus, chapter, tmp_path, capsys, damage, expected):
    damage(chapter)
    expected_ids = [f"{100 + i}-{1100 + i}-{n:04d}" for i in range(1, 5) for n in range(10)]
    expected_ids.remove("101-1101-0002")
    for _ in ("new", "reused"):
        assert [row["ID"] for row in manifest_of(corpus, tmp_path / "out")] == expected_ids
        printed = capsys.readouterr().out.splitlines()
        assert printed[0].split() == f"{SPLIT} 39 utterances 0.00 hours 4 speakers".split()
        assert [line for line in printed[1:] if "the rule:" not in line] == [f"  left out: {line}" for line in expected]


def test_many_problems_show_five_names_and_are_all_in_the_report(tmp_path, capsys):
    write_corpus(tmp_path / "corpus", {SPLIT: (2, 40)}, seconds=(0.01, 0.02))
    chapter = tmp_path / "corpus" / SPLIT / "101" / "1101"
    for number in range(7):
        (chapter / f"101-1101-{number:04d}.flac").unlink()
    assert len(manifest_of(tmp_path / "corpus", tmp_path / "out")) == 73
    report = tmp_path / "out" / f"{SPLIT}.json"
    shown = ", ".join(f"101-1101-{number:04d}" for number in range(5))
    printed = capsys.readouterr().out
    assert f"  left out: transcript line without audio: 7: {shown}, … (all in {report})\n" in printed
    assert "101-1101-0006" in report.read_text()


def test_split_with_a_tenth_left_out_is_kept_and_with_more_refused(corpus, chapter, tmp_path):
    for number in range(4):
        (chapter / f"101-1101-{number:04d}.flac").write_bytes(b"")
    assert len(manifest_of(corpus, tmp_path / "out")) == 36
    (chapter / "101-1101-0004.flac").write_bytes(b"")
    for _ in ("first", "again"):
        with pytest.raises(DataError) as error:
            manifest_of(corpus, tmp_path / "out")
        assert str(error.value).startswith(
            f"{corpus / SPLIT}: 5 of 40 utterances are unusable, most by: empty audio file; a split is refused when"
            f" nothing is usable or more than 10 % is not (each problem by name in {tmp_path / 'out' / SPLIT}.json)"
        )


def test_chapter_without_transcript_counts_all_its_audio(corpus, chapter, tmp_path, capsys):
    remove_transcript(chapter)
    with pytest.raises(DataError, match="10 of 40 utterances are unusable"):
        manifest_of(corpus, tmp_path / "out")
    expected = "left out: chapter without transcript file: 1: 101/1101 (10 audio files)"
    assert expected in capsys.readouterr().out


def test_refused_split_without_any_manifest_stays_refused(tmp_path):
    (tmp_path / "corpus" / SPLIT / "101").mkdir(parents=True)
    for _ in ("first", "again"):
        with pytest.raises(DataError, match="no utterance in it"):
            prepare_split(tmp_path / "corpus", SPLIT, tmp_path / "out", progress=False)


def test_hidden_files_are_no_part_of_the_corpus(corpus, chapter, tmp_path, capsys):
    (chapter / "._101-1101-0002.flac").write_bytes(b"finder")
    (corpus / SPLIT / ".cache").mkdir()
    (corpus / SPLIT / ".cache" / "1-2-3.flac").write_bytes(b"")
    assert len(manifest_of(corpus, tmp_path / "out")) == 40
    assert "left out" not in capsys.readouterr().out


# --- nothing redone, nothing lost ---


@pytest.fixture
def measured(monkeypatch):
    """The audio files that were opened."""
    paths = []
    original = audio.read_header
    monkeypatch.setattr(audio, "read_header", lambda path: paths.append(path) or original(path))
    return paths


def test_unchanged_source_is_not_read_again_even_after_a_move(corpus, tmp_path, measured):
    first = prepare_split(corpus, SPLIT, tmp_path / "out", progress=False).read_bytes()
    assert len(measured) == 40
    corpus.rename(tmp_path / "elsewhere")
    second = prepare_split(tmp_path / "elsewhere", SPLIT, tmp_path / "out", progress=False).read_bytes()
    assert (len(measured), second) == (40, first)


def add_utterance(chapter, manifest):
    soundfile.write(chapter / "101-1101-0010.flac", np.zeros(1600), 16000)
    with open(transcript_of(chapter), "a") as file:
        file.write("101-1101-0010 A NEW LINE\n")


def change_words(chapter, manifest):
    status = transcript_of(chapter).stat()
    edit(transcript_of(chapter), "101-1101-0002 ", "101-1101-0002 NEW ")
    os.utime(transcript_of(chapter), ns=(status.st_atime_ns, status.st_mtime_ns))


def touch_audio(chapter, manifest):
    os.utime(chapter / "101-1101-0002.flac", (1, 1))


def cut_manifest(chapter, manifest):
    manifest.write_bytes(manifest.read_bytes()[:-20])


def remove_manifest(chapter, manifest):
    manifest.unlink()


def remove_report(chapter, manifest):
    manifest.with_suffix(".json").unlink()


def break_report(chapter, manifest):
    manifest.with_suffix(".json").write_text("{")


@pytest.mark.parametrize(
    "change",
    [add_utterance, change_words, touch_audio, cut_manifest, remove_manifest, remove_report, break_report],
    ids=lambda change: change.__name__,
)
def test_manifest_is_redone_after(corpus, chapter, tmp_path, measured, change):
    manifest = prepare_split(corpus, SPLIT, tmp_path / "out", progress=False)
    change(chapter, manifest)
    measured.clear()
    prepare_split(corpus, SPLIT, tmp_path / "out", progress=False)
    assert len(measured) >= 40
    prepare_split(corpus, SPLIT, tmp_path / "fresh", progress=False)
    assert manifest.read_bytes() == (tmp_path / "fresh" / manifest.name).read_bytes()


def test_failed_write_leaves_the_old_manifest_and_no_rubbish(corpus, chapter, tmp_path, monkeypatch):
    manifest = prepare_split(corpus, SPLIT, tmp_path / "out", progress=False)
    before = manifest.read_bytes()
    add_utterance(chapter, manifest)

    def full_disk(descriptor):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(OSError, match="No space left"):
        prepare_split(corpus, SPLIT, tmp_path / "out", progress=False)
    assert manifest.read_bytes() == before
    assert sorted(path.name for path in manifest.parent.iterdir()) == [f"{SPLIT}.csv", f"{SPLIT}.json"]
    monkeypatch.undo()
    assert len(manifest_of(corpus, tmp_path / "out")) == 41
