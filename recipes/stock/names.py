"""The weights of SpeechBrain's models under our names: one table, and the tensors that are arranged differently."""

import functools
import re
from collections.abc import Callable
from typing import NamedTuple

from torch import Tensor, nn

from recipes.errors import RecipeError

State = dict[str, Tensor]

# Ours, SpeechBrain's, and the function of CHANGES that turns its tensor into ours. `#` is the number of a layer, `*`
# the end of a name. A recogniser of SpeechBrain's recipes is the list [CNN, Transformer, seq_lin, ctc_lin].
TABLE = {
    "recogniser": """
        frontend.convs.#.weight                      0.convblock_#.convs.conv_0.conv.weight            swap_axes
        frontend.convs.#.bias                        0.convblock_#.convs.conv_0.conv.bias
        frontend.norms.#.*                           0.convblock_#.convs.norm_0.norm.*
        frontend.project.*                           1.custom_src_module.layers.0.w.*

        encoder.blocks.#.mixer.qkv.weight            1.encoder.layers.#.mha_layer.in_proj_weight        group_by_role
        encoder.blocks.#.mixer.out.*                 1.encoder.layers.#.mha_layer.out_proj.*
        encoder.blocks.#.mixer.position_projection.* 1.encoder.layers.#.mha_layer.linear_pos.*
        encoder.blocks.#.mixer.content_bias          1.encoder.layers.#.mha_layer.pos_bias_u           swap_sizes
        encoder.blocks.#.mixer.position_bias         1.encoder.layers.#.mha_layer.pos_bias_v           swap_sizes
        encoder.blocks.#.mixer.w1.*                  1.encoder.layers.#.mha_layer.hyper.w1_gen.*
        encoder.blocks.#.mixer.w2.*                  1.encoder.layers.#.mha_layer.hyper.w2_gen.*
        encoder.blocks.#.mixer.norm.*                1.encoder.layers.#.mha_layer.layer_norm.*
        encoder.final_norm.*                         1.encoder.norm.norm.*

        decoder.embedding.*                          1.custom_tgt_module.layers.0.emb.Embedding.*
        decoder.layers.#.self_norm.*                 1.decoder.layers.#.norm1.norm.*
        decoder.layers.#.cross_norm.*                1.decoder.layers.#.norm2.norm.*
        decoder.layers.#.self_qkv.*                  1.decoder.layers.#.self_attn.att.in_proj_*
        decoder.layers.#.self_out.*                  1.decoder.layers.#.self_attn.att.out_proj.*
        decoder.layers.#.cross_query.*               1.decoder.layers.#.multihead_attn.att.in_proj_*   first_third
        decoder.layers.#.cross_kv.*                  1.decoder.layers.#.multihead_attn.att.in_proj_*   last_two_thirds
        decoder.layers.#.cross_out.*                 1.decoder.layers.#.multihead_attn.att.out_proj.*
        decoder.layers.#.ffn.norm.*                  1.decoder.layers.#.norm3.norm.*
        decoder.layers.#.ffn.up.*                    1.decoder.layers.#.pos_ffn.ffn.0.*
        decoder.layers.#.ffn.down.*                  1.decoder.layers.#.pos_ffn.ffn.3.*
        decoder.final_norm.*                         1.decoder.norm.norm.*
        decoder.out.*                                2.w.*
        ctc.*                                        3.w.*
    """,
    "Conformer": """
        encoder.blocks.#.ffn1.norm.*                 1.encoder.layers.#.ffn_module1.0.*
        encoder.blocks.#.ffn1.up.*                   1.encoder.layers.#.ffn_module1.1.ffn.0.*
        encoder.blocks.#.ffn1.down.*                 1.encoder.layers.#.ffn_module1.1.ffn.3.*
        encoder.blocks.#.mixer_norm.*                1.encoder.layers.#.norm1.norm.*
        encoder.blocks.#.conv.norm.*                 1.encoder.layers.#.convolution_module.layer_norm.*
        encoder.blocks.#.conv.pointwise_in.weight    1.encoder.layers.#.convolution_module.bottleneck.0.weight one_frame
        encoder.blocks.#.conv.pointwise_in.bias      1.encoder.layers.#.convolution_module.bottleneck.0.bias
        encoder.blocks.#.conv.depthwise.*            1.encoder.layers.#.convolution_module.conv.*
        encoder.blocks.#.conv.depthwise_norm.*       1.encoder.layers.#.convolution_module.after_conv.0.*
        encoder.blocks.#.conv.pointwise_out.*        1.encoder.layers.#.convolution_module.after_conv.2.*
        encoder.blocks.#.ffn2.norm.*                 1.encoder.layers.#.ffn_module2.0.*
        encoder.blocks.#.ffn2.up.*                   1.encoder.layers.#.ffn_module2.1.ffn.0.*
        encoder.blocks.#.ffn2.down.*                 1.encoder.layers.#.ffn_module2.1.ffn.3.*
        encoder.blocks.#.final_norm.*                1.encoder.layers.#.norm2.norm.*
    """,
    "Branchformer": """
        encoder.blocks.#.mixer_norm.*                1.encoder.layers.#.norm_mhsa.norm.*
        encoder.blocks.#.cgmlp.norm.*                1.encoder.layers.#.norm_conv.norm.*
        encoder.blocks.#.cgmlp.up.*                  1.encoder.layers.#.convolution_branch.pre_channel_proj.*
        encoder.blocks.#.cgmlp.csgu.norm.*           1.encoder.layers.#.convolution_branch.csgu.norm.norm.*
        encoder.blocks.#.cgmlp.csgu.depthwise.*      1.encoder.layers.#.convolution_branch.csgu.conv.conv.*
        encoder.blocks.#.cgmlp.down.*                1.encoder.layers.#.convolution_branch.post_channel_proj.*
        encoder.blocks.#.merge.*                     1.encoder.layers.#.merge_proj.*
    """,
    "language model": """
        layers.#.self_norm.*                         encoder.layers.#.norm1.norm.*
        layers.#.ffn_norm.*                          encoder.layers.#.norm2.norm.*
        layers.#.self_qkv.*                          encoder.layers.#.self_att.att.in_proj_*
        layers.#.self_out.*                          encoder.layers.#.self_att.att.out_proj.*
        layers.#.ffn.up.*                            encoder.layers.#.pos_ffn.ffn.0.*
        layers.#.ffn.down.*                          encoder.layers.#.pos_ffn.ffn.3.*
        final_norm.*                                 encoder.norm.norm.*
        head.hidden.*                                output_proj.layers.0.w.*
        head.norm.*                                  output_proj.layers.1.norm.*
        head.out.*                                   output_proj.layers.2.w.*
    """,
}
COMPUTED = re.compile(r".*positional_encoding(_decoder)?\.(pe|inv_freq)")  # tables of positions, no weights


