"""The probes: tasks that are what they say, a training that learns, results that are kept."""

import json
from functools import partial

import numpy as np
import pytest
import torch
from numpy.random import default_rng

from benchmarks.probes import TASK_NAMES, command, parallel
from benchmarks.probes import run as run_module
from benchmarks.probes import stack as stacks
from benchmarks.probes.results import markdown
from benchmarks.probes.stack import Shape, Stack, Training, score, train
from benchmarks.probes.tasks import TASKS, UNSCORED, evaluation_rng, norm_chance, sample, training_rng
from mixers import ConvOnly, SummaryMixing

TASK = pytest.mark.parametrize("name", TASKS)


def drawn(name, sequences=64, seed=3):
    x, labels = sample(TASKS[name], default_rng(seed), sequences)
    return x.numpy(), labels.numpy()


def single_index(flags) -> int:
    """The index of the only True."""
    assert flags.sum() == 1
    return int(flags.argmax())


def test_every_task_has_its_name():
    assert tuple(TASKS) == TASK_NAMES and all(task.name == name for name, task in TASKS.items())


@TASK
def test_sizes_and_types(name):
    task = TASKS[name]
    x, labels = sample(task, default_rng(3), 300)
    assert x.shape == (300, task.frames, task.features) and x.dtype == torch.float32
    assert labels.shape == (300, task.frames) and labels.dtype == torch.int64
    assert set(labels.unique().tolist()) - {UNSCORED} == set(range(task.classes))


def test_norm_labels_are_signs_about_the_mean():
    x, labels = drawn("norm", 20)
    for sequence, sequence_labels in zip(x, labels, strict=True):
        mean = sequence.astype(np.float64).sum(0) / len(sequence)
        for frame, label in zip(sequence, sequence_labels, strict=True):
            signs = [int(value > centre) for value, centre in zip(frame, mean, strict=True)]
            assert label == 4 * signs[0] + 2 * signs[1] + signs[2]


def test_norm_has_segments_noise_and_an_offset():
    x, _ = drawn("norm", 400)
    segments = x.reshape(400, 8, 16, 3)
    assert segments.std(axis=2, ddof=1).mean() == pytest.approx(0.3, rel=0.03)
    assert segments.mean(axis=2).std(axis=1, ddof=1).mean() == pytest.approx(0.965 * 1.0, rel=0.05)  # of 8 draws
    assert x.mean(axis=1).std() == pytest.approx((9 + 1 / 8) ** 0.5, rel=0.1)


def test_cue_labels_and_places():
    x, labels = drawn("cue", 400)
    places = set()
    for sequence, sequence_labels in zip(x, labels, strict=True):
        place = single_index(sequence[:, 4:].any(axis=1))
        marker = single_index(sequence[place, 4:] == 1)
        places.add(place)
        for frame, label in enumerate(sequence_labels):
            token = single_index(sequence[frame, :4] == 1)
            assert label == (UNSCORED if abs(frame - place) <= 14 else 4 * token + marker)
    assert places == {*range(10), *range(86, 96)}


def test_order_labels_and_distances():
    x, labels = drawn("order", 400)
    distances, first = [], 0
    for sequence, sequence_labels in zip(x, labels, strict=True):
        a, b = single_index(sequence[:, 4] == 1), single_index(sequence[:, 5] == 1)
        distances.append(abs(a - b))
        first += a < b
        # Farther from the ends than the convolutions see: place must not tell what order does.
        assert min(a, b) > 6 and max(a, b) < 96 - 1 - 6
        for frame, label in enumerate(sequence_labels):
            token = single_index(sequence[frame, :4] == 1)
            scored = abs(frame - a) > 14 and abs(frame - b) > 14
            assert label == (2 * token + (a < b) if scored else UNSCORED)
    assert min(distances) == 40 and max(distances) > 70
    assert first == 200


@pytest.mark.parametrize("sequences", [256, 16, 7])
def test_guessing_gets_chance_on_what_the_whole_sequence_shares(sequences):
    labels = drawn("order", sequences)[1]
    share = (labels[labels != UNSCORED] % 2).mean()
    assert share == 0.5 if sequences % 2 == 0 else 0.3 < share < 0.7
    markers = [row[row != UNSCORED][0] % 4 for row in drawn("cue", sequences)[1]]
    assert max(markers.count(marker) - sequences / 4 for marker in range(4)) < 1


def test_recall_labels():
    x, labels = drawn("recall")
    for sequence, sequence_labels in zip(x, labels, strict=True):
        pairs = sequence[:, 16] == 1
        keys = [single_index(frame[:8] == 1) for frame in sequence]
        value_of = {keys[frame]: single_index(sequence[frame, 8:16] == 1) for frame in np.flatnonzero(pairs)}
        assert sorted(value_of) == list(range(8)) and pairs.sum() == 8
        assert not sequence[~pairs, 8:].any()
        for frame, label in enumerate(sequence_labels):
            assert label == (UNSCORED if pairs[frame] else value_of[keys[frame]])


