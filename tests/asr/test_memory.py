"""The largest batch is tried before training, and a batch that fits is proposed."""

import re

import pytest
import torch

from recipes.asr import memory
from recipes.cost import available_memory
from recipes.errors import RecipeError
from tests.support.runs import same_weights, small_corpus, train


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    return small_corpus(tmp_path_factory.mktemp("corpus"))


def test_the_largest_batch_is_tried_and_changes_nothing(corpus, tmp_path, capsys, monkeypatch):
    options = ["--dropout", "0.2"]
    assert train(corpus, tmp_path / "tried", *options) == 0
    printed = capsys.readouterr().out
    assert re.search(
        r"^largest batch: \d+ utterances, \d s of padded audio, 0\.\d\d GB of [\d.]+ GB free on cpu$",
        printed,
        re.MULTILINE,
    )
    monkeypatch.setattr("recipes.asr.experiment.check_largest_batch", lambda brain, training_set: "")
    assert train(corpus, tmp_path / "not-tried", *options) == 0
    assert same_weights(tmp_path / "tried", tmp_path / "not-tried")


def test_blocks_that_are_computed_again_train_the_same_weights(corpus, tmp_path):
    options = ["--dropout", "0.2"]
    assert train(corpus, tmp_path / "kept", *options) == 0
    assert train(corpus, tmp_path / "again", *options, "--checkpoint_blocks", "true") == 0
    assert same_weights(tmp_path / "kept", tmp_path / "again")


@pytest.mark.parametrize(
    "error",
    [torch.OutOfMemoryError("CUDA out of memory"), RuntimeError("DefaultCPUAllocator: can't allocate memory")],
    ids=["gpu", "cpu"],
)
def test_what_does_not_fit_is_said_before_training(corpus, tmp_path, capsys, monkeypatch, error):
    def fail(brain, batch):
        raise error

    monkeypatch.setattr(memory, "run_step", fail)
    assert train(corpus, tmp_path / "run") == 2
    message = capsys.readouterr().err
    assert re.fullmatch(
        r"error: the largest batch \(\d+ utterances, \d s of padded audio\) does not fit into the memory of cpu: lower "
        r"--batch_seconds \(now 4\) and raise --grad_accumulation_factor as much, or lower --max_seconds; "
        r"--find_batch true proposes one\n",
        message,
    )
    assert not list((tmp_path / "run").glob("checkpoints/CKPT*"))
    assert "find_batch: False" in (tmp_path / "run" / "recipe.yaml").read_text()  # the next command trains


def test_an_error_that_is_none_of_memory_stays_one(corpus, tmp_path, monkeypatch):
    def fail(brain, batch):
        raise RuntimeError("shapes do not fit")

    monkeypatch.setattr(memory, "run_step", fail)
    with pytest.raises(RuntimeError, match="shapes"):
        train(corpus, tmp_path / "run")


def test_a_batch_is_proposed(corpus, tmp_path, capsys):
    with pytest.raises(SystemExit) as end:
        train(corpus, tmp_path / "run", "--find_batch", "true", "--batch_seconds", "10")
    assert end.value.code == 0
    proposal = re.search(
        r"batch_seconds up to about (\d+); the recipe has 10\. .* --batch_seconds 10$",
        capsys.readouterr().out,
        re.MULTILINE,
    )
    assert proposal and int(proposal[1]) > 10
    assert not list((tmp_path / "run").glob("checkpoints/CKPT*"))


def test_a_proposal_for_little_memory_keeps_the_steps(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda brain: 300_000_000)
    with pytest.raises(SystemExit):
        train(corpus, tmp_path / "run", "--find_batch", "true", "--batch_seconds", "20000")
    assert re.search(r"--batch_seconds \d+ and --grad_accumulation_factor \d+$", capsys.readouterr().out, re.MULTILINE)


