"""Several processes that train together (gloo, on this machine) against one that takes their batches in turn.

torchrun starts the first of them. Where it is known what it starts, and how it ends, processes of the same environment
do (tests/support/together.py).
"""

import contextlib
import os
import signal
import subprocess
import time

import pytest

from benchmarks.reliability import torchrun
from evaluate import main as evaluate_alone
from tests.lm.test_experiment import RECIPE as LM_RECIPE
from tests.lm.test_experiment import TINY as LM_TINY
from tests.lm.test_experiment import folder as texts
from tests.lm.test_experiment import train as train_lm
from tests.support import together
from tests.support.corpus import write_corpus
from tests.support.runs import arguments, epochs, results, same_weights, train

__all__ = ["texts"]  # a fixture

# Everything that draws, and a schedule that does not depend on how long the run is to be.
OPTIONS = (
    "--batch_seconds 2 --dropout 0.1 --speeds [95,100,105] --average_checkpoints 1"
    " --model.augment.time_masks 1 --model.augment.time_width [1,4]"
).split()
NOAM = ["--lr_schedule", "!name:recipes.training.noam {warmup_steps: 2}"]


@pytest.fixture(scope="module")
def corpus(tmp_path_factory):
    """An odd number of batches, so that the last group has but one."""
    folder = tmp_path_factory.mktemp("corpus")
    write_corpus(folder, {"train-clean-5": (2, 9), "dev-clean": (1, 5), "test-clean": (1, 7)})
    return folder


def metrics(output) -> list[dict]:
    return [epoch.metrics for epoch in epochs(output)]


def test_two_processes_equal_accumulation_and_may_take_turns_with_it(corpus, tmp_path):
    """Bit for bit: two processes, then one, then two, against one that takes two batches a step all along."""
    options = [*OPTIONS, *NOAM]
    alone, in_turn = tmp_path / "alone", tmp_path / "in-turn"
    accumulation = ["--grad_accumulation_factor", "2"]
    assert train(corpus, alone, *options, "--global_batch", "2", "--number_of_epochs", "3") == 0
    status, printed = torchrun.run("train.py", arguments(corpus, in_turn, *options, "--number_of_epochs", "1"))
    assert status == 0, printed
    assert printed.count("test-clean") == 2, "one process speaks: of its preparation, and of its result"
    assert train(corpus, in_turn, *options, *accumulation, "--number_of_epochs", "2") == 0
    by_two = arguments(corpus, in_turn, *options, "--number_of_epochs", "3")
    statuses, printed = together.run("train", by_two, tmp_path / "train.screen")
    assert statuses == [0, 0], printed
    assert printed.count("test-clean") == 2, "one process speaks: of its preparation, and of its result"
    assert same_weights(alone, in_turn)
    assert metrics(alone) == metrics(in_turn)
    assert results(alone) == results(in_turn), "each utterance was decoded and counted once"
    evaluate = [
        str(alone),
        "--device",
        "cpu",
        "--noprogressbar",
        "--split",
        "test-clean",
        "dev-clean",
        "--average",
        "2",
    ]
    assert evaluate_alone([*evaluate, "--out", str(tmp_path / "by-one")]) == 0
    by_two = [*evaluate, "--out", str(tmp_path / "by-two")]
    statuses, printed = together.run("evaluate", by_two, tmp_path / "evaluate.screen")
    assert statuses == [0, 0], printed
    assert printed.count("everything is written") == 1 and results(tmp_path / "by-two") == results(tmp_path / "by-one")
    for name in ("wer_test-clean.txt", "decoded_test-clean.jsonl", "decoded_dev-clean.jsonl", "averaged.ckpt"):
        assert (tmp_path / "by-two" / name).read_bytes() == (tmp_path / "by-one" / name).read_bytes()


def test_a_process_may_be_without_a_batch_to_validate_on(tmp_path):
    write_corpus(tmp_path / "corpus", {"train-clean-5": (2, 4), "dev-clean": (1, 1), "test-clean": (1, 1)})
    by_two = arguments(tmp_path / "corpus", tmp_path / "run", *OPTIONS, "--number_of_epochs", "1")
    statuses, printed = together.run("train", by_two, tmp_path / "screen")
    assert statuses == [0, 0], printed


