"""The hyperparams.yaml of a release: a language model's recipe becomes part of another."""

import pytest

from recipes.config.merge import dump
from recipes.config.source import Source, compose
from recipes.errors import RecipeError
from recipes.inference.release.hyperparams import resolved


def value(text: str) -> list[str]:
    recipe = Source("lm.yaml", text, compose(text, "lm.yaml"))
    return dump(resolved(recipe.find("lm"), recipe)).split()


def test_expressions_keep_their_value_in_another_recipe():
    """A language model's `<d_model> * 4` would mean the recogniser's d_model once both are one recipe."""
    numbers = "d_model: 128\nheads: !ref <d_model> // 32\n"
    assert value(numbers + "lm:\n  ffn: !ref <d_model> * 4\n  heads: [!ref <heads>, !ref <heads> + 0.5]\n") == [
        *("ffn:", "512"),
        *("heads:", "[4,", "4.5]"),
    ]


@pytest.mark.parametrize(
    "recipe",
    [
        "name: a\nlm: !ref <name>_<name>\n",
        'name: "4\\nrun: !apply:os.mkdir [made]"\nlm: !ref <name>_\n',
        'name: 4\nlm: !ref "<name>_\\nrun: !apply:os.mkdir [made]"\n',
    ],
    ids=["a text", "code in a value", "code in the expression"],
)
def test_what_is_no_number_is_refused_and_nothing_of_it_is_run(recipe, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(RecipeError):
        value(recipe)
    assert not (tmp_path / "made").exists()
