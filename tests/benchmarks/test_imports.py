"""A command that only prints a table loads neither SpeechBrain nor the synthesiser."""

import subprocess
import sys

import pytest

from tests.support.runs import ROOT

HEAVY = ("speechbrain", "data_prep.synth", "espeakng_loader")


@pytest.mark.parametrize("name", ["memory", "probes"])
def test_table_loads_little(name):
    file = {"memory": "mixers.json", "probes": "probes.json"}[name]
    code = (
        f"import sys; from benchmarks.{name}.command import main; main(['--table', 'results/{file}']);"
        "print('modules:', *sys.modules)"
    )
    printed = subprocess.check_output([sys.executable, "-c", code], cwd=ROOT, text=True)
    table, modules = printed.split("modules:")
    assert table.startswith("| mixer") and "| xnor" in table
    assert not [module for module in modules.split() if module.startswith(HEAVY)]
