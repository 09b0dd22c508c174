"""The mixer of `docs/your_own_mixer.md`, built from the page's own code: contract, recipe, training."""

import importlib
import re
import shutil
import sys
from functools import partial

import pytest

import mixers
from mixers.testing import CHECKS
from tests.support.runs import ROOT, small_corpus, summary, train

PAGE = (ROOT / "docs" / "your_own_mixer.md").read_text()


def block(language: str) -> str:
    """The page's only block of this language."""
    (found,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return found


@pytest.fixture(scope="module")
def gated_mean(tmp_path_factory):
    """The page's file as the module `mixers.gated_mean`."""
    folder = tmp_path_factory.mktemp("mixers")
    (folder / "gated_mean.py").write_text(block("python"))
    mixers.__path__.append(str(folder))
    yield importlib.import_module("mixers.gated_mean")
    mixers.__path__.remove(str(folder))
    del sys.modules["mixers.gated_mean"]


def test_under_forty_lines():
    assert len((block("python") + block("yaml")).splitlines()) < 40


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
def test_contract(gated_mean, check):
    check(partial(gated_mean.GatedMean, size=8))


def test_trains_from_the_recipes_line(gated_mean, tmp_path):
    recipes = tmp_path / "hparams"
    shutil.copytree(ROOT / "hparams", recipes)
    base = recipes / "conformer.yaml"
    base.write_text(base.read_text().replace("\nmixers:\n", f"\nmixers:\n{block('yaml')}"))
    corpus = small_corpus(tmp_path / "corpus")
    run = tmp_path / "run"
    assert train(corpus, run, "--mixer", "gated_mean", recipe=recipes / "quickstart.yaml") == 0
    assert summary(run)["mixer"] == "gated_mean"
