"""The reference vectors in ``tests/vectors``, and the command that runs any folder of them."""

import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from tests.support.golden import LIMITS, differences, main, precision

VECTORS = Path(__file__).parents[1] / "vectors"


@pytest.mark.parametrize("file", sorted(VECTORS.glob("*.npz")), ids=lambda file: file.stem)
def test_reference_vectors(file):
    for way, difference in differences(file):
        assert difference <= LIMITS[precision(file)], way


def run(folder: Path) -> subprocess.CompletedProcess:
    command = [sys.executable, "-m", "tests.support.golden", str(folder)]
    return subprocess.run(command, check=False, capture_output=True, text=True, cwd=VECTORS.parent.parent)


def test_command_separates_right_from_wrong(tmp_path):
    arrays = dict(np.load(VECTORS / "xnor.npz"))
    np.savez(tmp_path / "xnor_right.npz", **arrays)
    arrays["y"][0, -1, 0] += 1e-5
    np.savez(tmp_path / "xnor_wrong.npz", **arrays)
    arrays["y"][0, -1, 0] = np.nan
    np.savez(tmp_path / "xnor_nan.npz", **arrays)
    del arrays["query.weight"]
    np.savez(tmp_path / "xnor_incomplete.npz", **arrays)
    np.savez(tmp_path / "unknown.npz", **arrays)
    result = run(tmp_path)
    assert result.returncode == 1
    verdicts = dict(line.split(": ", 1) for line in result.stdout.splitlines()[:-1])
    assert verdicts["xnor_right"].endswith("in float64, ok")
    assert verdicts["xnor_wrong"] == "1.0e-05 in float64, WRONG (batch)"
    assert verdicts["xnor_nan"] == "inf in float64, WRONG (batch)"
    assert verdicts["xnor_incomplete"] == "cannot be run: no array 'query.weight'"
    assert verdicts["unknown"].startswith("cannot be run: no mixer named 'unknown'; known are summarymixing,")
    assert result.stdout.splitlines()[-1] == "1 of 5 agree"


def test_command_without_vectors(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr("sys.argv", ["golden", str(tmp_path)])
    with pytest.raises(SystemExit) as error:
        main()
    assert error.value.code == 2
    assert capsys.readouterr().err.splitlines()[-1].endswith(f"error: no .npz file in {tmp_path}")
