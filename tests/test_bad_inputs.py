"""Every mistake is found before anything is read, computed or written, and told in one line."""

import pytest

from benchmarks.reliability.bad_inputs import ROWS
from benchmarks.reliability.mistakes import expected, give
from benchmarks.reliability.things import CAN_EXPORT, make_things


@pytest.fixture(scope="module")
def things(tmp_path_factory):
    return make_things(tmp_path_factory.mktemp("things") / "things")


@pytest.mark.parametrize("row", ROWS, ids=lambda row: f"{row.program} {row.options}")
def test_one_line_and_nothing_done(row, things, tmp_path):
    if row.exports and not CAN_EXPORT:
        pytest.skip("onnx is not installed")
    assert give(row, tmp_path, things) == expected(row, tmp_path, things)
