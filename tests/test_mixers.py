"""The contract, on every mixer and its variants; and the errors of their constructors."""

from functools import partial

import pytest

from mixers import (
    XNOR,
    Attention,
    ConvOnly,
    CosFormer,
    FastFormer,
    HyperMixing,
    LinearAttention,
    LocalOnly,
    Mamba,
    RelposAttention,
    SummaryMixing,
)
from tests.contract import CHECKS, allocations, fresh

MIXERS = {
    "summarymixing": SummaryMixing,
    "summarymixing-heads4": partial(SummaryMixing, heads=4, hidden_sizes=[24, 8], local_size=12, summary_size=20),
    "summarymixing-lite": partial(SummaryMixing, variant="lite", heads=4),
    "summarymixing-fast": partial(SummaryMixing, variant="fast", heads=2),
    "summarymixing-expdecay": partial(SummaryMixing, variant="expdecay", decay=0.8),
    "local_only": LocalOnly,
    "conv_only": ConvOnly,
    "hypermixing": HyperMixing,
    "hypermixing-heads1-tied": partial(HyperMixing, heads=1, hypernet_size=12, tied=True),
    "xnor": XNOR,
    "xnor-cos": partial(XNOR, variant="cos"),
    "xnor-weighted-heads1-sigmoid": partial(XNOR, variant="weighted", heads=1, feature_map="sigmoid"),
    "xnor-gated": partial(XNOR, variant="gated"),
    "xnor-term_gated": partial(XNOR, variant="term_gated"),
    "linear_attention": LinearAttention,
    "linear_attention-heads1-softmax": partial(LinearAttention, heads=1, feature_map="softmax"),
    "cosformer": CosFormer,
    "fastformer": FastFormer,
    "fastformer-heads1-untied": partial(FastFormer, heads=1, tied=False),
    "mamba": Mamba,
    "mamba-small": partial(Mamba, state_size=4, expansion=1, conv_size=2, step_rank=3),
    "attention": Attention,
    "attention-heads1-model-scale": partial(Attention, heads=1, scale="model"),
    "relpos_attention": RelposAttention,
    "relpos_attention-heads1": partial(RelposAttention, heads=1),
}


@pytest.mark.parametrize("check", CHECKS, ids=lambda check: check.__name__.removeprefix("check_"))
@pytest.mark.parametrize("key", MIXERS)
def test_contract(key, check):
    check(MIXERS[key])


def test_quadratic_memory_is_seen():
    """The watch of the contract would see a T x T tensor if a linear mixer made one."""
    frames = 4096
    seen = allocations(fresh(MIXERS["relpos_attention-heads1"]).float(), frames, None)
    assert seen.largest >= frames * frames
