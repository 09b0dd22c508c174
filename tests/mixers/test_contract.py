"""The contract, on every mixer and its variants; and the errors of their constructors."""

import re
from functools import partial

import pytest
import torch

from mixers import (
    MIXERS,
    XNOR,
    Attention,
    Context,
    ConvOnly,
    CosFormer,
    DirectionalAttention,
    FastFormer,
    GatedDelta,
    HyperMixing,
    LinearAttention,
    LocalAttention,
    LocalOnly,
    Mamba,
    Mamba2,
    PolynomialMixing,
    RelposAttention,
    Retention,
    RotaryLinearAttention,
    SummaryMixing,
    TaylorAttention,
)
from mixers.base import Mixer
from mixers.testing import CHECKS
from mixers.testing.cost import count_allocations
from mixers.testing.inputs import random_mixer
from mixers.testing.tools import check_compile

VARIANTS = {
    "summarymixing": SummaryMixing,
    "summarymixing-heads4": partial(SummaryMixing, heads=4, hidden_sizes=[24, 8], local_size=12, summary_size=20),
    "summarymixing-lite": partial(SummaryMixing, variant="lite", heads=4),
    "summarymixing-fast": partial(SummaryMixing, variant="fast", heads=2),
    "summarymixing-expdecay": partial(SummaryMixing, variant="expdecay", decay=0.8),
    "summarymixing-windowed": partial(SummaryMixing, variant="windowed", window=2, norm=True),
    "summarymixing-norm": partial(SummaryMixing, norm=True, summary_size=12),
    "summarymixing-directions": partial(SummaryMixing, directions=["future", "whole", "whole", "past"]),
    "summarymixing-past-lite": partial(SummaryMixing, variant="lite", directions=["past"]),
    "summarymixing-rotary": partial(SummaryMixing, rotary=0.5),
    "summarymixing-rotary-odd": partial(SummaryMixing, summary_size=7, rotary=1.0),
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
    "directional_attention": DirectionalAttention,
    "directional_attention-softmax": partial(
        DirectionalAttention, feature_map="softmax", directions=["past", "future"]
    ),
    "rotary_linear_attention": RotaryLinearAttention,
    "rotary_linear_attention-elu": partial(RotaryLinearAttention, feature_map="elu", directions=["whole", "past"]),
    "taylor_attention": partial(TaylorAttention, head_size=4),
    "taylor_attention-whole": partial(TaylorAttention, head_size=2, directions=["whole"]),
    "xnor-directions": partial(XNOR, variant="gated", directions=["past", "future", "whole", "whole"]),
    "xnor-future": partial(XNOR, directions=["future"]),
    "cosformer-directions": partial(CosFormer, directions=["whole", "future", "past"]),
    "retention": Retention,
    "retention-directions": partial(Retention, directions=["future", "past", "whole"]),
    "gated_delta": GatedDelta,
    "gated_delta-channel": partial(GatedDelta, decay="channel", heads=2),
    "local_attention": LocalAttention,
    "local_attention-window3": partial(LocalAttention, window=3, tokens=1, heads=2),
    "polynomial_mixing": PolynomialMixing,
    "polynomial_mixing-degree3": partial(PolynomialMixing, degree=3, size=10),
    "cosformer": CosFormer,
    "fastformer": FastFormer,
    "fastformer-heads1-untied": partial(FastFormer, heads=1, tied=False),
    "mamba": Mamba,
    "mamba-separate": partial(Mamba, separate=True, state_size=4),
    "mamba2": Mamba2,
    "mamba2-causal": partial(Mamba2, causal=True, state_size=4, expansion=1),
    "attention": Attention,
    "attention-heads1-model-scale": partial(Attention, heads=1, scale="model"),
    "relpos_attention": RelposAttention,
}


def cases():
    """Every check on every variant; torch.compile, half the time of them all, on the first variant of a class."""
    compiled = set()
    for key, build in VARIANTS.items():
        name = getattr(build, "func", build).__name__
        for check in CHECKS:
            if check is not check_compile or name not in compiled:
                yield pytest.param(build, check, id=f"{key}-{check.__name__.removeprefix('check_')}")
        compiled.add(name)


@pytest.mark.parametrize("build, check", cases())
def test_contract(build, check):
    check(build)


def test_quadratic_memory_is_seen():
    """The contract would see a T x T tensor if a linear mixer made one."""

    class AllPairs(Mixer):
        def forward(self, x, mask=None, context=None):
            return (x @ x.transpose(-1, -2)).softmax(-1) @ x

    frames = 2048
    mixer = random_mixer(lambda d_model: AllPairs(), torch.float32)
    assert count_allocations(mixer, frames, None).largest >= frames * frames