@pytest.mark.parametrize(
    ("given", "wanted"), [([], 2), (["--grad_accumulation_factor", "4"], 8), (["--global_batch", "4"], 8)]
)
def test_a_proposal_multiplies_what_the_recipe_accumulates(corpus, tmp_path, capsys, monkeypatch, given, wanted):
    monkeypatch.setattr(memory, "step_memory", lambda brain, batch: round(1e6 * memory.padded_seconds(batch)))
    monkeypatch.setattr(
        memory,
        "free_memory",
        lambda brain: (8.5e6 + 3 * 4 * sum(weight.numel() for weight in brain.model.parameters())) / memory.USABLE,
    )
    with pytest.raises(SystemExit):
        train(corpus, tmp_path / "run", "--find_batch", "true", "--batch_seconds", "16", *given)
    option = "--global_batch" if "--global_batch" in given else "--grad_accumulation_factor"
    assert capsys.readouterr().out.rstrip().endswith(f"--batch_seconds 8 and {option} {wanted}")


def test_no_memory_at_all(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda brain: 1000)
    assert train(corpus, tmp_path / "run", "--find_batch", "true") == 2
    assert "not even the longest utterance" in capsys.readouterr().err


def test_unknown_memory(corpus, tmp_path, capsys, monkeypatch):
    monkeypatch.setattr(memory, "free_memory", lambda brain: None)
    assert train(corpus, tmp_path / "run", "--find_batch", "true") == 2
    assert "free memory of this system cannot be told" in capsys.readouterr().err
    assert issubclass(RecipeError, ValueError)


def test_memory_that_holds_copies_of_files_is_available(tmp_path):
    assert available_memory(tmp_path) is None  # macOS
    write_files(tmp_path, MEMINFO)
    assert available_memory(tmp_path) == 6000 * 1024
    write_files(tmp_path, {"proc/meminfo": "MemTotal: 8000 kB\n"})
    assert available_memory(tmp_path) is None


MEMINFO = {"proc/meminfo": "MemTotal: 8000 kB\nMemFree:      100 kB\nMemAvailable:    6000 kB\nCached: 5900 kB\n"}
V1 = {"proc/self/cgroup": "9:cpu:/\n4:hugetlb,memory:/docker/ab\n0::/\n"}
V2 = {"proc/self/cgroup": "0::/job/step\n"}


@pytest.mark.parametrize(
    ("files", "available"),
    [
        (V2, 6000 * 1024),
        (V2 | {"job/step/memory.max": "max\n", "job/step/memory.current": "7\n"}, 6000 * 1024),
        (V2 | {"job/step/memory.max": "9000\n", "job/step/memory.current": "7000\n"}, 2000),
        (V2 | {"job/memory.max": "9000\n", "job/memory.current": "7000\n", "job/step/memory.max": "max\n"}, 2000),
        (V2 | {"memory.max": "9000\n", "memory.current": "7000\n"}, 2000),  # a container sees its own group as the top
        (
            V2
            | {"memory.max": "9000\n", "memory.current": "7000\n"}
            | {"memory.stat": "anon 6000\nfile 900\nshmem 400\ninactive_file 300\nactive_file 200\n"},
            2500,
        ),
        (V2 | {"memory.max": "9000\n", "memory.current": "9500\n"}, 0),
        (V1, 6000 * 1024),
        (
            V1 | {"memory/memory.limit_in_bytes": "9223372036854771712\n", "memory/memory.usage_in_bytes": "5"},
            6144000,
        ),
        (
            V1
            | {"memory/memory.limit_in_bytes": "9000\n", "memory/memory.usage_in_bytes": "7000\n"}
            | {"memory/memory.stat": "inactive_file 1\ntotal_inactive_file 300\ntotal_active_file 200\n"},
            2500,
        ),
        (V1 | {"memory/docker/ab/memory.limit_in_bytes": "90\n", "memory/docker/ab/memory.usage_in_bytes": "7\n"}, 83),
    ],
)
def test_a_container_has_what_its_limit_leaves(tmp_path, files, available):
    groups = {path if path.startswith("proc") else f"sys/fs/cgroup/{path}": text for path, text in files.items()}
    write_files(tmp_path, MEMINFO | groups)
    assert available_memory(tmp_path) == available


def write_files(root, texts):
    for path, text in texts.items():
        (root / path).parent.mkdir(parents=True, exist_ok=True)
        (root / path).write_text(text)
