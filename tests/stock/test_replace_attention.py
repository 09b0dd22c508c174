"""Mixers in models of stock SpeechBrain: they train, see no padding, stream and are searched as attention was."""

import re
import subprocess
import sys
import textwrap
from functools import partial
from pathlib import Path

import pytest
import torch
from hyperpyyaml import load_hyperpyyaml
from speechbrain.decoders.seq2seq import S2STransformerBeamSearcher
from speechbrain.lobes.models.transformer.Conformer import ConformerEncoder
from speechbrain.lobes.models.transformer.TransformerASR import TransformerASR
from speechbrain.nnet.attention import MultiheadAttention
from speechbrain.nnet.linear import Linear
from speechbrain.utils.dynamic_chunk_training import DynChunkTrainConfig
from torch import nn

from mixers import FastFormer, LinearAttention, SummaryMixing
from recipes.errors import RecipeError
from recipes.stock import replace_attention
from recipes.stock.signatures import InPlaceOfAttention

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # stock's decoder

VOCAB, LENGTHS = 12, (21, 33, 8)
SIGNATURES = {  # positions of arguments differ from one of SpeechBrain's classes to the other
    ("transformer", "regularMHA"): ("attn_mask", "key_padding_mask", "return_attn_weights", "pos_embs"),
    ("transformer", "hypermixing"): ("attn_mask", "key_padding_mask", "return_attn_weights", "pos_embs"),
    ("transformer", "RoPEMHA"): ("key_padding_mask", "attn_mask", "pos_embs", "return_attn_weights"),
    ("conformer", "RelPosMHAXL"): ("pos_embs", "key_padding_mask", "attn_mask", "return_attn_weights"),
    ("conformer", "RoPEMHA"): ("key_padding_mask", "attn_mask", "pos_embs", "return_attn_weights"),
    ("conformer", "hypermixing"): ("attn_mask", "key_padding_mask", "return_attn_weights", "pos_embs"),
    ("branchformer", "RelPosMHAXL"): ("pos_embs", "key_padding_mask", "attn_mask", "return_attn_weights"),
    ("branchformer", "hypermixing"): ("attn_mask", "key_padding_mask", "return_attn_weights", "pos_embs"),
}
each_kind = pytest.mark.parametrize(("encoder", "attention"), SIGNATURES, ids=["-".join(kind) for kind in SIGNATURES])


def stock(encoder="conformer", attention="RelPosMHAXL", **options) -> TransformerASR:
    torch.manual_seed(0)
    settings = {"d_model": 16, "nhead": 2, "num_encoder_layers": 3, "num_decoder_layers": 1, "d_ffn": 24}
    settings |= {"kernel_size": 5, "csgu_linear_units": 12, "dropout": 0.0, "normalize_before": True, "causal": False}
    return TransformerASR(VOCAB, 20, encoder_module=encoder, attention_type=attention, **settings | options)


def padded_batch(size=20):
    """Frames with other values than zero in their padding, and relative lengths."""
    torch.manual_seed(1)
    return torch.randn(len(LENGTHS), max(LENGTHS), size), torch.tensor(LENGTHS) / max(LENGTHS)


def real(row: int) -> tuple[slice, slice]:
    return slice(row, row + 1), slice(LENGTHS[row])


def padding() -> torch.Tensor:
    return torch.arange(max(LENGTHS))[None] >= torch.tensor(LENGTHS)[:, None]


@each_kind
def test_a_training_step_reaches_every_mixer(encoder, attention):
    model = stock(encoder, attention)
    decoder = {name: type(module) for name, module in model.decoder.named_modules()}
    mixers = replace_attention(model, partial(SummaryMixing, heads=2))
    name = "self_att" if encoder == "transformer" else "mha_layer"
    assert list(mixers) == [f"encoder.layers.{layer}.{name}.mixer" for layer in range(3)]
    assert all(model.get_submodule(name) is mixer for name, mixer in mixers.items())
    assert {name: type(module) for name, module in model.decoder.named_modules()} == decoder
    frames, relative = padded_batch()
    _, logits = model(frames, torch.randint(3, VOCAB, (3, 5)), relative, pad_idx=0)
    logits.square().mean().backward()
    for mixer in mixers.values():
        assert all(parameter.grad.abs().sum() > 0 for parameter in mixer.parameters())