ERRORS = {
    "summarymixing-heads": (
        lambda: SummaryMixing(16, heads=3),
        "SummaryMixing: heads 3 must divide d_model 16",
    ),
    "summarymixing-hidden-heads": (
        lambda: SummaryMixing(16, heads=4, hidden_sizes=[10]),
        "SummaryMixing: heads 4 must divide hidden_size 10",
    ),
    "summarymixing-summary-heads": (
        lambda: SummaryMixing(16, heads=4, summary_size=10),
        "SummaryMixing: heads 4 must divide summary_size 10",
    ),
    "summarymixing-variant": (
        lambda: SummaryMixing(16, variant="light"),
        "SummaryMixing: unknown variant 'light'; it is one of full, lite, fast, expdecay, windowed",
    ),
    "summarymixing-fast-hidden": (
        lambda: SummaryMixing(16, variant="fast", hidden_sizes=[16]),
        "SummaryMixing: variant 'fast' has no hidden layers; leave hidden_sizes out",
    ),
    "summarymixing-decay": (
        lambda: SummaryMixing(16, variant="expdecay", decay=1.5),
        "SummaryMixing: decay 1.5 must be above 0 and at most 1",
    ),
    "summarymixing-window": (
        lambda: SummaryMixing(16, variant="windowed", window=0),
        "SummaryMixing: window 0 must be at least 1",
    ),
    "summarymixing-rotary": (
        lambda: SummaryMixing(16, rotary=1.5),
        "SummaryMixing: rotary 1.5 must be from 0 to 1",
    ),
    "summarymixing-two-orders": (
        lambda: SummaryMixing(16, rotary=0.5, directions=["past", "future"]),
        "SummaryMixing: directions and rotary exclude each other: both let order count",
    ),
    "summarymixing-windowed-rotary": (
        lambda: SummaryMixing(16, rotary=0.5, variant="windowed"),
        "SummaryMixing: directions and rotary need a plain mean, not variant 'windowed'",
    ),
    "summarymixing-directions": (
        lambda: SummaryMixing(16, directions=["past", "future", "whole"]),
        "SummaryMixing: its 3 directions must divide summary_size 16",
    ),
    "local_attention-window": (
        lambda: LocalAttention(16, window=0),
        "LocalAttention: window 0 must be at least 1",
    ),
    "polynomial_mixing-degree": (
        lambda: PolynomialMixing(16, degree=0),
        "PolynomialMixing: degree 0 must be at least 1",
    ),
    "local_only-heads": (lambda: LocalOnly(16, heads=3), "LocalOnly: heads 3 must divide d_model 16"),
    "hypermixing-heads": (lambda: HyperMixing(16, heads=3), "HyperMixing: heads 3 must divide d_model 16"),
    "hypermixing-size": (
        lambda: HyperMixing(16, heads=4, hypernet_size=30),
        "HyperMixing: heads 4 must divide hypernet_size 30",
    ),
    "hypermixing-odd": (
        lambda: HyperMixing(15, heads=3),
        "HyperMixing: its positions need an even d_model, not 15",
    ),
    "xnor-heads": (lambda: XNOR(16, heads=0), "XNOR: heads 0 must divide d_model 16"),
    "xnor-variant": (
        lambda: XNOR(16, variant="gate"),
        "XNOR: unknown variant 'gate'; it is one of plain, cos, weighted, gated, term_gated",
    ),
    "xnor-feature_map": (
        lambda: XNOR(16, feature_map="relu"),
        "XNOR: unknown feature_map 'relu'; it is one of softmax, sigmoid",
    ),
    "linear_attention-feature_map": (
        lambda: LinearAttention(16, feature_map="gelu"),
        "LinearAttention: unknown feature_map 'gelu'; it is one of softmax, sigmoid, relu, elu",
    ),
    "linear_attention-feature_map-number": (
        lambda: LinearAttention(16, feature_map=3),
        "LinearAttention: unknown feature_map '3'; it is one of softmax, sigmoid, relu, elu",
    ),
    "directional_attention-unknown": (
        lambda: DirectionalAttention(16, directions=["past", "left"]),
        "DirectionalAttention: unknown direction 'left'; it is one of past, whole, future",
    ),
    "directional_attention-none": (
        lambda: DirectionalAttention(16, directions="past"),
        "DirectionalAttention: directions must be a list of past, whole, future, not 'past'",
    ),
    "rotary_linear_attention-odd": (
        lambda: RotaryLinearAttention(12, heads=4),
        "RotaryLinearAttention: its positions need an even head size, not 3",
    ),
    "taylor_attention-odd": (
        lambda: TaylorAttention(12, head_size=3),
        "TaylorAttention: its positions need an even head size, not 3",
    ),
    "taylor_attention-head_size": (
        lambda: TaylorAttention(12, head_size=8),
        "TaylorAttention: head_size 8 must divide d_model 12",
    ),
    "retention-odd": (lambda: Retention(12, heads=4), "Retention: its positions need an even head size, not 3"),
    "gated_delta-heads": (lambda: GatedDelta(16, heads=5), "GatedDelta: heads 5 must divide d_model 16"),
    "gated_delta-decay": (
        lambda: GatedDelta(16, decay="none"),
        "GatedDelta: unknown decay 'none'; it is one of head, channel",
    ),
    "gated_delta-whole": (
        lambda: GatedDelta(16, directions=["past", "whole"]),
        "GatedDelta: unknown direction 'whole'; it is one of past, future",
    ),
    "cosformer-heads": (lambda: CosFormer(16, heads=5), "CosFormer: heads 5 must divide d_model 16"),
    "fastformer-heads": (lambda: FastFormer(16, heads=5), "FastFormer: heads 5 must divide d_model 16"),
    "mamba-state_size": (lambda: Mamba(16, state_size=0), "Mamba: state_size 0 must be at least 1"),
    "mamba-causal": (
        lambda: Mamba(16, causal=True, separate=True),
        "Mamba: a causal scan has no directions to be separate",
    ),
    "mamba2-heads": (lambda: Mamba2(16, heads=5), "Mamba2: heads 5 must divide channels 32"),
    "mamba2-conv_size": (lambda: Mamba2(16, conv_size=0), "Mamba2: conv_size 0 must be at least 1"),
    "mamba2-causal": (
        lambda: Mamba2(16, causal=True, separate=True),
        "Mamba2: a causal scan has no directions to be separate",
    ),
    "attention-heads": (lambda: Attention(16, heads=5), "Attention: heads 5 must divide d_model 16"),
    "attention-odd": (
        lambda: Attention(12, heads=4),
        "Attention: its positions need an even head size, not 3",
    ),
    "relpos_attention-odd": (
        lambda: RelposAttention(15, heads=3),
        "RelposAttention: its positions need an even d_model, not 15",
    ),
    "relpos_attention-scale": (
        lambda: RelposAttention(16, scale="root"),
        "RelposAttention: unknown scale 'root'; it is one of head, model",
    ),
}


