"""Token mixers under one protocol: see ``mixers.base.Mixer``. File name = key in the recipes."""

from mixers.attention import Attention
from mixers.base import Context, Mixer
from mixers.conv_only import ConvOnly
from mixers.cosformer import CosFormer
from mixers.fastformer import FastFormer
from mixers.hypermixing import HyperMixing
from mixers.linear_attention import LinearAttention
from mixers.local_only import LocalOnly
from mixers.mamba import Mamba
from mixers.relpos_attention import RelposAttention
from mixers.summarymixing import SummaryMixing
from mixers.xnor import XNOR

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
