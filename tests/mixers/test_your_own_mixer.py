"""The mixer of `docs/your_own_mixer.md`, built from the page's own code: contract, recipe, training."""

import importlib
import re
import shutil
import subprocess
import sys
from functools import partial

import pytest
import torch

import mixers
from mixers.testing import check_mixer
from mixers.testing.outputs import check_padding
from tests.support.runs import ROOT, small_corpus, summary, train

PAGE = (ROOT / "docs" / "your_own_mixer.md").read_text()


def block(language: str) -> str:
    """The page's only block of this language."""
    (text,) = re.findall(rf"^```{language}\n(.*?)^```$", PAGE, re.MULTILINE | re.DOTALL)
    return text


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


def test_contract(gated_mean):
    check_mixer(partial(gated_mean.GatedMean, size=8))


def test_contract_names_the_check_that_fails(gated_mean):
    class Leaking(gated_mean.GatedMean):
        def forward(self, x, mask=None, context=None):
            return super().forward(x, None, context)

    random_state = torch.get_rng_state()
    with pytest.raises(AssertionError) as error:
        check_mixer(Leaking)
    assert error.value.__notes__ == [f"in check_padding: {check_padding.__doc__.splitlines()[0]}"]
    assert torch.equal(torch.get_rng_state(), random_state)


def test_contract_needs_torch_alone():
    """Neither pytest nor a package of the recipes is loaded by the contract or by the mixers."""
    code = "import sys, mixers.testing; print(*sorted({name.split('.')[0] for name in sys.modules}))"
    loaded = subprocess.run([sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True).stdout
    assert not {"pytest", "numpy.testing", "speechbrain", "hyperpyyaml", "recipes", "data_prep"} & set(loaded.split())


def test_trains_from_the_recipes_line(gated_mean, tmp_path):
    recipes = tmp_path / "hparams"
    shutil.copytree(ROOT / "hparams", recipes)
    base = recipes / "conformer.yaml"
    base.write_text(base.read_text().replace("\nmixers:\n", f"\nmixers:\n{block('yaml')}"))
    corpus = small_corpus(tmp_path / "corpus")
    run = tmp_path / "run"
    assert train(corpus, run, "--mixer", "gated_mean", recipe=recipes / "quickstart.yaml") == 0
    assert summary(run).mixer == "gated_mean"