def test_language_models_too(texts, tmp_path):
    """Bit for bit. The text has 5 batches: in the last step one process is without a batch of its own."""
    options = ["--dropout", "0.1", "--batch_sentences", "5"]
    assert train_lm(texts, tmp_path / "alone", *options, "--grad_accumulation_factor", "2") == 0
    inputs = ["--tokenizer", "tokenizer.model", "--train_text", "train.txt.gz", "--valid_text", "valid.txt"]
    inputs = [str(texts / part) if "." in part else part for part in inputs]
    by_two = [str(LM_RECIPE), *inputs, "--output_folder", str(tmp_path / "together"), *LM_TINY, *options]
    statuses, printed = together.run("train_lm", by_two, tmp_path / "screen")
    assert statuses == [0, 0], printed
    assert same_weights(tmp_path / "alone", tmp_path / "together")
    assert metrics(tmp_path / "alone") == metrics(tmp_path / "together")


def test_an_error_of_the_main_process_reaches_the_others(tmp_path):
    """They wait for what only the first one does, and would wait for ever."""
    nowhere = arguments(tmp_path / "none", tmp_path / "run")
    statuses, printed = together.run("train", nowhere, tmp_path / "screen")
    assert statuses == [2, 2]
    assert [line for line in printed.splitlines() if "error: " in line] == [
        f"error: no data folder {tmp_path / 'none'}: give the folder that holds LibriSpeech's splits, or its parent"
    ]


def children(process) -> list[int]:
    pids = []
    for entry in os.listdir("/proc"):
        if entry.isdigit():
            try:
                with open(f"/proc/{entry}/stat") as file:
                    fields = file.read().rpartition(")")[2].split()
            except OSError:
                continue
            if int(fields[1]) == process.pid and fields[0] != "Z":
                pids.append(int(entry))
    return pids


@pytest.fixture
def long_run(corpus, tmp_path):
    """Two processes in the midst of a training that would go on for long, and their numbers."""
    options = [*OPTIONS, "--number_of_epochs", "100000"]
    process = torchrun.start("train.py", arguments(corpus, tmp_path / "run", *options))
    for line in process.stdout:
        if line.startswith("epoch 2"):
            break
    workers = children(process)
    yield process, workers
    with contextlib.suppress(ProcessLookupError):
        os.killpg(process.pid, signal.SIGKILL)
    for pid in alive(workers):
        os.kill(pid, signal.SIGKILL)
    process.wait()


def alive(pids: list[int]) -> list[int]:
    return [pid for pid in pids if os.path.exists(f"/proc/{pid}")]


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="children are found in /proc")
def test_a_dead_worker_ends_the_job(long_run):
    process, workers = long_run
    assert len(workers) == 2
    os.kill(workers[1], signal.SIGKILL)
    assert process.wait(timeout=60) != 0
    assert not alive(workers)


@pytest.mark.skipif(not os.path.exists("/proc/self/stat"), reason="children are found in /proc")
def test_workers_save_and_end_with_a_torchrun_that_is_killed_alone(long_run, tmp_path):
    process, workers = long_run
    os.kill(process.pid, signal.SIGKILL)
    deadline = time.monotonic() + 60
    while alive(workers) and time.monotonic() < deadline:
        time.sleep(0.2)
    assert not alive(workers)
    assert "all is saved: give the same command again" in process.stdout.read()
    assert list((tmp_path / "run" / "checkpoints").glob("CKPT*"))


def test_the_slurm_script_starts_torchrun_and_asks_to_go_on(tmp_path):
    """With programs in SLURM's place that print what they were given; the training is stopped by SIGTERM."""
    script = torchrun.ROOT / "docs" / "train.sbatch"
    assert subprocess.run(["bash", "-n", script]).returncode == 0
    for name, body in {
        "scontrol": '[ "$1" = show ] && printf "node1\\nnode2\\n" || echo "scontrol $*"',
        "srun": 'echo "srun $*"; exit 143',
    }.items():
        (tmp_path / name).write_text(f"#!/bin/bash\n{body}\n")
        (tmp_path / name).chmod(0o755)
    environment = {
        "PATH": f"{tmp_path}:{os.environ['PATH']}",
        "SLURM_JOB_NODELIST": "node[1-2]",
        "SLURM_NNODES": "2",
        "SLURM_GPUS_ON_NODE": "4",
        "SLURM_JOB_ID": "17",
    }
    done = subprocess.run(
        ["bash", script, "hparams/quickstart.yaml", "--lr", "1e-3"], env=environment, capture_output=True, text=True
    )
    assert done.stdout.splitlines() == [
        "srun torchrun --nnodes 2 --nproc_per_node 4 --rdzv_id 17 --rdzv_backend c10d --rdzv_endpoint node1:29500 "
        "train.py hparams/quickstart.yaml --lr 1e-3",
        "scontrol requeue 17",
    ]
    assert done.returncode == 143
