"""Every mistake is found before anything is read, computed or written, and told in one line."""

import pytest

from benchmarks.reliability.bad_inputs import ROWS
from benchmarks.reliability.mistakes import expected, give


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.program} {row.options}")
def test_one_line_and_nothing_done(row, tmp_path):
    assert give(row, tmp_path) == expected(row, tmp_path)
