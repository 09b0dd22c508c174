"""Mixers and encoders of ours beside those of SpeechBrain and of the user."""

from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

import torch
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder
from speechbrain.nnet.attention import RelPosEncXL, RelPosMHAXL, RoPEMHA
from speechbrain.nnet.hypermixing import HyperMixing as StockHyperMixing
from torch import Tensor, nn

import mixers
from benchmarks.speed.reference import Build
from benchmarks.speed.timing import Case
from recipes.config import load

HPARAMS = Path(__file__).parents[2] / "hparams"
MODES = ("inference", "training")
FRAMES_PER_SECOND = 25
D_MODEL, HEADS, D_FFN = 512, 8, 2048  # of the mixers: those of hparams/conformer.yaml
STOCK_LONGEST = 3000  # frames of SpeechBrain's HyperMixing
Call = Callable[[Tensor], Tensor]
MIXERS: dict[str, tuple[str, dict]] = {  # row: mixer and options
    "summarymixing, 1 head": ("summarymixing", {}),
    "summarymixing, 4 heads": ("summarymixing", {"heads": 4}),
    "summarymixing, lite, 4 heads": ("summarymixing", {"heads": 4, "variant": "lite"}),
    "hypermixing": ("hypermixing", {"heads": HEADS, "hypernet_size": D_FFN}),
    "xnor": ("xnor", {"heads": HEADS}),
    "linear_attention": ("linear_attention", {"heads": HEADS}),
    "rotary_linear_attention": ("rotary_linear_attention", {"heads": HEADS}),
    "taylor_attention": ("taylor_attention", {}),
    "gated_delta": ("gated_delta", {"heads": HEADS}),
    "attention": ("attention", {"heads": HEADS}),
    "relpos_attention": ("relpos_attention", {"heads": HEADS}),
}
ENCODERS = {  # recipe: SpeechBrain's attention_type of the same encoder, and our other mixers in it
    "hyperconformer_8M": ("hypermixing", ["relpos_attention", "attention"]),
    "conformer_small": ("RelPosMHAXL", ["attention"]),
    "conformer_summarymixing_100h": (None, ["attention", "relpos_attention"]),
    "conformer_rotary_linear_attention_100h": (None, ["attention"]),
}


def one_step(module: nn.Module, call: Call, x: Tensor, mode: str) -> Callable[[], object]:
    """Forward of x ``[B, T, d_model]``; in training with the backward of a sum, after which gradients are dropped."""
    module.train(mode == "training")

    def infer() -> None:
        with torch.no_grad():  # SpeechBrain keeps its positions from one call to the next
            call(x)

    wanted = x.clone().requires_grad_()  # as of a layer within a model

    def train() -> None:
        call(wanted).sum().backward()
        module.zero_grad(set_to_none=True)
        wanted.grad = None

    return train if mode == "training" else infer


def stock_mixer(name: str, heads: int, frames: int) -> tuple[nn.Module, Call] | None:
    """SpeechBrain's module of that equation, and how it is called; None where it has none for so many frames."""
    if name == "hypermixing" and frames <= STOCK_LONGEST:
        hyper = StockHyperMixing(D_MODEL, D_FFN, num_heads=heads)
        return hyper, lambda x: hyper(x, x, x)[0]
    if name == "attention":
        rope = RoPEMHA(D_MODEL, heads)
        return rope, lambda x: rope(x, x, x)[0]
    if name == "relpos_attention":
        relpos, positions = RelPosMHAXL(D_MODEL, heads), RelPosEncXL(D_MODEL)
        return relpos, lambda x: relpos(x, x, x, pos_embs=positions(x))[0]
    return None


def mixer_cases(frames: list[int], batches: list[int], modes: list[str], peers: Mapping[str, Build]) -> Iterator[Case]:
    """Every mixer; peers: the user's own, by row or by mixer. Attention over 10 minutes would take too long."""
    for row, (name, options) in MIXERS.items():
        heads = options.get("heads", 1)
        for length in frames:
            for batch in batches:
                if batch * length > 6000 and (batch > 1 or not mixers.MIXERS[name].linear):
                    continue
                modules: dict[str, tuple[nn.Module, Call]] = {}
                ours = mixers.build(name, D_MODEL, **options)
                if stock := stock_mixer(name, heads, length):
                    modules["SpeechBrain"] = stock
                if build := peers.get(row, peers.get(name)):
                    module = build(D_MODEL, heads)
                    modules["reference"] = module, module
                x = torch.randn(batch, length, D_MODEL)
                for mode in modes:
                    steps = {peer: one_step(module, call, x, mode) for peer, (module, call) in modules.items()}
                    sizes = {"mode": mode, "frames": length, "batch": batch}
                    yield Case("mixers", row, one_step(ours, ours, x, mode), steps, sizes)


def stock_encoder(hparams: Mapping, attention_type: str) -> tuple[nn.Module, Call]:
    """SpeechBrain's Conformer encoder of a recipe's sizes."""
    encoder = ConformerEncoder(
        hparams["layers"],
        hparams["d_model"],
        hparams["d_ffn"],
        hparams["heads"],
        kernel_size=hparams["kernel_size"],
        activation=nn.SiLU,
        dropout=hparams["dropout"],
        attention_type=attention_type,
    )
    positions = RelPosEncXL(hparams["d_model"]) if attention_type == "RelPosMHAXL" else None
    return encoder, lambda x: encoder(x, pos_embs=positions(x) if positions else None)[0]


def our_encoder(recipe: str, mixer: str | None, overrides: Mapping) -> tuple[nn.Module, Call, Mapping]:
    """The encoder of a recipe, with another mixer where one is named."""
    options = {"data_folder": "none", **overrides, **({"mixer": mixer} if mixer else {})}
    hparams = load(HPARAMS / f"{recipe}.yaml", options).hparams
    encoder = hparams["model"].encoder
    return encoder, lambda x: encoder(x, torch.full((len(x),), x.shape[1])).frames, hparams


def encoder_cases(
    frames: list[int], batches: list[int], modes: list[str], overrides: Mapping | None = None
) -> Iterator[Case]:
    """Whole encoders, with dropout in training as the recipes have it. overrides: keys of the recipes."""
    for recipe, (attention_type, others) in ENCODERS.items():
        ours, call, hparams = our_encoder(recipe, None, overrides or {})
        modules = {"SpeechBrain": stock_encoder(hparams, attention_type)} if attention_type else {}
        modules |= {f"ours, {mixer}": our_encoder(recipe, mixer, overrides or {})[:2] for mixer in others}
        for length in frames:
            for batch in batches:
                x = torch.randn(batch, length, hparams["d_model"])
                for mode in modes:
                    steps = {peer: one_step(module, run, x, mode) for peer, (module, run) in modules.items()}
                    sizes = {"mode": mode, "frames": length, "batch": batch}
                    yield Case("encoders", recipe, one_step(ours, call, x, mode), steps, sizes)
