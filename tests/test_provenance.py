"""Where a result comes from."""

import subprocess

import pytest
import torch

from recipes import provenance


@pytest.mark.skipif(torch.cuda.is_available(), reason="it is the GPU's memory there")
def test_peak_memory_is_that_of_this_process():
    memory = bytearray(b"x" * (300 * 2**20))
    assert len(memory) / 2**20 < provenance.peak_memory_mb() < 100_000


def test_commit_outside_a_checkout(monkeypatch):
    def fail(*arguments, **options):
        raise subprocess.CalledProcessError(128, "git")

    monkeypatch.setattr(provenance.subprocess, "run", fail)
    assert provenance.commit() is None


def test_commit_names_changes(tmp_path, monkeypatch):
    def git(*arguments):
        subprocess.run(["git", "-c", "user.name=a", "-c", "user.email=a@b", *arguments], cwd=tmp_path, check=True)

    (tmp_path / "code.py").write_text("first\n")
    git("init", "-q")
    git("add", ".")
    git("commit", "-q", "-m", "first")
    monkeypatch.setattr(provenance, "__file__", str(tmp_path / "code.py"))
    clean = provenance.commit()
    assert len(clean) >= 12 and set(clean) <= set("0123456789abcdef")
    (tmp_path / "code.py").write_text("second\n")
    assert provenance.commit() == f"{clean}+changes"
