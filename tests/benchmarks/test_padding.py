"""The count of padding: LibriSpeech's lengths as they are published, and what buckets win."""

import pytest

from benchmarks.padding import count, librispeech, main


def test_lengths_are_librispeechs():
    durations = librispeech()
    assert len(durations) == 281_241 and durations.sum() / 3600 == pytest.approx(960.9, rel=0.01)
    assert durations[:28_539].mean() == pytest.approx(12.8, abs=0.2) and durations.max() < 35


def test_buckets_pad_less(capsys):
    durations = librispeech()[::50]
    loose, sorted_by_length = (count(durations, 100, buckets) for buckets in (1, len(durations)))
    assert loose.share > 0.2 and sorted_by_length.share < 0.01
    assert sorted_by_length.batches < loose.batches and sorted_by_length.utterances > loose.utterances
    assert main(["--buckets", "0"]) == 2
    assert capsys.readouterr().err == "error: --batch_seconds must be above 0, and --buckets 1 or more\n"


def test_a_manifest(tmp_path, capsys):
    rows = "".join(f"a-{number},{number},a.flac,a,A\n" for number in range(1, 11))
    (tmp_path / "train.csv").write_text(f"ID,duration,wav,spk_id,wrd\n{rows}")
    assert main(["--manifest", str(tmp_path / "train.csv"), "--batch_seconds", "10", "--buckets", "10"]) == 0
    head, *_, row = capsys.readouterr().out.splitlines()
    assert head == "10 utterances, 0.0 hours, batches of 10 s" and row == "| 10 | 7 | 1.4 | 6.8 % |"