def test_copy_labels_and_places():
    x, labels = drawn("copy", 400)
    places = set()
    for sequence, sequence_labels in zip(x, labels, strict=True):
        shown, asked = np.flatnonzero(sequence[:, 8]), np.flatnonzero(sequence[:, 9])
        assert len(shown) == 6 and shown[-1] - shown[0] == 5 and len(asked) == 3 * 6
        symbols = [single_index(sequence[frame, :8] == 1) for frame in shown]
        for segment in asked.reshape(3, 6):
            assert segment[-1] - segment[0] == 5
            # Two ends in sight of every frame, no frame of the shown segment through two convolutions.
            assert not {segment[0] - 1, segment[-1] + 1} & {*asked}
            assert min(abs(segment[0] - shown[-1]), abs(shown[0] - segment[-1])) > 14
            assert sequence_labels[segment].tolist() == symbols
            places.add((segment[0] > shown[0], segment[0] // 8))
        assert not sequence[asked, :8].any()
        assert set(np.flatnonzero(sequence_labels != UNSCORED)) == {*asked}
        assert (sequence[:, :8].sum(1) == 1).sum() == 96 - len(asked)
    assert {slot for _, slot in places} == set(range(12)) and {after for after, _ in places} == {True, False}


def test_count_labels():
    x, labels = drawn("count", 400)
    counts = x[:, :, 4].sum(1).astype(int)
    assert set(counts.tolist()) == set(range(1, 9))
    assert [(counts % 4).tolist().count(remainder) for remainder in range(4)] == [100] * 4
    assert x[:, :, 4].mean(0).min() > 0, "markers anywhere"
    for sequence, sequence_labels, markers in zip(x, labels, counts, strict=True):
        for frame, label in enumerate(sequence_labels):
            assert label == 4 * single_index(sequence[frame, :4] == 1) + markers % 4


@TASK
def test_sequences_follow_from_the_seed_and_training_never_sees_the_scored_ones(name):
    task = TASKS[name]
    draws = [sample(task, rng, 8)[0] for rng in (evaluation_rng(), training_rng(0), training_rng(1))]
    again = [sample(task, rng, 8)[0] for rng in (evaluation_rng(), training_rng(0), training_rng(1))]
    assert all(torch.equal(a, b) for a, b in zip(draws, again, strict=True))
    sequences = {row.numpy().tobytes() for draw in draws for row in draw}
    assert len(sequences) == 3 * 8


def test_chance_of_norm_is_that_of_the_best_guess_from_one_frame():
    """Which, everything being normal, is the sign of the frame itself."""
    x, labels = sample(TASKS["norm"], default_rng(5), 4000)
    guess = (x > 0).long() @ torch.tensor([4, 2, 1])
    assert norm_chance(128) == pytest.approx(100 * (guess == labels).float().mean().item(), abs=0.7)


@TASK
def test_untrained_stack_knows_nothing(name):
    task, scores = TASKS[name], []
    for seed in range(4):
        torch.manual_seed(seed)
        scores.append(score(Stack([ConvOnly] * 2, task.features, task.classes, Shape()), task, 100))
    assert np.mean(scores) == pytest.approx(100 / task.classes, abs=5)


def test_unscored_frames_teach_nothing_and_count_nothing(monkeypatch):
    """A stack that is right on scored frames only has 100 %, whatever it predicts elsewhere."""
    task = TASKS["cue"]
    _, labels = sample(task, evaluation_rng(), 30)
    answers = torch.nn.functional.one_hot(labels.clamp(min=0), task.classes).float()
    perfect = torch.nn.Identity()
    monkeypatch.setattr(perfect, "forward", lambda x: answers)
    assert score(perfect, task, 30) == 100


def test_mixing_is_learnt_and_nothing_else_learns_it():
    """On a short form of norm, a few steps show the difference that mixing makes."""
    task = TASKS["norm"]._replace(frames=48, steps=60)
    with_mean, without = (
        train([mixer] * 2, task, 0, Shape(), Training(warmup_steps=20, scored_sequences=64))["accuracy"]
        for mixer in (partial(SummaryMixing, heads=4), ConvOnly)
    )
    assert with_mean > without + 10


def test_training_repeats_from_its_seed():
    task = TASKS["recall"]._replace(steps=4)
    first, again, other_seed = (train([ConvOnly] * 2, task, seed, Shape(), Training()) for seed in (0, 0, 1))
    assert first["accuracy"] == again["accuracy"] != other_seed["accuracy"]


def test_training_ends_when_nothing_is_left_to_learn():
    def signs(rng, sequences, frames):
        x = rng.choice([-1.0, 1.0], (sequences, frames, 1))
        return x, (x[..., 0] > 0).astype(int)

    easy = TASKS["norm"]._replace(draw=signs, features=1, classes=2, frames=8, steps=200)
    learnt = train([ConvOnly] * 2, easy, 0, Shape(), Training(warmup_steps=10, faultless_batches=5))
    assert learnt["accuracy"] == 100 and 5 <= learnt["steps"] < 100
    hopeless = easy._replace(draw=lambda *sizes: (signs(*sizes)[0], sizes[0].integers(2, size=sizes[1:])), steps=20)
    assert train([ConvOnly] * 2, hopeless, 0, Shape(), Training(faultless_batches=1))["steps"] == 20


# --- the command -------------------------------------------------------------------------------------------


@pytest.fixture
def quick(monkeypatch, tmp_path):
    """Trainings of two steps; returns a function that runs the command on a results file of this test."""
    short = {name: task._replace(steps=2, frames=64 if name == "norm" else 96) for name, task in TASKS.items()}
    monkeypatch.setattr(run_module, "TASKS", short)
    monkeypatch.setattr(run_module, "TRAINING", Training(scored_sequences=8))
    out = tmp_path / "new" / "probes.json"

    def run(*options, jobs="1"):
        return command.main([*options, "--jobs", jobs, "--out", str(out)])

    run.out = out
    return run


def cells(path):
    return [(cell["mixer"], cell["task"], cell["seed"]) for cell in json.loads(path.read_text())["cells"]]


def test_results_and_table(quick, capsys):
    options = ["--mixers", "conv_only", "summarymixing*1+xnor*1", "--tasks", "norm", "cue", "--seeds", "2"]
    assert quick(*options) == 0
    assert len(cells(quick.out)) == len(set(cells(quick.out))) == 8
    printed = capsys.readouterr().out
    assert "[8/8] summarymixing+xnor" in printed and "0 s left" in printed
    table = [[cell.strip() for cell in line.split("|")] for line in printed.splitlines() if line.startswith("|")]
    assert table[0][1:4] == ["mixer", "norm %", "cue %"]
    assert table[2][1] == "*the frame alone*" and table[2][3] == "25"
    assert [row[1] for row in table[3:]] == ["conv_only", "summarymixing+xnor"] and table[3][4] == "0"
    accuracies = [
        cell["accuracy"]
        for cell in json.loads(quick.out.read_text())["cells"]
        if (cell["mixer"], cell["task"]) == ("conv_only", "cue")
    ]
    assert table[3][3] == f"{np.mean(accuracies):.1f} ± {np.std(accuracies, ddof=1):.1f}"
    assert command.main(["--table", str(quick.out)]) == 0
    assert capsys.readouterr().out.strip() in printed


def test_one_seed_gets_no_spread(quick, capsys):
    quick("--mixers", "conv_only", "--tasks", "norm")
    printed = capsys.readouterr().out
    assert "±" not in printed and "one seed, so there is no spread to give" in printed


def test_a_stopped_run_goes_on(quick, capsys, monkeypatch):
    """What was done is kept whenever the run ends, and is not done again."""
    options = ["--mixers", "conv_only", "--tasks", "norm", "cue", "--seeds", "2"]
    real, trained = parallel.train, []

    def stop_at_third(factories, task, seed, *sizes):
        trained.append((task.name, seed))
        if len(trained) == 3:
            raise KeyboardInterrupt
        return real(factories, task, seed, *sizes)

    monkeypatch.setattr(parallel, "train", stop_at_third)
    assert quick(*options) == 130
    before = json.loads(quick.out.read_text())["cells"]
    assert len(before) == 2
    assert quick(*options) == 0
    assert trained == [("norm", 0), ("cue", 0), ("norm", 1), ("norm", 1), ("cue", 1)]
    assert json.loads(quick.out.read_text())["cells"][:2] == before
    assert "2 of 4 are in" in capsys.readouterr().out
    assert quick(*options) == 0 and len(trained) == 5
    assert [file.name for file in quick.out.parent.iterdir()] == ["probes.json"]


def test_a_broken_mixer_does_not_stop_the_others(quick, capsys, monkeypatch):
    real = parallel.train

    def fail_on_norm(factories, task, *arguments):
        if task.name == "norm":
            raise RuntimeError("sizes\ndo not fit")
        return real(factories, task, *arguments)

    monkeypatch.setattr(parallel, "train", fail_on_norm)
    assert quick("--mixers", "conv_only", "--tasks", "norm", "cue") == 2
    printed = capsys.readouterr()
    assert cells(quick.out) == [("conv_only", "cue", 0)]
    assert "[1/2] conv_only" in printed.out and "RuntimeError: sizes do not fit" in printed.out and "–" in printed.out
    problem = "first conv_only on norm, seed 0: RuntimeError: sizes do not fit"
    assert printed.err == f"error: 1 of 2 did not work, {problem}; give the command again to repeat only these\n"


def test_loss_that_is_no_number_is_a_problem(monkeypatch):
    monkeypatch.setattr(stacks, "cross_entropy", lambda *_, **__: torch.tensor(float("nan")))
    with pytest.raises(FloatingPointError, match=r"^the loss is nan at step 1$"):
        train([ConvOnly] * 2, TASKS["norm"], 0, Shape(), Training())


def test_several_processes_give_the_results_of_a_single_process(quick, tmp_path):
    options = ["--mixers", "conv_only", "--tasks", "norm", "--seeds", "2"]
    assert quick(*options, jobs="2") == 0
    several = json.loads(quick.out.read_text())["cells"]
    quick.out.unlink()
    assert quick(*options) == 0
    single = json.loads(quick.out.read_text())["cells"]
    accuracies = [{cell["seed"]: cell["accuracy"] for cell in cells} for cells in (several, single)]
    assert accuracies[0] == accuracies[1] and len(accuracies[0]) == 2


def test_all_of_the_table_and_a_hybrid_by_default():
    table = run_module.table_of_mixers()
    chosen = run_module.choose_mixers(None)
    assert {*chosen} == {*table, "summarymixing+attention"} - {*run_module.ON_REQUEST}
    assert all(len(factories) == 2 for factories in chosen.values())
    assert {*run_module.choose_mixers(["mamba", "mamba*2"])} == {"mamba"}


OTHER = {
    "steps": ("task norm", "steps", 3, "(task norm: steps was 3, is 2 now)"),
    "sequences": ("task norm", "sequences", "0123", "(task norm: sequences was 0123, is "),
    "rate": ("training", "lr", 0.1, "(training: lr was 0.1, is 0.005 now)"),
    "options": ("mixer xnor", "heads of layer 2", 8, "(mixer xnor: heads of layer 2 was 8, is 4 now)"),
}


@pytest.mark.parametrize("section, key, value, expected", OTHER.values(), ids=OTHER.keys())
def test_other_settings_are_refused(quick, capsys, section, key, value, expected):
    assert quick("--mixers", "xnor", "--tasks", "norm") == 0
    results = json.loads(quick.out.read_text())
    results["settings"][section][key] = value
    quick.out.write_text(json.dumps(results))
    assert quick("--mixers", "xnor", "conv_only", "--tasks", "norm", "cue") == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {quick.out} was made with other settings ") and expected in printed
    assert printed.endswith("give another --out, or remove that file\n") and printed.count("\n") == 1
    assert json.loads(quick.out.read_text()) == results


ERRORS = {
    "task": (
        ["--tasks", "nrom"],
        "there is no task 'nrom'; did you mean 'norm'? tasks: norm, cue, order, recall, copy, count",
    ),
    "mixer": (
        ["--mixers", "xnro"],
        "no such mixer 'xnro'; did you mean 'xnor'? mixers: attention, conv_only, ",
    ),
    "hybrid-mixer": (
        ["--mixers", "xnor+atention"],
        "no such mixer 'atention'; did you mean 'attention'? mixers: ",
    ),
    "hybrid-layers": (["--mixers", "xnor*2+attention*1"], "describes 3 layers, but layers is 2"),
    "seeds": (["--seeds", "0"], "--seeds must be at least 1, not 0"),
    "jobs": (["--jobs", "-1"], "--jobs must be at least 1, not -1"),
    "no-table": (
        ["--table", "none.json"],
        "there is no results file 'none.json': python -m benchmarks.probes --out none.json",
    ),
}


@pytest.mark.parametrize("options, message", ERRORS.values(), ids=ERRORS.keys())
def test_errors_are_one_line(options, message, capsys, tmp_path):
    assert command.main(["--out", str(tmp_path / "out.json"), *options]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith("error: ") and message in printed and printed.count("\n") == 1
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("text", ["{", "[1]", "{}", "\xff"], ids=["cut", "list", "empty", "binary"])
def test_other_files_are_left_alone(text, capsys, tmp_path):
    path = tmp_path / "notes.json"
    path.write_text(text, encoding="latin-1")
    assert command.main(["--mixers", "conv_only", "--tasks", "norm", "--out", str(path)]) == 2
    printed = capsys.readouterr().err
    assert printed.startswith(f"error: {path} is no results file of the probes (") and printed.count("\n") == 1
    assert printed.endswith("): give another --out\n")
    assert path.read_text(encoding="latin-1") == text


def test_table_of_nothing_trained():
    assert markdown({"settings": {}, "cells": []}).endswith("No stack has been trained yet.")
