"""What a stranger's recipe cannot do: nothing that is not on the list is imported, built or run."""

import importlib.util
import json
import sys
from pathlib import Path

import pytest
import torch

import evaluate
import mixers
import train
from recipes.asr import SavedRun
from recipes.config import flatten, load
from recipes.config.__main__ import main as print_recipe
from recipes.describe import describe
from recipes.errors import RecipeError
from recipes.inference.export.__main__ import main as export
from recipes.lm import load_language_model

NOT_LISTED = "is not on the list of what a recipe may name"
# `{touch}`: a shell command that leaves a file behind; `{code}`: Python that does. `evil`: a module beside the recipe.
HOSTILE = {
    "a function": ("x: !apply:os.system [{touch}]", NOT_LISTED),
    "a function that is kept": ("x: !name:os.system", NOT_LISTED),
    "a program": ("x: !new:subprocess.Popen {{args: {touch}, shell: true}}", NOT_LISTED),
    "a program through a function": ("x: !apply:subprocess.run {{args: {touch}, shell: true}}", NOT_LISTED),
    "eval": ("x: !apply:builtins.eval [{code}]", NOT_LISTED),
    "eval without its module": ("x: !apply:eval [{code}]", NOT_LISTED),
    "getattr": ("x: !apply:getattr [1, real]", NOT_LISTED),
    "code of torch.hub": ("x: !apply:torch.hub.load {{repo_or_dir: a/b, model: c}}", NOT_LISTED),
    "a pickle": ("x: !apply:torch.load {{f: {here}/evil.pt, weights_only: false}}", NOT_LISTED),
    "a pickle as an argument": ("x: !new:torch.nn.Sequential [!apply:torch.load [{here}/evil.pt]]", NOT_LISTED),
    "an import": ("x: !name:evil.Evil", NOT_LISTED),
    "a module": ("x: !module:evil", "unknown tag '!module:evil'"),
    "a function at once": ("x: !applyref:os.system [{touch}]", "unknown tag '!applyref:os.system'"),
    "another file": ("x: !include:evil.yaml", "!include cannot stand in a recipe"),
    "YAML's own": ("x: !!python/object/apply:os.system [{touch}]", "unknown tag '!!python/object/apply:os.system'"),
    "YAML's own name": ("x: !!python/name:os.system", "unknown tag '!!python/name:os.system'"),
    "YAML's own, verbatim": (
        "x: !<tag:yaml.org,2002:python/object/apply:os.system> [{touch}]",
        "unknown tag '!!python/object/apply:os.system'",
    ),
    "YAML's own as a key": ("? !!python/object/apply:os.system [{touch}]\n: 1", "a key must be a plain word"),
    "a key with a tag": ("? !!python/name:os.system ''\n: 1", "a key must be a plain word"),
    "through a module of ours": ("x: !apply:mixers.testing.torch.hub.load [a/b, c]", "mixers.testing.torch.hub.load'"),
    "through a face": ("x: !apply:recipes.models.recogniser.torch.load [{here}/evil.pt]", NOT_LISTED),
    "a module of ours behind its face": ("x: !new:recipes.training.logger.RunLogger [{here}/made]", NOT_LISTED),
    "what a face imports": ("x: !name:mixers.inspect", "there is no 'inspect' in 'mixers'"),
    "a module of torch.nn": ("x: !name:torch.nn.modules.torch.load", NOT_LISTED),
    "what torch.nn imports": ("x: !name:torch.nn.modules", "there is no 'modules' in 'torch.nn'"),
    "inside a list inside a table": ("x: {{a: [1, {{b: !apply:os.system [{touch}]}}]}}", NOT_LISTED),
    "in the words about it": ("about: {{ours: !apply:os.system [{touch}]}}", NOT_LISTED),
    "YAML's own by another name": (
        "%TAG ! tag:yaml.org,2002:python/\n---\nx: !name:os.system",
        "unknown tag '!!python/",
    ),
    "a tag by another name": ("%TAG !n! !apply:\n---\nx: !n!os.system [{touch}]", NOT_LISTED),
    "letters written as numbers": ("x: !apply:os%2Esystem [{touch}]", NOT_LISTED),
    "a private attribute": ("a: !new:mixers.ConvOnly [4]\nx: !ref <a.__class__>", "begins with _"),
}


