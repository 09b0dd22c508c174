"""The names of weights, which published checkpoints rely on, in their order."""

from pathlib import Path

import pytest
from torch import nn

from recipes.config import load
from recipes.models import TransformerLM

HPARAMS = Path(__file__).parents[2] / "hparams"
SMALL = {"data_folder": "unused", "d_model": 8, "heads": 2, "layers": 1, "d_ffn": 8, "decoder_layers": 1}

FRONT_END = "normalize frontend.convs.0 frontend.convs.1 frontend.norms.0 frontend.norms.1 frontend.project"
DECODER = """decoder.embedding decoder.layers.0.self_norm decoder.layers.0.cross_norm decoder.layers.0.self_qkv
    decoder.layers.0.self_out decoder.layers.0.cross_query decoder.layers.0.cross_out decoder.layers.0.cross_kv
    decoder.layers.0.ffn.norm decoder.layers.0.ffn.up decoder.layers.0.ffn.down decoder.final_norm decoder.out ctc"""
CONFORMER = """ffn1.norm ffn1.up ffn1.down mixer_norm mixer conv.norm conv.pointwise_in conv.depthwise
    conv.depthwise_norm conv.pointwise_out ffn2.norm ffn2.up ffn2.down final_norm"""
BRANCHFORMER = "mixer_norm mixer cgmlp.norm cgmlp.up cgmlp.csgu.norm cgmlp.csgu.depthwise cgmlp.down merge"
LANGUAGE_MODEL = """embedding layers.0.self_norm layers.0.ffn_norm layers.0.self_qkv layers.0.self_out layers.0.ffn.up
    layers.0.ffn.down final_norm head.hidden head.norm head.out"""


def modules_with_weights(model: nn.Module) -> list[str]:
    """The names in a state dict without the last part, each once; those inside a mixer as the mixer."""
    names = (name.partition(".mixer.")[0] + ".mixer.x" if ".mixer." in name else name for name in model.state_dict())
    return list(dict.fromkeys(name.rpartition(".")[0] for name in names))


@pytest.mark.parametrize(
    "recipe, block, options",
    [("conformer", CONFORMER, {}), ("branchformer", BRANCHFORMER, {"model.encoder.csgu_units": 8})],
    ids=["Conformer", "Branchformer"],
)
def test_recogniser(recipe, block, options):
    model = load(HPARAMS / f"{recipe}.yaml", {**SMALL, **options}).hparams["model"]
    blocks = [f"encoder.blocks.0.{part}" for part in block.split()]
    assert modules_with_weights(model) == [*FRONT_END.split(), *blocks, "encoder.final_norm", *DECODER.split()]


def test_language_model():
    model = TransformerLM(11, 8, layers=1, heads=2, d_ffn=8)
    assert modules_with_weights(model) == LANGUAGE_MODEL.split()
