"""The weights of stock SpeechBrain's models under our names: a table, and the few that lie differently in memory."""

import re
from collections.abc import Callable

from torch import Tensor, nn

from recipes.errors import RecipeError

State = dict[str, Tensor]

# Ours: stock. `#` is the number of a layer. The stock model is the list [CNN, Transformer, seq_lin, ctc_lin].
# A name stands for all that begins so: a layer's weight and bias.
SHARED = {
    # Front end
    "frontend.convs.#": "0.convblock_#.convs.conv_0.conv",
    "frontend.norms.#": "0.convblock_#.convs.norm_0.norm",
    "frontend.project.0": "1.custom_src_module.layers.0.w",
    # Mixers: attention of both kinds, HyperMixing
    "encoder.blocks.#.mixer.qkv.weight": "1.encoder.layers.#.mha_layer.in_proj_weight",
    "encoder.blocks.#.mixer.out": "1.encoder.layers.#.mha_layer.out_proj",
    "encoder.blocks.#.mixer.position_projection": "1.encoder.layers.#.mha_layer.linear_pos",
    "encoder.blocks.#.mixer.content_bias": "1.encoder.layers.#.mha_layer.pos_bias_u",
    "encoder.blocks.#.mixer.position_bias": "1.encoder.layers.#.mha_layer.pos_bias_v",
    "encoder.blocks.#.mixer.w1": "1.encoder.layers.#.mha_layer.hyper.w1_gen",
    "encoder.blocks.#.mixer.w2": "1.encoder.layers.#.mha_layer.hyper.w2_gen",
    "encoder.blocks.#.mixer.norm": "1.encoder.layers.#.mha_layer.layer_norm",
    # Decoder and heads
    "encoder.norm": "1.encoder.norm.norm",
    "decoder.embedding": "1.custom_tgt_module.layers.0.emb.Embedding",
    "decoder.layers.#.self_norm": "1.decoder.layers.#.norm1.norm",
    "decoder.layers.#.self_in.": "1.decoder.layers.#.self_attn.att.in_proj_",
    "decoder.layers.#.self_out": "1.decoder.layers.#.self_attn.att.out_proj",
    "decoder.layers.#.cross_norm": "1.decoder.layers.#.norm2.norm",
    "decoder.layers.#.cross_query.": "1.decoder.layers.#.multihead_attn.att.in_proj_",
    "decoder.layers.#.cross_key_value.": "1.decoder.layers.#.multihead_attn.att.in_proj_",
    "decoder.layers.#.cross_out": "1.decoder.layers.#.multihead_attn.att.out_proj",
    "decoder.layers.#.feed_forward.0": "1.decoder.layers.#.norm3.norm",
    "decoder.layers.#.feed_forward.1": "1.decoder.layers.#.pos_ffn.ffn.0",
    "decoder.layers.#.feed_forward.4": "1.decoder.layers.#.pos_ffn.ffn.3",
    "decoder.norm": "1.decoder.norm.norm",
    "decoder.out": "2.w",
    "ctc": "3.w",
}
ENCODERS = {
    "Conformer": {
        "encoder.blocks.#.first.0": "1.encoder.layers.#.ffn_module1.0",
        "encoder.blocks.#.first.1": "1.encoder.layers.#.ffn_module1.1.ffn.0",
        "encoder.blocks.#.first.4": "1.encoder.layers.#.ffn_module1.1.ffn.3",
        "encoder.blocks.#.norm": "1.encoder.layers.#.norm1.norm",
        "encoder.blocks.#.conv.gated.0": "1.encoder.layers.#.convolution_module.layer_norm",
        "encoder.blocks.#.conv.gated.1": "1.encoder.layers.#.convolution_module.bottleneck.0",
        "encoder.blocks.#.conv.depthwise": "1.encoder.layers.#.convolution_module.conv",
        "encoder.blocks.#.conv.after.0": "1.encoder.layers.#.convolution_module.after_conv.0",
        "encoder.blocks.#.conv.after.2": "1.encoder.layers.#.convolution_module.after_conv.2",
        "encoder.blocks.#.second.0": "1.encoder.layers.#.ffn_module2.0",
        "encoder.blocks.#.second.1": "1.encoder.layers.#.ffn_module2.1.ffn.0",
        "encoder.blocks.#.second.4": "1.encoder.layers.#.ffn_module2.1.ffn.3",
        "encoder.blocks.#.last": "1.encoder.layers.#.norm2.norm",
    },
    "Branchformer": {
        "encoder.blocks.#.norm": "1.encoder.layers.#.norm_mhsa.norm",
        "encoder.blocks.#.before.0": "1.encoder.layers.#.norm_conv.norm",
        "encoder.blocks.#.before.1": "1.encoder.layers.#.convolution_branch.pre_channel_proj",
        "encoder.blocks.#.csgu.norm": "1.encoder.layers.#.convolution_branch.csgu.norm.norm",
        "encoder.blocks.#.csgu.depthwise": "1.encoder.layers.#.convolution_branch.csgu.conv.conv",
        "encoder.blocks.#.after": "1.encoder.layers.#.convolution_branch.post_channel_proj",
        "encoder.blocks.#.merge": "1.encoder.layers.#.merge_proj",
    },
}
COMPUTED = re.compile(r".*positional_encoding(_decoder)?\.(pe|inv_freq)")  # tables of positions, no weights