@pytest.fixture
def hostile(tmp_path):
    """Write a recipe that would leave a file `evil` behind; returns its path and how to tell."""

    def write(text: str, name: str = "mine.yaml") -> Path:
        touch, code = f"touch {tmp_path}/evil", f"open('{tmp_path}/evil', 'w')"
        path = tmp_path / "recipes" / name
        path.parent.mkdir(exist_ok=True)
        path.write_text(text.format(touch=json.dumps(touch), code=json.dumps(code), here=tmp_path) + "\n")
        (path.parent / "evil.py").write_text(f"{code}\n\n\nclass Evil:\n    pass\n")
        (path.parent / "evil.yaml").write_text(f"y: !apply:os.system [{touch}]\n")
        return path

    torch.save({"x": Evil(str(tmp_path / "evil"))}, tmp_path / "evil.pt")
    yield write
    assert not (tmp_path / "evil").exists(), "it ran"
    assert "evil" not in sys.modules


class Evil:
    def __init__(self, path: str):
        self.path = path

    def __reduce__(self):
        return open, (self.path, "w")


@pytest.mark.parametrize(("text", "message"), HOSTILE.values(), ids=HOSTILE)
@pytest.mark.parametrize("name", ["mine.yaml", "recipe.yaml"])
@pytest.mark.parametrize("function", [flatten, load])
def test_hostile_recipes(text, message, name, function, hostile):
    path = hostile(text, name)
    with pytest.raises(RecipeError) as error:
        function(path)
    assert message in str(error.value) and str(error.value).startswith(f"{path}")
    assert "\n" not in str(error.value)


TUPLES = {
    "plain": ("x: (!!python/object/apply:os.system [{touch}], 1)", RecipeError),
    "with its tag": ("x: !tuple (!!python/object/apply:os.system [{touch}], 1)", RecipeError),
    "quoted": ("x: '(!!python/object/apply:os.system [{touch}], 1)'", str),
    "put together": ("a: '(!!python/object/apply:os.system [{touch}]'\nx: !ref <a>, 1)", str),
}


@pytest.mark.parametrize(("text", "kind"), TUPLES.values(), ids=TUPLES)
def test_tuples_hold_plain_values(text, kind, hostile):
    """HyperPyYAML reads their inside with a loader that builds anything."""
    try:
        value = load(hostile(text)).hparams["x"]
    except RecipeError as error:
        value = error
    assert isinstance(value, kind)


def test_tuples(hostile):
    path = hostile("a: (3, 4)\nb: !new:mixers.ConvOnly {{d_model: 4}}\nc: (x, 0.5, true)\nd: ()\n")
    hparams = load(path).hparams
    assert (hparams["a"], hparams["c"], hparams["d"]) == ((3, 4), ("x", 0.5, True), ())


def test_a_base_counts_too(hostile):
    base = hostile("x: !apply:os.system [{touch}]", "base.yaml")
    path = hostile("base: base.yaml\nx: 1")
    with pytest.raises(RecipeError, match=NOT_LISTED) as error:
        load(path)
    assert str(error.value).startswith(f"{base}, line 1: ")


def test_the_command_line_counts_too(hostile):
    with pytest.raises(RecipeError, match=f"command line: 'os.system' {NOT_LISTED}"):
        load(hostile("x: 1"), {"x": "!apply:os.system [true]"})


# --- programs -------------------------------------------------------------------------------------------------------


@pytest.fixture
def hostile_run(hostile):
    """A run folder of a stranger's."""
    path = hostile("x: !apply:os.system [{touch}]\nmodel: null\nlanguage_model: null", "recipe.yaml")
    (path.parent / "tokenizer").mkdir()
    for name in ("averaged.ckpt", "tokenizer/tokenizer.model"):
        (path.parent / name).write_bytes(b"")
    return path.parent


PROGRAMS = {
    "train.py": lambda run: train.main([str(run / "recipe.yaml"), "--test_only"]),
    "evaluate.py": lambda run: evaluate.main([str(run)]),
    "recipes.config": lambda run: print_recipe([str(run / "recipe.yaml")]),
}
FUNCTIONS = {
    "a saved run": lambda run: SavedRun(run, {}),
    "a language model": load_language_model,
    "a description": lambda run: describe(run / "recipe.yaml"),
}


@pytest.mark.parametrize("program", PROGRAMS.values(), ids=PROGRAMS)
def test_programs_refuse_a_strangers_run(program, hostile_run, capsys):
    assert program(hostile_run) == 2
    assert capsys.readouterr().err.startswith(f"error: {hostile_run}/recipe.yaml, line 1: 'os.system' {NOT_LISTED}")


@pytest.mark.parametrize("function", FUNCTIONS.values(), ids=FUNCTIONS)
def test_functions_refuse_a_strangers_run(function, hostile_run):
    with pytest.raises(RecipeError, match=NOT_LISTED):
        function(hostile_run)


