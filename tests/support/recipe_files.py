"""A small base recipe and the classes it builds, for the tests of the configuration."""

from functools import partial

import pytest

from recipes import config
from recipes.errors import RecipeError

CLASSES = __name__  # where recipes find them
# The classes of tests are on no list of what recipes may name.
flatten, load = partial(config.flatten, trust=True), partial(config.load, trust=True)


class Encoder:
    """A signature to check keywords against, and a constructor that can refuse."""

    def __init__(self, d_model, n_layers=2, heads=4, dropout=0.1, mixers=()):
        if d_model % heads:
            raise ValueError(f"heads {heads} do not divide d_model {d_model}")
        self.d_model, self.n_layers, self.heads = d_model, n_layers, heads
        self.dropout, self.mixers = dropout, mixers


class OtherEncoder:
    def __init__(self, d_model, csgu=3072):
        self.d_model, self.csgu = d_model, csgu


class Anything:
    def __init__(self, **keywords):
        self.keywords = keywords


class Table:
    """A constructor with a mistake of its own: a name that it does not have."""

    def __init__(self, name):
        self.entry = {"a": 1}[name]


class Mixer:
    def __init__(self, heads=1):
        self.heads = heads


BASE = f"""\
# The base: paper, cost.

# Where
data_folder: !PLACEHOLDER  # LibriSpeech
output_folder: !ref runs/<recipe>/<mixer_name>/<seed>
recipe: null  # filled: the file's stem
seed: 1

# Training
precision: fp32
lr: 1e-3   # the peak
betas: [0.9, 0.98]

# Model
d_model: 8
d_ffn: !ref <d_model> * 4
layers: 4

# The mixers
mixers:
  summarymixing: !name:{CLASSES}.Mixer {{heads: 4}}  # linear
  attention: !name:{CLASSES}.Mixer
    heads: 8   # per layer
  # cheap
  xnor: !name:{CLASSES}.Mixer

# Their choice
mixer: summarymixing  # one of the table
mixer_name: null  # filled
layer_mixers: null  # filled by the loader

encoder: !new:{CLASSES}.Encoder   # the stack
  d_model: !ref <d_model>
  n_layers: 4
  mixers: !ref <layer_mixers>
parts:
  dropout: 0.1
  search: {{beam: 10, penalties: [1, 2]}}  # valid

# The end
augment: null
"""


@pytest.fixture
def write(tmp_path):
    """Write a recipe beside the base; returns its path."""
    folder = tmp_path / "hparams"
    folder.mkdir()
    (folder / "base.yaml").write_text(BASE)

    def write(text, name="small"):
        path = folder / f"{name}.yaml"
        path.write_text(text)
        return path

    return write


@pytest.fixture
def base(write):
    return write(BASE, "base")


def cases(table: dict) -> dict:
    """The arguments of `pytest.mark.parametrize` for a table from id to case."""
    return {"argvalues": list(table.values()), "ids": list(table)}


def error_of(function, *arguments) -> str:
    with pytest.raises(RecipeError) as caught:
        function(*arguments)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def hparams_of(path, **overrides):
    return load(path, {"data_folder": "/corpus", **overrides}).hparams
