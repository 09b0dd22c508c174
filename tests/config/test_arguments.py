"""The command line: recipe keys, SpeechBrain's run options, and their errors."""

import subprocess
import sys
from pathlib import Path

import pytest

from recipes.config.__main__ import main
from recipes.config.arguments import parse_arguments
from tests.support.recipe_files import CLASSES, cases, error_of, flatten, hparams_of, load

ROOT = Path(__file__).resolve().parents[2]


@pytest.mark.parametrize(
    ("value", "expected"),
    [
        ("1e-3", 1e-3),
        ("3", 3),
        ("true", True),
        ("null", None),
        ("[a, 2]", ["a", 2]),
        ("a b", "a b"),
        ("'3'", "3"),
        ("/data #2/x", "/data #2/x"),
        (0.25, 0.25),
        (None, None),
        ([1, 2], [1, 2]),
        (Path("a/b"), "a/b"),
    ],
    ids=repr,
)
def test_override_values(base, value, expected):
    value = hparams_of(base, betas=value)["betas"]
    assert value == expected
    assert type(value) is type(expected)


def test_nested_overrides(base):
    hparams = hparams_of(
        base,
        **{
            "parts.dropout": "0.5",
            "parts.search.beam": "66",
            "encoder.heads": "2",
            "mixers.xnor.heads": "6",
            "mixer": "xnor",
            "augment": "!new:collections.Counter {speed: 2}",
        },
    )
    assert hparams["parts"] == {"dropout": 0.5, "search": {"beam": 66, "penalties": [1, 2]}}
    assert hparams["encoder"].heads == 2
    assert hparams["layer_mixers"][3]().heads == 6
    assert hparams["augment"] == {"speed": 2}


ANYTHING, ENCODER, OTHER = (f"!new:{CLASSES}.{name}" for name in ("Anything", "Encoder", "OtherEncoder"))
IN_TURN = {
    "an argument of an object": ({"augment": f"{ANYTHING} {{x: 1}}", "augment.y": "2"}, {"x": 1, "y": 2}),
    "the same argument again": ({"augment": f"{ANYTHING} {{x: 1}}", "augment.x": "2"}, {"x": 2}),
    "the first argument": ({"augment": ANYTHING, "augment.x": "2"}, {"x": 2}),
    "an object inside": (
        {"augment": f"{ANYTHING} {{x: {ANYTHING} {{y: 1}}}}", "augment.x": f"{OTHER} {{d_model: 3}}"},
        {"x": {"d_model": 3, "csgu": 3072}},
    ),
    "keys of an object inside": (
        {"augment": f"{ANYTHING} {{x: {ANYTHING} {{y: 1}}}}", "augment.x": "{z: 2}"},
        {"x": {"y": 1, "z": 2}},
    ),
    "the same class keeps what was set": (
        {"encoder.heads": "2", "encoder": f"{ENCODER} {{dropout: 0.5}}"},
        {"d_model": 8, "n_layers": 4, "heads": 2, "dropout": 0.5},
    ),
    "another class does not": (
        {"encoder.heads": "2", "encoder": f"{OTHER} {{d_model: 3}}"},
        {"d_model": 3, "csgu": 3072},
    ),
}


def attributes(thing) -> object:
    """The arguments that an object of `recipe_files` was built with, and those of the objects inside."""
    if not hasattr(thing, "__dict__"):
        return thing
    values = {key: value for key, value in vars(thing).items() if key != "mixers"}
    return {key: attributes(value) for key, value in values.get("keywords", values).items()}


@pytest.mark.parametrize(("overrides", "expected"), IN_TURN.values(), ids=IN_TURN)
def test_later_overrides_build_on_earlier_ones(base, overrides, expected):
    assert attributes(hparams_of(base, **overrides)[next(iter(overrides)).split(".")[0]]) == expected


