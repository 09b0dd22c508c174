"""Token mixers under one protocol: see ``mixers.base.Mixer``."""

from mixers.attention import Attention
from mixers.base import Context, Mixer
from mixers.conv_only import ConvOnly
from mixers.local_only import LocalOnly
from mixers.relpos_attention import RelposAttention
from mixers.summarymixing import SummaryMixing

__all__ = ["Attention", "Context", "ConvOnly", "LocalOnly", "Mixer", "RelposAttention", "SummaryMixing"]
