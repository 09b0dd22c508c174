"""Word error rates, the alignments behind them, and the table of a run."""

import json

import pytest

from data_prep.manifest import to_csv
from recipes.files import write_json
from recipes.scoring.wer import Scored, Transcribed, split_summary, table, write_alignments, write_decoded


def transcribed(name: str, words: str, hypothesis: str, greedy: str) -> Transcribed:
    return Transcribed(name, words, [Scored(hypothesis, -1.5), Scored("WORSE", -2.5)], greedy)


# 2 substitutions, 1 deletion and 1 insertion in 11 words; greedy CTC: 3 deletions.
TRANSCRIBED = [
    transcribed("1-1-0000", "THE QUEEN WALKED SLOWLY", "THE QUEEN WALKED SLOWLY", "THE QUEEN WALKED"),
    transcribed("1-1-0001", "A BOX OF STONES", "A FOX STONES", "A BOX"),
    transcribed("1-1-0002", "DON'T JUMP OVER", "DONE JUMP OVER IT", "DON'T JUMP OVER"),
]


def test_summary_of_a_split():
    summary = split_summary(TRANSCRIBED)
    low, high = summary.pop("interval")
    assert 0 <= low < 36.364 < high <= 75, "of the utterances one is right, one has two errors in three words"
    assert summary == {
        "wer": 36.364,
        "substitutions": 2,
        "deletions": 1,
        "insertions": 1,
        "utterances": 3,
        "words": 11,
        "wer_greedy_ctc": 27.273,
    }


def test_wer_is_of_the_whole_set_and_may_pass_100():
    """Errors by words of the set, not the mean over utterances; nothing is normalised."""
    summary = split_summary([transcribed("a", "ONE", "one two three", ""), transcribed("b", "A B C", "A B C", "A B C")])
    assert (summary["wer"], summary["substitutions"], summary["insertions"]) == (75.0, 1, 2)
    assert summary["wer_greedy_ctc"] == 25.0
    assert split_summary([transcribed("a", "ONE", "A B C", "ONE")])["wer"] == 300.0


def test_one_utterance_has_no_interval():
    assert split_summary(TRANSCRIBED[:1])["interval"] is None


def test_homophones_are_scored_where_the_corpus_names_them():
    told = [transcribed("a", "THE KNIGHT AND NIGHT", "THE NIGHT AND NIGHT", "")]
    summary = split_summary(told, [("NIGHT", "KNIGHT")])
    assert (summary["wer"], summary["merged_wer"]) == (25.0, 0.0)
    assert (summary["homophone_error"], summary["homophones_seen"]) == (50.0, 100.0)


def test_decoded_file(tmp_path):
    manifest, folder = tmp_path / "test-clean.csv", tmp_path / "runs" / "one"
    folder.mkdir(parents=True)
    rows = [[one.id, 2.5, f"$data_root/test-clean/1/1/{one.id}.flac", "1-1", one.words] for one in TRANSCRIBED]
    manifest.write_bytes(to_csv(rows))
    write_decoded(TRANSCRIBED, manifest, tmp_path / "corpus", folder / "decoded.jsonl")
    lines = [json.loads(line) for line in (folder / "decoded.jsonl").read_text().splitlines()]
    assert lines[1] == {
        "id": "1-1-0001",
        "speaker": "1",
        "duration": 2.5,
        "audio": "../../corpus/test-clean/1/1/1-1-0001.flac",
        "words": "A BOX OF STONES",
        "hypothesis": "A FOX STONES",
        "greedy": "A BOX",
        "score": -1.5,
    }
    assert len(lines) == 3
    write_decoded(TRANSCRIBED, manifest, tmp_path / "corpus", folder / "decoded.jsonl", nbest=2)
    line = json.loads((folder / "decoded.jsonl").read_text().splitlines()[0])
    assert line["nbest"] == [{"text": "THE QUEEN WALKED SLOWLY", "score": -1.5}, {"text": "WORSE", "score": -2.5}]


def test_empty_hypotheses_are_deletions():
    summary = split_summary([transcribed("a", "ONE TWO", "", "")])
    assert (summary["wer"], summary["deletions"], summary["words"]) == (100.0, 2, 2)


def test_alignments_file(tmp_path):
    path = tmp_path / "wer_test-clean.txt"
    write_alignments(TRANSCRIBED, path)
    lines = [line.rstrip() for line in path.read_text().splitlines()]
    assert [line for line in lines if line] == [
        "%WER 36.36 [4 / 11, 1 ins, 1 del, 2 sub]",
        "1-1-0002  WER 66.7 %",
        "REF: DON'T JUMP OVER **",
        "HYP:  DONE JUMP OVER IT",
        "         S            I",
        "1-1-0001  WER 50.0 %",
        "REF: A BOX OF STONES",
        "HYP: A FOX ** STONES",
        "         S  D",
        "1-1-0000  WER 0.0 %",
        "REF: THE QUEEN WALKED SLOWLY",
        "HYP: THE QUEEN WALKED SLOWLY",
    ]


def test_table():
    long_name = {**split_summary(TRANSCRIBED), "wer": 100.0, "words": 52576, "utterances": 2620}
    header, first, second = table({"test-clean": split_summary(TRANSCRIBED), "test-clean-and-other": long_name}).split(
        "\n"
    )
    assert header.split() == "WER % 95 % interval greedy CTC sub del ins words utterances".split()
    interval = [f"{end:.2f}" for end in long_name["interval"]]
    interval.insert(1, "-")
    assert first.split() == ["test-clean", "36.36", *interval, "27.27", "2", "1", "1", "11", "3"]
    assert second.split() == ["test-clean-and-other", "100.00", *interval, "27.27", "2", "1", "1", "52576", "2620"]
    assert len(first) == len(second) == len(header)
    for column in ("WER %", "95 % interval", "greedy CTC", "sub", "del", "ins", "words", "utterances"):
        end = header.index(column) + len(column)
        assert first[end - 1] != " " and first[end : end + 1].strip() == "", f"{column} is not right-aligned"


def test_json_is_written_as_a_whole(tmp_path, monkeypatch):
    path = tmp_path / "summary.json"
    write_json(path, {"wer": 5.5})
    with pytest.raises(TypeError):
        write_json(path, {"wer": object()})
    assert json.loads(path.read_text()) == {"wer": 5.5}
    assert [one.name for one in tmp_path.iterdir()] == ["summary.json"]