@pytest.mark.parametrize(
    ("overrides", "message"),
    **cases(
        {
            "typo": ({"mixr": "xnor"}, "no such key 'mixr'; did you mean 'mixer'?"),
            "nested": ({"parts.dropot": "1"}, "no such key 'parts.dropot'; did you mean 'parts.dropout'?"),
            "first part": ({"prts.dropout": "1"}, "no such key 'prts'; did you mean 'parts'?"),
            "argument": (
                {"encoder.n_layer": "1"},
                "no such key 'encoder.n_layer'; did you mean 'encoder.n_layers'?",
            ),
            "object": (
                {"encoder": "3"},
                f"'encoder' is `!new:{CLASSES}.Encoder` and no single value: "
                "set one of its keys ('encoder.KEY'), or give null to switch it off",
            ),
            "group": (
                {"parts": "3"},
                "'parts' is a group of keys and no single value: "
                "set one of its keys ('parts.KEY'), or give null to switch it off",
            ),
            "below a value": ({"lr.peak": "3"}, "'lr' is a single value, it has no key 'peak'"),
            "below null": ({"augment.speed": "3"}, "'augment' is a single value, it has no key 'speed'"),
            "syntax": (
                {"lr": "[1"},
                "--lr '[1' is not a YAML value; a text with special characters needs quotes of its own",
            ),
            "empty": ({"lr": ""}, "--lr has no value; write null for none"),
            "bare": ({"lr": True}, "--lr needs a value"),
            "bare placeholder": ({"data_folder": True}, "--data_folder needs a value"),
            "base": ({"base": "x.yaml"}, "no such key 'base'; did you mean 'betas'?"),
            "switched off before": (
                {"encoder": "null", "encoder.heads": "2"},
                "'encoder' is a single value, it has no key 'heads'",
            ),
            "argument of a class given before": (
                {"augment": f"!new:{CLASSES}.Encoder", "augment.n_layer": "2"},
                "no such key 'augment.n_layer'; did you mean 'augment.n_layers'?",
            ),
            "object given before": (
                {"parts.search.penalties": "[3]", "parts": "{search: {penalties: {a: 1}}}"},
                "'parts.search.penalties' is a single value or a list, it has no keys",
            ),
            "group given before": (
                {"parts.search.beam": "3", "parts": "{search: 4}"},
                "'parts.search' is a group of keys and no single value: "
                "set one of its keys ('parts.search.KEY'), or give null to switch it off",
            ),
        }
    ),
)
def test_overrides_that_do_not_fit(base, overrides, message):
    assert error_of(flatten, base, overrides) == f"command line: {message}"


def test_recipe_keys_and_run_options_are_told_apart(base):
    arguments = parse_arguments(
        [
            "--debug",
            "--trust",
            str(base),
            "--lr",
            "1e-3",
            "--device",
            "cpu",
            "--parts.dropout=0.2",
            "--seed",
            "-1",
            "--compile_module_keys",
            "model",
            "--debug_batches=2",
            "--nonfinite_patience",
            "7",
            "--lr",
            "2e-3",
            "--augment",
        ]
    )
    assert arguments.recipe == base
    assert arguments.overrides == {"lr": "2e-3", "parts.dropout": "0.2", "seed": "-1", "augment": True}
    options = arguments.run_options
    assert (options["debug"], options["device"], options["debug_batches"]) == (True, "cpu", 2)
    assert (options["nonfinite_patience"], options["compile_module_keys"]) == (7, ["model"])
    assert options["test_only"] is False


@pytest.mark.parametrize("key", ["log", "optimizer", "test", "data", "compile_", "nonfinite"])
def test_keys_that_begin_like_a_run_option_stay_the_recipes(write, key):
    arguments = parse_arguments([str(write(f"{key}: 1\n")), f"--{key}", "5"])
    assert load(arguments.recipe, arguments.overrides).hparams == {key: 5}
    assert arguments.run_options.overridden_args == set()


def test_an_option_that_is_a_key_too_wins_in_brain_and_recipe(base):
    import speechbrain

    arguments = parse_arguments([str(base), "--trust", "--precision", "bf16", "--eval_precision", "fp32"])
    assert arguments.overrides == {"precision": "bf16"}
    hparams = hparams_of(base, **arguments.overrides)
    assert hparams["precision"] == "bf16"
    brain = speechbrain.Brain(hparams={"precision": "fp32", "max_grad_norm": 2.0}, run_opts=arguments.run_options)
    assert (brain.precision, brain.max_grad_norm) == ("bf16", 2.0)