@each_kind
def test_a_mixer_sees_what_attention_was_told_to_see(encoder, attention):
    """By position and by keyword; the padding of the whole batch, and nothing of it."""
    model = stock(encoder, attention)
    (mixer,) = replace_attention(model, partial(LinearAttention, heads=2), [0]).values()
    layer = next(module for module in model.modules() if isinstance(module, InPlaceOfAttention)).eval()
    x, _ = padded_batch(16)
    positions = torch.randn(1, 2 * max(LENGTHS) - 1, 16)
    given = {"attn_mask": None, "key_padding_mask": padding(), "return_attn_weights": True, "pos_embs": positions}
    output, weights = layer(x, x, x, **given)
    assert weights is None
    for row, length in enumerate(LENGTHS):
        alone = mixer(x[real(row)])
        torch.testing.assert_close(output[row, :length], alone[0], atol=1e-6, rtol=1e-5)
    given["return_attn_weights"] = attention == "hypermixing"  # which has always returned both
    by_position = layer(x, x, x, *(given[name] for name in SIGNATURES[encoder, attention]))
    assert torch.equal(by_position[0] if attention == "hypermixing" else by_position, output)


@pytest.mark.parametrize("attention", ["regularMHA", "RoPEMHA", "hypermixing"])
def test_a_padded_batch_is_searched_as_its_utterances_alone(attention):
    """In stock's Transformer, whose other parts do not see padding either."""
    model = stock("transformer", attention).eval()
    replace_attention(model, partial(SummaryMixing, heads=2))
    searcher = S2STransformerBeamSearcher(
        modules=[model, Linear(input_size=16, n_neurons=VOCAB)],
        bos_index=1,
        eos_index=2,
        min_decode_ratio=0.0,
        max_decode_ratio=0.4,
        beam_size=3,
        using_eos_threshold=False,
    ).eval()
    frames, relative = padded_batch()
    with torch.no_grad():
        batch = searcher(model.encode(frames, relative), relative)
        for row in range(len(LENGTHS)):
            alone = frames[real(row)]
            encoded = model.encode(alone, torch.ones(1))
            torch.testing.assert_close(model.encode(frames, relative)[real(row)], encoded, atol=1e-5, rtol=1e-4)
            hypothesis = searcher(encoded, torch.ones(1))
            shared = min(len(batch[0][row]), len(hypothesis[0][0]))  # stock's longest is set by the whole batch
            assert shared and batch[0][row][:shared] == hypothesis[0][0][:shared]


@pytest.mark.parametrize(("chunk", "left"), [(4, 1), (4, None), (1, 2), (16, 0)])
def test_stock_streaming_and_chunked_training_agree(chunk, left):
    """SpeechBrain's dynamic chunk training hands over a mask: a Context, with which it streams what it computes."""
    model = stock().eval()
    replace_attention(model, partial(SummaryMixing, heads=2))
    frames, config = padded_batch()[0][:1], DynChunkTrainConfig(chunk, left)
    with torch.no_grad():
        whole = model.encode(frames, torch.ones(1), dynchunktrain_config=config)
        if left is None:
            config = DynChunkTrainConfig(chunk, 100)
        streaming = model.make_streaming_context(config)
        parts = [model.encode_streaming(part, streaming) for part in frames.split(chunk, 1)]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-4)


def test_a_causal_model_stays_causal():
    model = stock("transformer", "regularMHA", causal=True).eval()
    replace_attention(model, partial(SummaryMixing, heads=2))
    frames, _ = padded_batch()
    with torch.no_grad():
        whole, beginning = model.encode(frames), model.encode(frames[:, :13])
    torch.testing.assert_close(whole[:, :13], beginning, atol=1e-5, rtol=1e-4)
    assert not torch.allclose(whole[:, :13], model.encode(frames.flip(1))[:, :13], atol=1e-2)


