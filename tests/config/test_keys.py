"""The table of recipe keys: complete, and the values that it lets through."""

import os
from pathlib import Path

import pytest

from recipes.config import read_recipe, recipe_content
from recipes.config.keys import KEYS, Role, free_keys, keys_of, values_of
from tests.support.recipe_files import error_of, load

HPARAMS = Path(__file__).parents[2] / "hparams"


def keys_of_recipes() -> set[str]:
    return {key.value for path in HPARAMS.glob("*.yaml") for key, _ in read_recipe(path).root.value}


def test_every_key_of_every_recipe_has_its_role():
    assert keys_of_recipes() - KEYS.keys() == set(), "give these a role and limits in recipes/config/keys.py"


def test_no_key_is_kept_that_no_recipe_has():
    assert KEYS.keys() - keys_of_recipes() == set()


def test_roles_divide_the_keys():
    assert sorted(name for role in Role for name in keys_of(role)) == sorted(KEYS)


def test_what_may_change_between_two_commands_for_one_run():
    assert {"number_of_epochs", "test_splits", "test_search", "workers", "about"} <= free_keys()
    assert free_keys().isdisjoint(keys_of(Role.MODEL, Role.WHERE, Role.FILLED) | {"lr", "seed", "train_splits"})


def test_content_leaves_out_where_a_run_lies_and_how_it_is_kept():
    content = recipe_content("data_folder: x\nworkers: 1\nabout: {purpose: demo}\nlr: 2\nmine: 3\n")
    assert content == {"lr": 2, "mine": 3}


def test_content_of_what_is_no_recipe():
    assert recipe_content("x: !!python/name:os.system\n") == {"x": ["tag:yaml.org,2002:python/name:os.system", ""]}
    for text in ("- a\n", ""):
        message = "runs/recipe.yaml is no recipe: it must consist of `key: value` lines"
        assert error_of(recipe_content, text, "runs/recipe.yaml") == message


PLACES = (
    "2024",
    "1e3",
    "null",
    "true",
    "2024-01-01",
    "~",
    "[a]",
    "a: b",
    "{x}",
    "a # b",
    "it's",
    " b ",
    "- a",
    "'x",
    "é",
)


@pytest.mark.parametrize("name", PLACES)
def test_a_folder_may_be_called_anything(name, write, base):
    hparams = load(base, {"data_folder": name, "output_folder": name}).hparams
    assert hparams["data_folder"] == name
    assert hparams["output_folder"] == os.path.expanduser(name)
    kept = write(load(base, {"data_folder": name}).text, "kept")
    assert load(kept).hparams["data_folder"] == name


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("'2024'", "2024"),
        ('"a b"', "a b"),
        ("!ref runs/<seed>", "runs/1"),
    ],
)
def test_text_may_be_quoted_or_a_reference(typed, expected, base):
    assert load(base, {"data_folder": typed}).hparams["data_folder"] == expected


def test_a_folder_called_like_a_number_in_a_file(write):
    assert load(write("base: base.yaml\ndata_folder: 2024  # mine\n")).hparams["data_folder"] == "2024"
    path = write("data_folder: null\n")
    assert error_of(load, path) == f"{path}: data_folder must be a text, not null"


@pytest.mark.parametrize(
    ("typed", "expected"),
    [
        ("null", None),
        ("2024", "2024"),
        ("[2024, a b.txt.gz, 'null']", ["2024", "a b.txt.gz", "null"]),
        ("[]", []),
        ("a, b", "a, b"),
    ],
)
def test_texts_are_one_or_a_list_or_null(typed, expected, write):
    assert load(write("train_text: x\n"), {"train_text": typed}).hparams == {"train_text": expected}


def test_text_without_a_value(base):
    assert error_of(load, base, {"data_folder": " "}) == "command line: --data_folder has no value"
    assert error_of(load, base, {"data_folder": True}) == "command line: --data_folder needs a value"


def test_a_key_of_ones_own_may_be_anything(write):
    assert load(write("mine: [1, x]\n")).hparams == {"mine": [1, "x"]}
    assert values_of("mine").accept(None)


def test_values_behind_a_reference_are_checked_when_they_are_known(write):
    path = write("width: 4\nd_model: !ref <width> - 8\n")
    assert error_of(load, path) == f"{path}: d_model must be a whole number from 1 up, not -4"
    path = write("width: 4\nd_model: !ref <width> / 2\n")
    assert error_of(load, path) == f"{path}: d_model must be a whole number from 1 up, not 2.0"


def test_learning_rate_of_the_optimizer(write):
    text = "lr: 1\nopt_class: !name:torch.optim.Adam {lr: !ref <lr>}\n"
    assert load(write(text)).hparams["opt_class"].keywords == {"lr": 1}
    path = write(text)
    message = f"{path}: opt_class.lr has no effect, for the schedule sets the rate of every step from lr: give --lr 0.5"
    assert error_of(load, path, {"opt_class.lr": "0.5"}) == message
    assert error_of(load, write(text.replace("!ref <lr>", "0.5"))) == message