@pytest.mark.parametrize("make, message", ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_is_wrong(make, message):
    with pytest.raises(ValueError) as error:
        make()
    assert str(error.value) == message


WRONG_MASKS = {
    "relative lengths": (torch.tensor([0.5, 1.0]), "float32 [2]"),
    "lengths": (torch.tensor([4, 9]), "int64 [2]"),
    "numbers": (torch.ones(2, 9), "float32 [2, 9]"),
    "another length": (torch.ones(2, 8, dtype=torch.bool), "bool [2, 8]"),
}


@pytest.mark.parametrize(("mask", "given"), WRONG_MASKS.values(), ids=WRONG_MASKS)
@pytest.mark.parametrize("name", MIXERS)
def test_a_wrong_mask_is_one_line(name, mask, given):
    with pytest.raises(ValueError, match=re.escape(f"mask must be bool [2, 9], True for a real frame, not {given}; ")):
        MIXERS[name](16)(torch.randn(2, 9, 16), mask)


def test_unknown_option_is_named():
    with pytest.raises(TypeError, match="unexpected keyword argument 'haeds'"):
        SummaryMixing(16, haeds=4)


CANNOT_STREAM = {
    "cosformer": "CosFormer cannot stream or take a context: its cosine weights need the utterance's length",
    "xnor-cos": ("XNOR cannot stream or take a context: the weights of variant 'cos' need the utterance's length"),
    "xnor-term_gated": (
        "XNOR cannot stream or take a context: the gate of variant 'term_gated' needs the mean over the whole utterance"
    ),
    "fastformer": (
        "FastFormer cannot stream or take a context: "
        "every new chunk changes the global query, and with it the weights of all past keys"
    ),
}


@pytest.mark.parametrize("key", VARIANTS)
def test_only_these_cannot_stream(key):
    """The contract tests what a mixer does if it cannot stream; this pins which mixers cannot, and their messages."""
    mixer = VARIANTS[key](16)
    expected = next((message for start, message in CANNOT_STREAM.items() if key.startswith(start)), None)
    if expected is None:
        assert mixer.state_size(100, Context(10, 2)) >= 0
    else:
        with pytest.raises(ValueError) as error:
            mixer.init_state(1, Context(10, 2))
        assert str(error.value) == expected


def test_local_only_is_summarymixing_in_size():
    def sizes(mixer):
        return {name: parameter.shape for name, parameter in mixer.named_parameters()}

    assert sizes(LocalOnly(16, heads=4)) == sizes(SummaryMixing(16, heads=4))


def test_local_only_crosses_no_frames():
    mixer, x = random_mixer(LocalOnly), torch.randn(1, 9, 16, dtype=torch.float64)
    frame_by_frame = torch.cat([mixer(frame) for frame in x.split(1, 1)], 1)
    torch.testing.assert_close(mixer(x), frame_by_frame, atol=1e-12, rtol=1e-12)


def test_conv_only_is_silent_and_empty():
    mixer = ConvOnly(16)
    assert not list(mixer.parameters())
    assert not mixer(torch.randn(2, 5, 16)).any()
