"""The package `linear-mixers`: what its wheel holds, what it asks for, and the README's example run from it alone."""

import ast
import os
import re
import shutil
import subprocess
import sys
import zipfile
from email.parser import HeaderParser
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest
from packaging.requirements import Requirement

import mixers
from tests.support.runs import ROOT

PACKAGES = ("mixers", "recipes", "data_prep", "benchmarks", "tests")
EXTRAS = {"recipes": "requirements.txt"} | {
    name: f"requirements-{name}.txt" for name in ("demo", "ngram", "dev", "english", "onnx", "serve", "ssl")
}
# Packages that a machine may lack, by the name of their import.
OPTIONAL = {
    "kenlm": "kenlm",
    "flashlight": "flashlight-text",
    "espeakng_loader": "espeakng-loader",
    "whisper_normalizer": "whisper-normalizer",
    "transformers": "transformers",
}
UNLISTED = {"sounddevice"}  # transcribe.py --microphone names it where it is missing


def pip(*arguments) -> None:
    command = [sys.executable, "-m", "pip", "--disable-pip-version-check", *map(str, arguments)]
    result = subprocess.run(command, capture_output=True, text=True)
    assert result.returncode == 0, result.stderr


@pytest.fixture(scope="module")
def wheel(tmp_path_factory):
    """Built in a copy of the checkout, because the build leaves files beside the code."""
    checkout, out = tmp_path_factory.mktemp("checkout"), tmp_path_factory.mktemp("wheel")
    for package in PACKAGES:
        shutil.copytree(ROOT / package, checkout / package, ignore=shutil.ignore_patterns("__pycache__", "vectors"))
    for file in (*ROOT.glob("*.py"), *ROOT.glob("*.txt"), *(ROOT / name for name in ("README.md", "LICENSE"))):
        shutil.copy(file, checkout)
    shutil.copy(ROOT / "pyproject.toml", checkout)
    pip("wheel", "--no-deps", "--no-build-isolation", "--no-index", "--wheel-dir", out, checkout)
    (file,) = out.iterdir()
    return file


@pytest.fixture(scope="module")
def metadata(wheel):
    with zipfile.ZipFile(wheel) as files:
        (name,) = (name for name in files.namelist() if name.endswith(".dist-info/METADATA"))
        return HeaderParser().parsestr(files.read(name).decode())


def test_wheel_holds_mixers_alone(wheel):
    with zipfile.ZipFile(wheel) as files:
        names = {name for name in files.namelist() if ".dist-info/" not in name}
    sources = {str(file.relative_to(ROOT)) for file in (ROOT / "mixers").rglob("*.py")}
    assert names == sources | {"mixers/py.typed"}


def test_metadata(wheel, metadata):
    assert wheel.name == f"linear_mixers-{mixers.__version__}-py3-none-any.whl"
    assert metadata["Name"] == "linear-mixers"
    assert metadata["Version"] == mixers.__version__
    assert metadata["License-Expression"] == "Apache-2.0"
    assert metadata["Requires-Python"] == ">=3.11"


def listed(file: str) -> set[str]:
    """The requirements in a file, each in a form that compares."""
    lines = (line.strip() for line in (ROOT / file).read_text().splitlines())
    return {str(Requirement(line)) for line in lines if line and not line.startswith("#")}


def test_extras_hold_what_the_requirements_files_hold(metadata):
    by_extra: dict[str, set[str]] = {}
    for line in metadata.get_all("Requires-Dist"):
        requirement, _, marker = line.partition(";")
        by_extra.setdefault("".join(re.findall(r'extra == "(\w+)"', marker)), set()).add(str(Requirement(requirement)))
    assert by_extra == {"": {"torch>=2.4"}} | {extra: listed(file) for extra, file in EXTRAS.items()}


def imported(folder: str) -> set[str]:
    """The top-level names that the code of a folder imports."""
    names = set()
    for file in (ROOT / folder).rglob("*.py") if folder else ROOT.glob("*.py"):
        for node in ast.walk(ast.parse(file.read_text())):
            if isinstance(node, ast.Import):
                names |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.module and not node.level:
                names.add(node.module.split(".")[0])
    return names - set(sys.stdlib_module_names)


def test_whatever_is_imported_is_listed():
    own = {*PACKAGES, *(file.stem for file in ROOT.glob("*.py"))}
    names = set().union(*(imported(folder) for folder in ("recipes", "data_prep", "benchmarks", ""))) - own - UNLISTED
    distributions = packages_distributions()
    required = {Requirement(line).name.lower() for file in EXTRAS.values() for line in listed(file)}
    for name in names:
        owners = {OPTIONAL[name]} if name in OPTIONAL else {owner.lower() for owner in distributions[name]}
        assert owners & required, f"{name} is imported and in no requirements file"


def snippet() -> str:
    """The README's example of a layer."""
    pattern = r"^```python\n(import torch\nfrom mixers import SummaryMixing\n.*?)^```$"
    (code,) = re.findall(pattern, (ROOT / "README.md").read_text(), re.MULTILINE | re.DOTALL)
    return code


def test_readme_example_runs_from_the_installed_package(wheel, tmp_path):
    site, elsewhere = tmp_path / "site", tmp_path / "elsewhere"
    elsewhere.mkdir()
    pip("install", "--no-deps", "--no-index", "--target", site, wheel)
    code = snippet() + (
        "\nimport sys, mixers, mixers.testing"
        "\nprint(mixers.__file__)"
        "\nprint(mixed.shape == frames.shape, mixers.build('xnor', 8))"
    )
    environment = {**os.environ, "PYTHONPATH": str(site)}
    run = subprocess.run([sys.executable, "-c", code], cwd=elsewhere, env=environment, capture_output=True, text=True)
    assert run.returncode == 0, run.stderr
    file, shape, *_ = run.stdout.splitlines()
    assert Path(file) == site / "mixers" / "__init__.py"
    assert shape.startswith("True XNOR(")


def test_version_is_stated_alike():
    """A version in CITATION.cff is the package's."""
    stated = re.findall(r"^version: (\S+)$", (ROOT / "CITATION.cff").read_text(), re.MULTILINE)
    assert stated in ([], [mixers.__version__])
