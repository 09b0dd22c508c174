"""Token mixers under one protocol: see ``mixers.base.Mixer``. File name = key in the recipes."""

from .attention import Attention
from .base import Context, Mixer
from .conv_only import ConvOnly
from .cosformer import CosFormer
from .fastformer import FastFormer
from .hypermixing import HyperMixing
from .linear_attention import LinearAttention
from .local_only import LocalOnly
from .mamba import Mamba
from .relpos_attention import RelposAttention
from .summarymixing import SummaryMixing
from .xnor import XNOR

__all__ = [
    "XNOR",
    "Attention",
    "Context",
    "ConvOnly",
    "CosFormer",
    "FastFormer",
    "HyperMixing",
    "LinearAttention",
    "LocalOnly",
    "Mamba",
    "Mixer",
    "RelposAttention",
    "SummaryMixing",
]
