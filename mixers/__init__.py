"""Token mixers under one protocol, ``mixers.Mixer``: ``build("summarymixing", 512, heads=4)``, or a class itself.

Each key of ``MIXERS`` is a file of the same name with that mixer. The other files hold what mixers share:

    base                    the protocol, masks and padding, checks of options
    chunks                  sums over the frames that a chunk may see, and how a stream keeps them
    directions              sums over the frames before or after each frame, in linear time
    products                matrix products over time that are safe in float16
    feature_map_attention   the base class of linear attention, cosFormer, XNOR and their relatives
    summaries, placed_summaries     what SummaryMixing takes as its summary: a mean, or one that knows positions
    scans, decays           the base class of Mamba and Mamba-2, and decays that depend on the frame
    positions, norms, convolution, dropout, scaled_dot_product      small functions

``mixers.testing.check_mixer`` runs the contract of the protocol on a mixer of your own.
"""

import difflib
import inspect
from collections.abc import Collection

from .attention import Attention
from .base import Context, Mixer
from .conv_only import ConvOnly
from .cosformer import CosFormer
from .directional_attention import DirectionalAttention
from .fastformer import FastFormer
from .gated_delta import GatedDelta
from .hypermixing import HyperMixing
from .linear_attention import LinearAttention
from .local_attention import LocalAttention
from .local_only import LocalOnly
from .mamba import Mamba
from .mamba2 import Mamba2
from .polynomial_mixing import PolynomialMixing
from .relpos_attention import RelposAttention
from .retention import Retention
from .rotary_linear_attention import RotaryLinearAttention
from .summarymixing import SummaryMixing
from .taylor_attention import TaylorAttention
from .xnor import XNOR

__version__ = "0.1.0"

# Keys are the file names, and the names in the recipes.
MIXERS: dict[str, type[Mixer]] = {
    "summarymixing": SummaryMixing,
    "local_only": LocalOnly,
    "hypermixing": HyperMixing,
    "xnor": XNOR,
    "linear_attention": LinearAttention,
    "directional_attention": DirectionalAttention,
    "rotary_linear_attention": RotaryLinearAttention,
    "taylor_attention": TaylorAttention,
    "retention": Retention,
    "gated_delta": GatedDelta,
    "local_attention": LocalAttention,
    "polynomial_mixing": PolynomialMixing,
    "cosformer": CosFormer,
    "fastformer": FastFormer,
    "mamba": Mamba,
    "mamba2": Mamba2,
    "conv_only": ConvOnly,
    "attention": Attention,
    "relpos_attention": RelposAttention,
}

__all__ = [
    "MIXERS",
    "XNOR",
    "Attention",
    "Context",
    "ConvOnly",
    "CosFormer",
    "DirectionalAttention",
    "FastFormer",
    "GatedDelta",
    "HyperMixing",
    "LinearAttention",
    "LocalAttention",
    "LocalOnly",
    "Mamba",
    "Mamba2",
    "Mixer",
    "PolynomialMixing",
    "RelposAttention",
    "Retention",
    "RotaryLinearAttention",
    "SummaryMixing",
    "TaylorAttention",
    "__version__",
    "build",
]


def build(name: str, d_model: int, **options) -> Mixer:
    """The mixer ``name``, a key of ``MIXERS``, for frames of ``d_model`` features, with options of its class.

    Raises ValueError for an unknown name or option, with the nearest one, and as the class does for a wrong value.
    """
    if name not in MIXERS:
        raise ValueError(f"no mixer '{name}'{_did_you_mean(name, MIXERS)}")
    mixer = MIXERS[name]
    accepted = [option for option in inspect.signature(mixer).parameters if option != "d_model"]
    for option in options:
        if option not in accepted:
            raise ValueError(f"{mixer.__name__} has no option '{option}'{_did_you_mean(option, accepted)}")
    return mixer(d_model, **options)


def _did_you_mean(name: str, choices: Collection[str]) -> str:
    """The end of an error message: the nearest of ``choices``, or all of them where none is near."""
    near = difflib.get_close_matches(name, choices, n=1)
    if near:
        return f"; did you mean '{near[0]}'?"
    return f"; there are {', '.join(choices)}" if choices else "; it has none"
