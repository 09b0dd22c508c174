"""The published recipes: their sizes, what they tell about themselves, and any mixer in any of them."""

import re
from functools import cache
from pathlib import Path

import pytest
import torch
from speechbrain.lobes.models.convolution import ConvolutionFrontEnd
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from torch import nn

from recipes.config import load, read_recipe
from recipes.config.source import read
from recipes.config.trust import Trust
from recipes.describe import describe, index
from recipes.describe.index import SECTIONS

HPARAMS = Path(__file__).parents[2] / "hparams"
BASES = ("conformer", "branchformer")
RECIPES = sorted(path.stem for path in HPARAMS.glob("*.yaml") if read_recipe(path).find("model") is not None)
# No published figure beside them.
OURS = ("quickstart", "quickstart_transducer", "bakeoff_real", "context", "small_corpus")
PUBLISHED = [name for name in RECIPES if name not in (*BASES, *OURS)]
SMALL = {
    "data_folder": "unused",
    "vocab_size": 16,
    "d_model": 16,
    "heads": 8,
    "d_ffn": 16,
    "kernel_size": 3,
    "decoder_layers": 1,
}
MIXERS = list(load(HPARAMS / "conformer.yaml", SMALL).hparams["mixers"])


describe = cache(describe)


def count(*modules: nn.Module) -> int:
    return sum(parameter.numel() for module in modules for parameter in module.parameters())


SIZES = {  # millions of parameters, as published
    "hyperconformer_8M": 7.93,
    "hyperconformer_22M": 21.70,
    "hyperbranchformer_13M": 13.22,
    "hyperbranchformer_25M": 24.88,
    "conformer_small": 13.33,
    "conformer_large": 105.98,
    "branchformer_large": 109.85,
}


@pytest.mark.parametrize(("recipe", "millions"), SIZES.items(), ids=SIZES)
def test_size_is_the_published_one(recipe, millions):
    assert describe(HPARAMS / f"{recipe}.yaml").parameters == pytest.approx(millions * 1e6, rel=0.005)


STOCK = {
    "hyperconformer_8M": {"encoder_module": "conformer", "d_ffn": 576, "attention_type": "hypermixing"},
    "hyperbranchformer_13M": {"encoder_module": "branchformer", "d_ffn": 2048, "attention_type": "hypermixing"},
}


@pytest.mark.parametrize(("recipe", "sizes"), STOCK.items(), ids=STOCK)
def test_every_part_is_as_large_as_in_speechbrain(recipe, sizes):
    ours = describe(HPARAMS / f"{recipe}.yaml")
    front_end = ConvolutionFrontEnd(
        (8, 10, 80),
        num_blocks=2,
        num_layers_per_block=1,
        out_channels=(64, 32),
        kernel_sizes=(3, 3),
        strides=(2, 2),
        residuals=(False, False),
    )
    stock = TransformerASR(
        5000,
        640,
        144,
        8,
        10,
        4,
        activation=nn.GELU,
        csgu_linear_units=3072,
        normalize_before=True,
        causal=False,
        **sizes,
    )
    assert ours.encoder == count(front_end, stock.custom_src_module, stock.encoder)
    assert ours.decoder == count(stock.custom_tgt_module, stock.decoder)
    assert ours.heads == 2 * count(nn.Linear(144, 5000))


@pytest.mark.parametrize("recipe", PUBLISHED)
def test_a_recipe_is_short_and_tells_what_it_is(recipe):
    path = HPARAMS / f"{recipe}.yaml"
    source = read(path, Trust.LISTED)
    differences = [key.value for key, _ in source.root.value if key.value not in ("base", "about")]
    assert 0 < len(differences) <= 15
    what, command, *_ = path.read_text().splitlines()
    assert what.startswith("# ") and what.endswith(".")
    assert command.startswith(f"# Run: python train.py hparams/{recipe}.yaml --data_folder ")
    about = describe(path).about
    assert about.purpose in ("960 h", "100 h", "mini") and about.ours.startswith("not trained")
    assert re.fullmatch(r"|.*WER.* \(.+\)", about.published), "no figure without its source"


def test_the_index_is_what_its_generator_writes():
    descriptions = [describe(path) for path in sorted(HPARAMS.glob("*.yaml"))]
    assert all(description.about.purpose in SECTIONS for description in descriptions)
    written = (HPARAMS / "README.md").read_text()
    assert written == index(descriptions), "python -m recipes.describe hparams/*.yaml --index > hparams/README.md"


@cache
def small(recipe: str):
    """A small form of the recipe with a layer of every mixer: its model, and its blocks by mixer."""
    encoder = {"model.encoder.csgu_units": 16} if "branchformer" in recipe else {}
    overrides = {**SMALL, **encoder, "layers": len(MIXERS), "mixer": MIXERS}
    model = load(HPARAMS / f"{recipe}.yaml", overrides).hparams["model"].eval()
    assert len({type(block.mixer) for block in model.encoder.blocks}) == len(MIXERS)
    return model, dict(zip(MIXERS, model.encoder.blocks, strict=True))


@pytest.mark.parametrize("mixer", MIXERS)
@pytest.mark.parametrize("recipe", RECIPES)
def test_any_mixer_in_any_recipe(recipe, mixer):
    model, blocks = small(recipe)
    model.encoder.blocks = nn.ModuleList([blocks[mixer]])
    torch.manual_seed(0)
    with torch.no_grad():
        output = model(torch.randn(2, 4800), torch.tensor([4800, 1600]), torch.tensor([[2, 5, 6], [2, 7, 0]]))
    assert output.encoded.lengths.tolist() == [8, 3]
    assert output.ctc_logits.shape == (2, 8, 16) and output.ctc_logits.isfinite().all()
    if model.decoder is not None:
        *_, tokens, outputs = output.decoder_logits.shape  # a transducer's are of each frame, too
        assert (tokens, outputs) == (3, 16) and output.decoder_logits.isfinite().all()