# --- what may be named ----------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["mixers.XNOR", "recipes.models.Conformer", "torch.nn.Linear", "torch.optim.AdamW", "recipes.training.noam"]
)
@pytest.mark.parametrize("file", ["mine.yaml", "recipe.yaml"])
def test_listed_names(name, file, hostile):
    assert load(hostile(f"x: !name:{name}", file)).hparams["x"].__name__ == name.rpartition(".")[2]


def test_the_seed_is_set(hostile):
    load(hostile("x: !apply:torch.manual_seed [7]", "recipe.yaml"))
    assert torch.initial_seed() == 7


@pytest.fixture
def own_mixer(tmp_path, monkeypatch):
    """`mixers/my_own.py`, as far as imports can tell."""
    folder = tmp_path / "mixers"
    folder.mkdir()
    (folder / "my_own.py").write_text(
        "from pathlib import Path\n\n\nclass Mine:\n    pass\n\n\ndef make():\n    pass\n"
    )
    monkeypatch.setattr(mixers, "__path__", [*mixers.__path__, str(folder)])
    yield "mixers.my_own.Mine"
    sys.modules.pop("mixers.my_own", None)
    vars(mixers).pop("my_own", None)


def test_own_mixers_in_an_own_recipe(own_mixer, hostile):
    assert load(hostile(f"x: !name:{own_mixer}")).hparams["x"].__name__ == "Mine"
    assert load(hostile("x: 1"), {"x": f"!name:{own_mixer}"}).hparams["x"].__name__ == "Mine"


def test_own_mixers_in_a_run_folder_need_trust(own_mixer, hostile, capsys):
    of_tests = "data_folder: none\nmixer: x\nworkers: 0\ntest_batch_seconds: 1\ntest_search: null\nvalid_search: null"
    model = f"mixers:\n  x: !name:{own_mixer}\nlayers: 1\nmodel: !new:torch.nn.Identity\nlm_folder: null"
    path = hostile(f"x: !name:{own_mixer}\n{of_tests}\n{model}", "recipe.yaml")
    with pytest.raises(RecipeError, match=NOT_LISTED):
        load(path)
    assert load(path, trust=True, training=False).hparams["x"].__name__ == "Mine"
    assert evaluate.main([str(path.parent), "--trust"]) == 2
    no_tokenizer = f"error: {path.parent} has no tokenizer/tokenizer.model"
    assert capsys.readouterr().err.startswith(no_tokenizer)
    if importlib.util.find_spec("onnx") and importlib.util.find_spec("onnxscript"):
        assert export([str(path.parent), str(path.parent / "model.onnx")]) == 2
        assert NOT_LISTED in capsys.readouterr().err
        assert export([str(path.parent), str(path.parent / "model.onnx"), "--trust"]) == 2
        assert capsys.readouterr().err.startswith(no_tokenizer)


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("mixers.my_own.Path", NOT_LISTED),
        ("mixers.my_own.make", NOT_LISTED),
        ("mixers.my_own.Mime", "there is no 'Mime' in 'mixers.my_own'; did you mean 'Mine'?"),
        ("mixers.my_won.Mine", "cannot find 'mixers.my_won.Mine': there is no module 'mixers.my_won'"),
        ("mixers.my_own.Path.home", "there is no module 'mixers.my_own.Path'"),
    ],
)
def test_names_in_a_module_of_mixers(name, message, own_mixer, hostile):
    with pytest.raises(RecipeError) as error:
        load(hostile(f"x: !name:{name}"))
    assert message in str(error.value)


def test_a_module_beside_the_recipe_needs_trust(tmp_path, monkeypatch):
    (tmp_path / "beside_recipe.py").write_text("class Mine:\n    pass\n")
    path = tmp_path / "mine.yaml"
    path.write_text("x: !new:beside_recipe.Mine\n")
    monkeypatch.setattr(sys, "path", list(sys.path))
    with pytest.raises(RecipeError, match=NOT_LISTED):
        load(path)
    assert "beside_recipe" not in sys.modules
    assert type(load(path, trust=True).hparams["x"]).__name__ == "Mine"
    assert print_recipe([str(path), "--trust"]) == 0
    del sys.modules["beside_recipe"]


def test_not_even_trust_lets_yaml_build_anything(hostile):
    for text in ("x: !!python/object/apply:os.system [{touch}]", "x: !module:os", TUPLES["plain"][0]):
        with pytest.raises(RecipeError):
            load(hostile(text), trust=True)


def test_a_base_is_no_way_round(hostile):
    """What a run folder's recipe builds on may name as little."""
    path = hostile("base: mixer.yaml", "recipe.yaml")
    hostile("x: !name:mixers.attention.Attention", "mixer.yaml")
    with pytest.raises(RecipeError, match=NOT_LISTED):
        load(path)