def by_role(weight: Tensor, heads: int) -> Tensor:
    """Stock: each head's rows for query, key and value together. Ours: all queries, all keys, all values."""
    return weight.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)


# What lies differently, by the end of our name. Each takes the stock tensor and the number of heads.
CHANGES: dict[str, Callable[[Tensor, int], Tensor]] = {
    r"frontend\.convs\.\d+\.weight": lambda weight, heads: weight.transpose(2, 3),  # stock: frequency, then time
    r"conv\.gated\.1\.weight": lambda weight, heads: weight.squeeze(-1),  # stock: a convolution over one frame
    r"mixer\.qkv\.weight": by_role,
    # Stock's shape is [head size, heads], but it reads the memory as [heads, head size].
    r"mixer\.(content|position)_bias": lambda bias, heads: bias.reshape(bias.shape[::-1]),
    r"cross_query\.\w+": lambda both, heads: both[: len(both) // 3],
    r"cross_key_value\.\w+": lambda both, heads: both[len(both) // 3 :],
}


def stock_name(ours: str, encoder: str) -> str:
    """The stock name of one of our weights. encoder: a key of ENCODERS. KeyError where there is none."""
    for start, stock in {**ENCODERS[encoder], **SHARED}.items():
        end = "" if start.endswith(".") else r"(?=\.|$)"
        pattern = re.compile(re.escape(start).replace(r"\#", r"(\d+)") + end)
        if pattern.match(ours):
            return pattern.sub(stock.replace("#", r"\1"), ours, count=1)
    raise KeyError(ours)


def renamed(stock: State, model: nn.Module, heads: int, file: str, recipe: str) -> State:
    """The weights of ``file`` under the names of ``model``, in its shapes; all but its normalisation.

    heads: those of the encoder's mixers. Raises RecipeError, naming the first few, for weights that the file
    lacks or the model has no place for, and for shapes that do not fit.
    """
    wanted = {name: one for name, one in model.state_dict().items() if not name.startswith("normalize.")}
    names = {ours: stock_name(ours, type(model.encoder).__name__) for ours in wanted}
    missing = [name for name in names.values() if name not in stock]
    unmapped = [name for name in stock if name not in names.values() and not COMPUTED.fullmatch(name)]
    if missing:
        raise RecipeError(f"{file} lacks {first_few(missing)}, which {recipe} asks for: give the model's own recipe")
    if unmapped:
        raise RecipeError(f"{recipe} has no place for {first_few(unmapped)} of {file}: give the model's own recipe")
    return {ours: rearranged(stock, ours, names[ours], one, heads, file, recipe) for ours, one in wanted.items()}


def rearranged(stock: State, ours: str, name: str, wanted: Tensor, heads: int, file: str, recipe: str) -> Tensor:
    given = stock[name]
    try:
        changes = [change for end, change in CHANGES.items() if re.search(rf"(^|\.){end}$", ours)]
        tensor = changes[0](given, heads) if changes else given
    except RuntimeError:  # not divisible by the heads
        tensor = given
    if tensor.shape != wanted.shape:
        raise RecipeError(
            f"{file}: {name} is {list(given.shape)}, which does not fit {ours} {list(wanted.shape)} of {recipe}: "
            "give the model's own recipe"
        )
    return tensor.to(wanted.dtype).contiguous()


def first_few(names: list[str], most: int = 3) -> str:
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
