"""Options that no model can have are one line, before anything is computed."""

from functools import partial

import pytest
from torch import nn

from recipes.models import (
    AdaptiveSpecAugment,
    Branchformer,
    Conformer,
    ConvFrontend,
    GlobalNorm,
    LogMel,
    Recogniser,
    SpecAugment,
    TransformerDecoder,
    TransformerLM,
)

MIXERS = [lambda d_model: nn.Identity()]
conformer = partial(Conformer, d_model=8, mixers=MIXERS, d_ffn=8)
branchformer = partial(Branchformer, d_model=8, mixers=MIXERS)
decoder = partial(TransformerDecoder, d_model=8, vocab_size=9, layers=1, heads=2, d_ffn=8)
language_model = partial(TransformerLM, d_model=8, vocab_size=9, layers=1, heads=2, d_ffn=8)
parts = dict.fromkeys(("features", "normalize", "augment", "frontend", "encoder", "decoder"), nn.Identity())

ODD, SIZE, RANGE = (
    "an odd whole number from 1 up",
    "a whole number from 1 up",
    "two whole numbers, the least and the most",
)
SIZES = "a list of whole numbers from 1 up"
REFUSED = [
    (conformer, "kernel_size", 4, f"Conformer: kernel_size must be {ODD}, not 4"),
    (conformer, "kernel_size", -3, f"Conformer: kernel_size must be {ODD}, not -3"),
    (conformer, "d_ffn", 0, f"Conformer: d_ffn must be {SIZE}, not 0"),
    (conformer, "dropout", 1.5, "Conformer: dropout must be a number from 0 to 1, not 1.5"),
    (branchformer, "kernel_size", 4, f"Branchformer: kernel_size must be {ODD}, not 4"),
    (branchformer, "csgu_units", 7, "Branchformer: csgu_units must be an even whole number from 2 up, not 7"),
    (decoder, "layers", 0, f"TransformerDecoder: layers must be {SIZE}, not 0"),
    (decoder, "dropout", "x", "TransformerDecoder: dropout must be a number from 0 to 1, not 'x'"),
    (
        decoder,
        "embedding_dropout",
        1.5,
        "TransformerDecoder: embedding_dropout must be a number from 0 to 1, not 1.5",
    ),
    (decoder, "heads", 5, "TransformerDecoder: heads 5 must divide d_model 8"),
    (language_model, "layers", True, f"TransformerLM: layers must be {SIZE}, not True"),
    (language_model, "d_model", 9, "TransformerLM: d_model must be an even whole number from 2 up, not 9"),
    (
        partial(ConvFrontend, 8),
        "channels",
        [],
        f"ConvFrontend: channels must be {SIZES}, not []",
    ),
    (partial(ConvFrontend, 8), "n_mels", 0, f"ConvFrontend: n_mels must be {SIZE}, not 0"),
    (LogMel, "n_mels", 0, f"LogMel: n_mels must be {SIZE}, not 0"),
    (LogMel, "floor", "low", "LogMel: floor must be a number, not 'low'"),
    (LogMel, "range_db", -80.0, "LogMel: range_db must be a number above 0, or null, not -80.0"),
    (GlobalNorm, "n_mels", 2.0, f"GlobalNorm: n_mels must be {SIZE}, not 2.0"),
    (
        SpecAugment,
        "time_width",
        [5],
        f"SpecAugment: time_width must be {RANGE}, not [5]",
    ),
    (SpecAugment, "freq_width", [20, 10], f"SpecAugment: freq_width must be {RANGE}, not [20, 10]"),
    (AdaptiveSpecAugment, "time_share", 1.5, "AdaptiveSpecAugment: time_share must be a number from 0 to 1, not 1.5"),
    (
        AdaptiveSpecAugment,
        "freq_masks",
        0.5,
        "AdaptiveSpecAugment: freq_masks must be a whole number from 0 up, not 0.5",
    ),
    (SpecAugment, "warp", -1, "SpecAugment: warp must be a whole number from 0 up, not -1"),
    (SpecAugment, "max_share", 2, "SpecAugment: max_share must be a number from 0 to 1, not 2"),
    (partial(Recogniser, **parts, d_model=8), "vocab_size", 0, f"Recogniser: vocab_size must be {SIZE}, not 0"),
]


@pytest.mark.parametrize(("build", "option", "value", "message"), REFUSED)
def test_refused(build, option, value, message):
    with pytest.raises(ValueError) as error:
        build(**{option: value})
    assert str(error.value) == message
