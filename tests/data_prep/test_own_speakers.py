"""Speakers of own manifests: whose names the manifest writes alike is said."""

import json

import numpy as np
import soundfile

from data_prep.own.__main__ import main


def test_speakers_who_are_written_alike_are_named(tmp_path, capsys):
    soundfile.write(tmp_path / "a.wav", np.zeros(16000), 16000)
    names = ["Ann Lee", "Ann-Lee", "Ann  Lee", "Bo", ""]
    rows = [{"id": str(number), "audio": "a.wav", "text": "go", "speaker": name} for number, name in enumerate(names)]
    (tmp_path / "mine.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    assert main([str(tmp_path / "mine.jsonl"), str(tmp_path / "out")]) == 0
    assert "note on mine: Ann Lee, Ann-Lee count as one speaker, Ann_Lee\n" in capsys.readouterr().out
    assert main([str(tmp_path / "mine.jsonl"), str(tmp_path / "out")]) == 0
    assert "count as one" not in capsys.readouterr().out, "nothing has changed"
