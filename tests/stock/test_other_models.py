"""Mixers in models of torch itself and of transformers (wav2vec2, HuBERT)."""

import copy
from functools import partial

import pytest
import torch
from torch import nn

from mixers import Context, LinearAttention, SummaryMixing
from recipes.stock import replace_attention

LENGTHS = (17, 26, 5)


def padded_batch(size: int):
    """Frames with other values than zero in their padding, and where they are padded."""
    torch.manual_seed(1)
    padding = torch.arange(max(LENGTHS))[None] >= torch.tensor(LENGTHS)[:, None]
    return torch.randn(len(LENGTHS), max(LENGTHS), size), padding


@pytest.mark.parametrize("training", [False, True], ids=["evaluation", "training"])
@pytest.mark.parametrize("batch_first", [False, True], ids=["time first", "batch first"])
@pytest.mark.filterwarnings("ignore:enable_nested_tensor is True")
def test_torch_transformer_encoder(batch_first, training):
    """In evaluation torch leaves the modules of its own layers aside where it can; here it must not."""
    torch.manual_seed(0)
    layer = nn.TransformerEncoderLayer(16, 2, 24, dropout=0.0, batch_first=batch_first)
    model = nn.TransformerEncoder(layer, 3).train(training)
    mixers = replace_attention(model, partial(SummaryMixing, heads=2))
    assert list(mixers) == [f"layers.{index}.self_attn.mixer" for index in range(3)]
    x, padding = padded_batch(16)

    def encode(x, **options):
        return model(x, **options) if batch_first else model(x.transpose(0, 1), **options).transpose(0, 1)

    with torch.no_grad():
        batch = encode(x, src_key_padding_mask=padding)
        causal = encode(x, mask=nn.Transformer.generate_square_subsequent_mask(max(LENGTHS)), is_causal=True)
        for row, length in enumerate(LENGTHS):
            alone = x[row : row + 1, :length]
            torch.testing.assert_close(batch[row, :length], encode(alone)[0], atol=1e-5, rtol=1e-4)
            mask = nn.Transformer.generate_square_subsequent_mask(length)
            torch.testing.assert_close(causal[row, :length], encode(alone, mask=mask)[0], atol=1e-5, rtol=1e-4)
    encode(x, src_key_padding_mask=padding).sum().backward()
    assert all(parameter.grad is not None for mixer in mixers.values() for parameter in mixer.parameters())


def test_torch_attention_by_itself():
    """A single utterance without a batch; masks of heads and of bool."""
    model = nn.ModuleDict({"attention": nn.MultiheadAttention(16, 4)})
    (mixer,) = replace_attention(model, partial(LinearAttention, heads=2)).values()
    x, padding = padded_batch(16)
    output, weights = model["attention"](x[0], x[0], x[0], key_padding_mask=padding[0])
    assert weights is None
    expected = mixer(x[:1, : LENGTHS[0]])[0]
    torch.testing.assert_close(output[: LENGTHS[0]], expected, atol=1e-6, rtol=1e-5)
    chunks = torch.arange(max(LENGTHS)) // 4
    hidden = (chunks[None] > chunks[:, None]).expand(3 * 4, -1, -1)
    time_first = x.transpose(0, 1)
    output, _ = model["attention"](time_first, time_first, time_first, attn_mask=hidden)
    torch.testing.assert_close(output.transpose(0, 1), mixer(x, context=Context(4)), atol=1e-6, rtol=1e-5)


def ssl_model(kind: str, **options) -> nn.Module:
    """A wav2vec2 or HuBERT of random weights."""
    transformers = pytest.importorskip("transformers")
    torch.manual_seed(0)
    settings = {"hidden_size": 32, "num_hidden_layers": 4, "num_attention_heads": 2, "intermediate_size": 48}
    settings |= {
        "conv_dim": (16, 16, 16),
        "conv_kernel": (10, 8, 4),
        "conv_stride": (5, 8, 4),
        "num_feat_extract_layers": 3,
    }
    settings |= {"num_conv_pos_embeddings": 16, "num_conv_pos_embedding_groups": 2, "layerdrop": 0.0}
    settings |= {"mask_time_prob": 0.0, "vocab_size": 12, "feat_extract_norm": "layer", **options}
    config = getattr(transformers, f"{kind}Config")(**settings)
    return getattr(transformers, f"{kind}ForCTC")(config)


each_ssl_model = pytest.mark.parametrize("kind", ["Wav2Vec2", "Hubert"])


@each_ssl_model
@pytest.mark.parametrize("attention", ["sdpa", "eager"])
@pytest.mark.parametrize("stable", [False, True], ids=["post-norm", "pre-norm"])
def test_ssl_encoders_see_no_padding(kind, attention, stable):
    """The two forms of attention hand over other masks, the two encoders other orders of normalisation."""
    model = ssl_model(kind, attn_implementation=attention, do_stable_layer_norm=stable).eval()
    replace_attention(model, partial(SummaryMixing, heads=2))
    encoder = model.base_model.encoder
    x, padding = padded_batch(32)
    with torch.no_grad():
        batch = encoder(x.clone(), attention_mask=~padding).last_hidden_state
        for row, length in enumerate(LENGTHS):
            alone = encoder(x[row : row + 1, :length].clone()).last_hidden_state
            torch.testing.assert_close(batch[row, :length], alone[0], atol=1e-5, rtol=1e-4)


@each_ssl_model
def test_only_the_last_layers_are_tuned(kind):
    """The last two of four, by CTC: the loss falls, and nothing but the two mixers moves."""
    model = ssl_model(kind, attention_dropout=0.0, hidden_dropout=0.0, activation_dropout=0.0, feat_proj_dropout=0.0)
    mixers = replace_attention(model, partial(SummaryMixing, heads=2), layers=range(-2, 0))
    prefix = "wav2vec2" if kind == "Wav2Vec2" else "hubert"
    assert list(mixers) == [f"{prefix}.encoder.layers.{layer}.attention.mixer" for layer in (2, 3)]
    model.requires_grad_(False)
    for mixer in mixers.values():
        mixer.requires_grad_(True)
    before = copy.deepcopy(model.state_dict())
    trained = [parameter for parameter in model.parameters() if parameter.requires_grad]
    optimizer = torch.optim.Adam(trained, lr=3e-3)
    audio = torch.randn(2, 4000, generator=torch.Generator().manual_seed(2))
    real = torch.arange(4000)[None] < torch.tensor([4000, 2500])[:, None]
    labels = torch.tensor([[3, 4, 5, 6], [7, 8, -100, -100]])
    losses = []
    for _ in range(8):
        loss = model(audio, attention_mask=real.long(), labels=labels).loss
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses == sorted(losses, reverse=True) and losses[-1] < 0.98 * losses[0], losses
    moved = {name for name, value in model.state_dict().items() if not torch.equal(value, before[name])}
    assert moved == {f"{name}.{part}" for name, mixer in mixers.items() for part, _ in mixer.named_parameters()}