def test_two_lines_of_a_stock_recipe():
    """Those of the page, and its list of layers."""
    page = (Path(__file__).parents[2] / "docs" / "into_other_models.md").read_text(encoding="utf-8")
    (lines,) = re.findall(r"^```yaml\n(.*?\n.*?)\n```$", page, flags=re.MULTILINE)
    (with_layers,) = re.findall(r"`(\[!ref <Transformer>.*, \[.*\]\])`", page)
    recipe = """
        Transformer: !new:speechbrain.lobes.models.transformer.TransformerASR.TransformerASR
            input_size: 20
            tgt_vocab: 12
            d_model: 16
            nhead: 2
            num_encoder_layers: 4
            num_decoder_layers: 1
            d_ffn: 24
            encoder_module: conformer
            attention_type: RelPosMHAXL
            normalize_before: True
            causal: False

        {lines}

        modules:
            Transformer: !ref <Transformer>
        model: !new:torch.nn.ModuleList
            - [!ref <Transformer>]
    """
    chosen = re.sub(r"\[.*\]", lambda match: with_layers, lines)
    for text, numbers in {lines: range(4), chosen: (2, 3)}.items():
        hparams = load_hyperpyyaml(textwrap.dedent(recipe).replace("{lines}", text))
        mixers = [module for module in hparams["modules"]["Transformer"].modules() if isinstance(module, SummaryMixing)]
        assert len(mixers) == len(numbers) and mixers == list(hparams["mixers"].values())
        assert [name.split(".")[2] for name in hparams["mixers"]] == [str(number) for number in numbers]
        names = {name for name, _ in hparams["model"].named_parameters()}
        assert "0.encoder.layers.3.mha_layer.mixer.merge.weight" in names


def test_a_mixer_takes_the_place_of_another():
    model = stock().double().eval()
    replace_attention(model, partial(SummaryMixing, heads=2))
    mixers = replace_attention(model, partial(LinearAttention, heads=2), range(-2, 0))
    assert [type(module.mixer).__name__ for module in model.modules() if isinstance(module, InPlaceOfAttention)] == [
        *["SummaryMixing"],
        *["LinearAttention"] * 2,
    ]
    frames, relative = padded_batch()
    assert model.encode(frames.double(), relative).dtype is torch.float64
    assert not any(mixer.training for mixer in mixers.values())


def error(call, *arguments, **options) -> str:
    with pytest.raises(RecipeError) as caught:
        call(*arguments, **options)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_errors():
    assert error(replace_attention, nn.Linear(2, 2), SummaryMixing).startswith(
        "Linear has no attention outside decoders that a mixer can replace (RelPosMHAXL, RoPEMHA, MultiheadAttention"
    )
    assert error(replace_attention, stock(), SummaryMixing, [0, 3]) == (
        "there is no layer 3: the model has 3 that a mixer can replace"
    )
    wide = nn.ModuleDict({"attention": MultiheadAttention(2, 16, kdim=8)})
    assert error(replace_attention, wide, SummaryMixing) == (
        "attention has keys or values of another size than its d_model 16: a mixer has none"
    )
    model = stock("transformer", "regularMHA", causal=True)
    replace_attention(model, FastFormer)
    message = error(model.encode, padded_batch()[0])
    start = "encoder.layers.0.self_att: the model's mask says Context(chunk=1, left_chunks=None), which FastFormer "
    assert message.startswith(start)
    layer, x = model.encoder.layers[0].self_att, torch.randn(2, 5, 16)
    expected = (
        "encoder.layers.0.self_att: a mixer has no other keys and values than its frames: it is for self-attention"
    )
    assert error(layer, x, x.clone(), x) == expected
    assert error(layer, x, x, x, attn_mask=torch.ones(5, 5).tril(-1)).startswith(
        "encoder.layers.0.self_att: this mask adds weights to attention scores"
    )


def test_a_conformer_by_itself():
    """With regular attention, which TransformerASR does not offer in a Conformer."""
    encoder = ConformerEncoder(2, 16, 24, 2, kernel_size=5, attention_type="regularMHA")
    assert len(replace_attention(encoder, SummaryMixing)) == 2
    assert encoder(padded_batch(16)[0], src_key_padding_mask=padding())[0].isfinite().all()


def test_the_package_is_imported_without_torch():
    code = "import sys, recipes.stock; print(sorted({'torch', 'speechbrain', 'transformers'} & {*sys.modules}))"
    assert subprocess.run([sys.executable, "-c", code], capture_output=True, text=True).stdout == "[]\n"