def group_by_role(weight: Tensor, heads: int) -> Tensor:
    """SpeechBrain: query, key and value rows of each head in turn. Ours: all queries, all keys, all values."""
    return weight.unflatten(0, (heads, 3, -1)).transpose(0, 1).flatten(0, 2)


# Each takes SpeechBrain's tensor and the number of heads.
CHANGES: dict[str, Callable[[Tensor, int], Tensor]] = {
    "swap_axes": lambda weight, heads: weight.transpose(2, 3),  # SpeechBrain's: frequency, then time
    "one_frame": lambda weight, heads: weight.squeeze(-1),  # SpeechBrain's: a convolution over one frame
    "group_by_role": group_by_role,
    # SpeechBrain's shape is [head size, heads], but it reads the memory as [heads, head size].
    "swap_sizes": lambda bias, heads: bias.reshape(bias.shape[::-1]),
    "first_third": lambda weight, heads: weight[: len(weight) // 3],
    "last_two_thirds": lambda weight, heads: weight[len(weight) // 3 :],
}


class Row(NamedTuple):
    """A row of TABLE; change: a key of CHANGES, empty for a tensor that stays as it is."""

    ours: str
    stock: str
    change: str = ""


@functools.cache
def rows(part: str) -> list[Row]:
    """The rows of a part of TABLE."""
    return [Row(*line.split()) for line in TABLE[part].strip().splitlines() if line.strip()]


def translate(name: str, source: str, target: str) -> str | None:
    """``name`` by the pattern ``target`` if it matches the pattern ``source``, both of a Row; otherwise None."""
    match = re.fullmatch(re.escape(source).replace(r"\#", r"(?P<layer>\d+)").replace(r"\*", "(?P<end>.+)"), name)
    if match is None:
        return None
    parts = match.groupdict()
    return target.replace("#", parts.get("layer", "")).replace("*", parts.get("end", ""))


def stock_name(ours: str, encoder: str) -> tuple[str, str]:
    """SpeechBrain's name of a weight of a recogniser, and the change of its row.

    encoder: Conformer or Branchformer. Raises KeyError where the table has no such weight.
    """
    for row in (*rows(encoder), *rows("recogniser")):
        name = translate(ours, row.ours, row.stock)
        if name is not None:
            return name, row.change
    raise KeyError(ours)


def our_lm_name(stock: str) -> str | None:
    """Our name of a weight of SpeechBrain's TransformerLM; None where the table has no such weight."""
    names = (translate(stock, row.stock, row.ours) for row in rows("language model"))
    return next((name for name in names if name is not None), None)


def renamed(stock: State, model: nn.Module, encoder: str, heads: int, file: str, recipe: str) -> State:
    """The weights of ``file`` under the names of ``model``, in its shapes; all but its normalisation.

    encoder: Conformer or Branchformer. heads: those of the encoder's mixers. Raises RecipeError, naming the first
    few, for weights that the file lacks or the model has no place for, and for shapes that do not fit.
    """
    wanted = {name: weight for name, weight in model.state_dict().items() if not name.startswith("normalize.")}
    names = {ours: stock_name(ours, encoder) for ours in wanted}
    used = {name for name, _ in names.values()}
    missing = [name for name, _ in names.values() if name not in stock]
    unmapped = [name for name in stock if name not in used and not COMPUTED.fullmatch(name)]
    if missing:
        raise RecipeError(f"{file} lacks {first_few(missing)}, which {recipe} asks for: give the model's own recipe")
    if unmapped:
        raise RecipeError(f"{recipe} has no place for {first_few(unmapped)} of {file}: give the model's own recipe")
    state = {}
    for ours, weight in wanted.items():
        name, change = names[ours]
        state[ours] = changed(stock[name], change, heads).to(weight.dtype).contiguous()
        if state[ours].shape != weight.shape:
            raise RecipeError(
                f"{file}: {name} is {list(stock[name].shape)}, which does not fit {ours} {list(weight.shape)} of "
                f"{recipe}: give the model's own recipe"
            )
    return state


def changed(weight: Tensor, change: str, heads: int) -> Tensor:
    """SpeechBrain's tensor arranged as ours; unchanged where its shape does not allow that."""
    try:
        return CHANGES[change](weight, heads) if change else weight
    except (RuntimeError, IndexError):
        return weight


def first_few(names: list[str], most: int = 3) -> str:
    listed = ", ".join(names[:most])
    return f"{listed} and {len(names) - most} more" if len(names) > most else listed
