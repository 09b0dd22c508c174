"""Tables need neither SpeechBrain nor the synthesiser: in a process of its own, which loads what it needs."""

import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[2]
HEAVY = ("speechbrain", "torch", "data_prep.synthetic", "espeakng_loader")
PROGRAM = f"""
import sys
import compare
status = compare.main(sys.argv[1:])
print("loaded:", [name for name in {HEAVY} if name in sys.modules])
sys.exit(status)
"""


def test_table_loads_little(folder, tmp_path):
    copies = tmp_path / "copies"
    command = ["hparams/quickstart.yaml", "--table", "--out", str(folder), "--results", str(copies)]
    command += ["--benchmark", "results/context_time.json"]
    finished = subprocess.run(
        [sys.executable, "-c", PROGRAM, *command], cwd=ROOT, capture_output=True, text=True, check=False
    )
    assert finished.returncode == 0, finished.stderr
    assert "| good | 1.00 M | 0.10 | " in finished.stdout
    assert finished.stdout.splitlines()[-1] == "loaded: []"
    assert {path.name for path in copies.iterdir()} == {"runs.csv", "summary.json", "table.md", "wer_test-clean.svg"}
