"""The public names of `mixers`, and `build`: a mixer by its name."""

import inspect
import re
from types import ModuleType

import pytest
import torch

import mixers
import mixers.testing
from tests.support.runs import ROOT

PUBLIC = [
    *["Attention", "ConvOnly", "CosFormer", "DirectionalAttention", "FastFormer", "GatedDelta", "HyperMixing"],
    *["LinearAttention", "LocalAttention", "LocalOnly", "Mamba", "Mamba2", "PolynomialMixing", "RelposAttention"],
    *["Retention", "RotaryLinearAttention", "SummaryMixing", "TaylorAttention", "XNOR"],
    *["Mixer", "Context", "MIXERS", "build", "__version__"],
]


def test_public_names():
    """What other code may rely on; a name is added or taken away here and in the changelog."""
    assert sorted(mixers.__all__) == sorted(PUBLIC)
    assert sorted(mixers.testing.__all__) == ["Build", "CHECKS", "Check", "check_mixer"]
    others = {name for name, value in vars(mixers).items() if not name.startswith("_") and name not in PUBLIC}
    standard = {"Collection", "difflib", "inspect"}
    assert all(isinstance(getattr(mixers, name), ModuleType) for name in others - standard)


def test_every_mixer_has_a_name():
    """The names are those of the files and of the recipes' table."""
    classes = {value for value in vars(mixers).values() if inspect.isclass(value) and issubclass(value, mixers.Mixer)}
    assert set(mixers.MIXERS.values()) == classes - {mixers.Mixer}
    for name, mixer in mixers.MIXERS.items():
        assert mixer.__module__ == f"mixers.{name}"
    base = (ROOT / "hparams" / "conformer.yaml").read_text()
    table = dict(re.findall(r"^  (\w+): !name:mixers\.(\w+)$", base, re.MULTILINE))
    assert table == {name: mixer.__name__ for name, mixer in mixers.MIXERS.items()}


@pytest.mark.parametrize("name", mixers.MIXERS)
def test_build_by_name(name):
    mixer = mixers.build(name, 32)
    assert type(mixer) is mixers.MIXERS[name]
    assert mixer(torch.randn(1, 3, 32)).shape == (1, 3, 32)
    assert mixer.paper is None or re.fullmatch(r"\d{4}\.\d{5}", mixer.paper)
    assert (mixer.paper is None) == (mixer.year is None)


def test_build_with_options():
    torch.manual_seed(0)
    built = mixers.build("summarymixing", 16, heads=4, variant="lite").state_dict()
    torch.manual_seed(0)
    direct = mixers.SummaryMixing(16, heads=4, variant="lite").state_dict()
    assert built.keys() == direct.keys() and all(torch.equal(built[name], direct[name]) for name in direct)


ALL = ", ".join(mixers.MIXERS)
ERRORS = {
    "near name": (("sumarymixing", {}), "no mixer 'sumarymixing'; did you mean 'summarymixing'?"),
    "no near name": (("zzz", {}), f"no mixer 'zzz'; there are {ALL}"),
    "near option": (("xnor", {"haeds": 4}), "XNOR has no option 'haeds'; did you mean 'heads'?"),
    "no near option": (
        ("xnor", {"zzz": 4}),
        "XNOR has no option 'zzz'; there are heads, variant, feature_map, directions, output_scale",
    ),
    "no options": (("conv_only", {"heads": 4}), "ConvOnly has no option 'heads'; it has none"),
    "wrong value": (("xnor", {"heads": 5}), "XNOR: heads 5 must divide d_model 16"),
}


@pytest.mark.parametrize("arguments, message", ERRORS.values(), ids=ERRORS.keys())
def test_build_errors(arguments, message):
    name, options = arguments
    with pytest.raises(ValueError) as error:
        mixers.build(name, 16, **options)
    assert str(error.value) == message
