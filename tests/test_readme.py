"""The README names files that are there, and nothing in it was left to be filled in."""

import re
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[1]
PAGES = [ROOT / "README.md", *sorted((ROOT / "docs").glob("*.md"))]
EXAMPLES = {"mixers/gated_mean.py"}  # which a page has its reader write
NAMED = re.compile(r"`((?:tests|results|docs|hparams|probes|mixers|recipes|data_prep)/[\w./+-]*)`|\]\(([\w./-]+)\)")


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_named_files_are_there(page):
    named = {one or other for one, other in NAMED.findall(page.read_text())} - EXAMPLES
    assert named
    missing = [name for name in sorted(named) if not any((base / name).exists() for base in (ROOT, page.parent))]
    assert missing == []


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_nothing_is_left_to_be_filled_in(page):
    assert re.findall(r"^[A-Z]{6,}\b|\bTODO\b|\bTBD\b|…{2,}", page.read_text(), flags=re.MULTILINE) == []


def test_every_recipe_is_named():
    readme = (ROOT / "README.md").read_text()
    missing = [path.stem for path in (ROOT / "hparams").glob("*.yaml") if path.stem not in readme]
    assert missing == []
