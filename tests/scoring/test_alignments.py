"""The file of alignments, and the lines of decoded utterances."""

import pytest

from recipes.scoring import DecodedUtterance, ScoredText, Transcription, decoded_utterances, write_alignments
from tests.scoring.test_wer import TRANSCRIPTIONS
from tests.support.manifests import to_csv


def test_alignments_file(tmp_path):
    path = tmp_path / "wer_test-clean.txt"
    write_alignments(TRANSCRIPTIONS, path)
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


def test_utterances_are_joined_with_their_manifest(tmp_path):
    manifest, corpus, folder = tmp_path / "test-clean.csv", tmp_path / "corpus", tmp_path / "runs" / "first"
    rows = [[item.id, 2.5, f"$data_root/test-clean/1/1/{item.id}.flac", "1-1", item.words] for item in TRANSCRIPTIONS]
    manifest.write_bytes(to_csv(rows))
    utterances = decoded_utterances(TRANSCRIPTIONS, manifest, corpus, folder)
    assert len(utterances) == 3
    assert utterances[1] == DecodedUtterance(
        id="1-1-0001",
        speaker="1",
        duration=2.5,
        audio="../../corpus/test-clean/1/1/1-1-0001.flac",
        words="A BOX OF STONES",
        hypothesis="A FOX STONES",
        greedy="A BOX",
        score=-1.5,
    )
    best, second = decoded_utterances(TRANSCRIPTIONS, manifest, corpus, folder, nbest=2)[0].nbest
    assert (best, second) == (ScoredText("THE QUEEN WALKED SLOWLY", -1.5), ScoredText("WORSE", -2.5))


@pytest.mark.parametrize(("spk_id", "speaker"), [("p225-2", "p225"), ("unknown", "a_1")])
def test_speakers_are_those_of_the_manifest(tmp_path, spk_id, speaker):
    manifest = tmp_path / "test.csv"
    manifest.write_bytes(to_csv([["a_1", 1.0, "a.flac", spk_id, "A"]]))
    transcription = Transcription("a_1", "A", [ScoredText("A", -1.0)], "A")
    (utterance,) = decoded_utterances([transcription], manifest, tmp_path, tmp_path)
    assert utterance.speaker == speaker


def test_the_same_text_in_other_pieces_is_kept_once(tmp_path):
    manifest = tmp_path / "test.csv"
    manifest.write_bytes(to_csv([["1-1-0", 1.0, "a.flac", "1-1", "A"]]))
    nbest = [ScoredText("A", -1.0), ScoredText("A", -2.0), ScoredText("B", -3.0), ScoredText("C", -4.0)]
    (utterance,) = decoded_utterances([Transcription("1-1-0", "A", nbest, "A")], manifest, tmp_path, tmp_path, nbest=2)
    assert utterance.nbest == [nbest[0], nbest[2]]