def test_each_file_is_read_once(write, monkeypatch):
    write("base: base.yaml\nlr: 2\n", "middle")
    path, names, read_text = write("base: middle.yaml\n"), [], Path.read_text
    monkeypatch.setattr(
        Path, "read_text", lambda path, **options: names.append(path.stem) or read_text(path, **options)
    )
    arguments = parse_arguments([str(path), "--trust", "--data_folder", "x", "--parts.dropout", "0.5", "--seed", "2"])
    hparams = load(arguments.source, arguments.overrides).hparams
    assert (hparams["parts"]["dropout"], hparams["lr"], hparams["seed"]) == (0.5, 2, 2)
    assert names == ["small", "middle", "base"]


def test_option_that_the_recipe_does_not_have_stays_out_of_it(base):
    assert parse_arguments([str(base), "--trust", "--debug"]).overrides == {}


@pytest.mark.parametrize(
    ("argv", "message"),
    **cases(
        {
            "choice": (["--precision", "fp8"], "argument --precision: invalid choice: 'fp8'"),
            "number": (["--debug_batches=x"], "argument --debug_batches: invalid int value: 'x'"),
            "step limit": (
                ["--optimizer_step_limit", "x"],
                "argument --optimizer_step_limit: invalid int value: 'x'",
            ),
            "two recipes": (["other.yaml"], "'other.yaml' is one argument too many; usage: "),
            "value of a flag": (["--trust=no"], "--trust takes no value: 'no'"),
            "no key": (["--", "x"], "'--' has no key; usage: "),
            "no key to keep it": (
                ["--max_grad_norm", "2"],
                "command line: max_grad_norm is no key of the recipe, so that the run would not tell",
            ),
            "not kept": (
                ["--bfloat16_mix_prec"],
                "command line: --bfloat16_mix_prec is not supported: give --precision",
            ),
            "no groups": (
                ["--remove_vector_weight_decay"],
                "command line: --remove_vector_weight_decay is not supported",
            ),
            "no effect": (
                ["--profile_training"],
                "command line: --profile_training is not supported: there is torch.p",
            ),
            "several GPUs": (
                ["--data_parallel_backend"],
                "command line: --data_parallel_backend is not supported: sev",
            ),
        }
    ),
)
def test_bad_command_lines(base, argv, message):
    assert error_of(parse_arguments, ["--trust", str(base), *argv]).startswith(message)


def test_command_line_without_recipe_lists_them(write, tmp_path, monkeypatch):
    write("base: base.yaml\n", "conformer")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "argv", ["train.py", "--debug"])
    expected = "no recipe given; usage: train.py hparams/NAME.yaml [--key value …]; recipes: base, conformer"
    assert error_of(parse_arguments, None) == expected


def test_only_recipes_with_the_programs_key_are_listed(write, tmp_path, monkeypatch):
    write("language_model: 1\n", "lm")
    write("base: lm.yaml\n", "lm_small")
    write("model: 1\n", "conformer")
    monkeypatch.chdir(tmp_path)
    assert error_of(parse_arguments, [], "", "train_lm.py", "language_model").endswith("; recipes: lm, lm_small")


def test_help_explains_keys_and_lists_run_options(capsys):
    with pytest.raises(SystemExit) as caught:
        parse_arguments(["--help"], "Train a recogniser.")
    text = capsys.readouterr().out
    assert caught.value.code == 0
    assert "Train a recogniser." in text
    assert "--mixer xnor" in text and "--trust" in text
    for option in ("--device VALUE", "--test_only", "--precision VALUE", "--debug", "--compile_module_keys"):
        assert f"  {option} " in text


def test_main_prints_the_flattened_recipe(write, capsys):
    path = write("base: base.yaml\n")
    assert main([str(path), "--trust", "--lr=5e-4", "--precision", "bf16"]) == 0
    assert capsys.readouterr().out == flatten(path, {"lr": "5e-4", "precision": "bf16"})


def test_command_shows_one_line_and_no_traceback(write):
    path = write("base: base.yaml\n\nlearning_rate: 3\n")
    command = [sys.executable, "-m", "recipes.config", str(path), "--trust"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True)
    assert done.returncode == 2
    assert done.stdout == ""
    assert done.stderr == f"error: {path}, line 3: no such key 'learning_rate'; did you mean 'lr'?\n"
