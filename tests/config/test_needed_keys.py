"""A recipe without a key that training needs is refused before anything is written, not by a traceback later."""

import ast
import re
from pathlib import Path

import pytest

from recipes.config import flatten, load
from recipes.config.keys import NEEDED, TO_TEST, WHOLE
from recipes.config.limits import check_needed
from recipes.errors import RecipeError

ROOT = Path(__file__).parents[2]
PROGRAMS = {"model": ("asr", "training", "bakeoff"), "language_model": ("lm", "training")}
SETTINGS = {
    "model": {"data_folder": "none", "d_model": 16, "heads": 2, "layers": 1, "decoder_layers": 1},
    "language_model": {
        "tokenizer": "none",
        "train_text": "a",
        "valid_text": "b",
        "d_model": 16,
        "heads": 2,
        "layers": 1,
    },
}
FOLLOW = {"mixer_name": "mixer"}  # filled by the loader
ASKED_BEFORE = {"init_from", "freeze"}  # where it is read
BY_USE = {"f'{use}_splits'": "_splits", "f'{use}_text'": "_text"}


def whole(model: str) -> dict[str, str]:
    """The base recipe, flat: the text of each key."""
    text = flatten(ROOT / "hparams" / WHOLE[model], SETTINGS[model])
    parts = re.split(r"^(?=\w+:)", text, flags=re.MULTILINE)
    return {part.partition(":")[0]: part for part in parts[1:]}


def read_without_asking(folder: Path) -> set[str]:
    """The keys that a program takes from `hparams` by index or as an attribute."""
    keys = set()
    for file in folder.rglob("*.py"):
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8"))):
            of_hparams = isinstance(node, ast.Subscript | ast.Attribute) and ast.unparse(node.value).endswith("hparams")
            if not of_hparams or not isinstance(node.ctx, ast.Load):
                continue
            if isinstance(node, ast.Attribute):
                keys.add(node.attr)
            else:
                keys.add(node.slice.value if isinstance(node.slice, ast.Constant) else ast.unparse(node.slice))
    return keys - {"get", "items", "self.model_key", "key"} - ASKED_BEFORE


@pytest.mark.parametrize("model", NEEDED)
def test_the_table_has_every_key_that_programs_read_without_asking(model):
    needed = {*NEEDED[model], model}
    for folder in PROGRAMS[model]:
        keys = read_without_asking(ROOT / "recipes" / folder)
        assert keys, "the test has lost its object"
        by_use = {key for key, ending in BY_USE.items() if any(name.endswith(ending) for name in needed)}
        assert {FOLLOW.get(key, key) for key in keys} <= needed | by_use


@pytest.mark.parametrize("model", NEEDED)
def test_the_base_has_every_needed_key(model):
    assert set(NEEDED[model]) <= whole(model).keys()


@pytest.mark.parametrize(
    ("model", "keys"), [("model", ["workers"]), ("language_model", ["workers", "shuffle_sentences"])]
)
def test_a_recipe_without_a_needed_key_is_refused_in_one_line(model, keys, tmp_path):
    texts = whole(model)
    for key in keys:
        del texts[key]
    recipe = tmp_path / "mine.yaml"
    recipe.write_text("".join(texts.values()), encoding="utf-8")
    with pytest.raises(RecipeError) as raised:
        load(recipe)
    assert str(raised.value) == (
        f"{recipe}: no key {', '.join(keys)}: see hparams/{WHOLE[model]}, which has them all, or name it as base"
    )


def test_what_tests_a_run_asks_only_for_what_it_reads():
    check_needed("recipe.yaml", dict.fromkeys(("model", *TO_TEST)), {"model": TO_TEST})
    with pytest.raises(RecipeError, match=r"recipe\.yaml: no key lm_folder: see hparams"):
        check_needed("recipe.yaml", dict.fromkeys({"model", *TO_TEST} - {"lm_folder"}), {"model": TO_TEST})


@pytest.mark.parametrize("model", WHOLE)
def test_a_whole_recipe_has_no_key_that_nothing_reads(model, tmp_path):
    """It has no base that would miss the key."""
    recipe, keys = tmp_path / "mine.yaml", whole(model)
    recipe.write_text("".join(keys.values()) + "batch_second: 4\n", encoding="utf-8")
    with pytest.raises(RecipeError, match=r"mine.yaml, line \d+: no such key 'batch_second'; did you mean 'batch_sec"):
        load(recipe)
    keys["number_of_epochs"] = "number_of_epochs: !ref <rounds>\n"
    recipe.write_text("".join(keys.values()) + "rounds: 4\n_mine: 5\ndevice: cpu\n", encoding="utf-8")
    assert load(recipe).hparams["number_of_epochs"] == 4
