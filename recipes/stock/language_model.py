"""SpeechBrain's TransformerLM as a run folder of a language model of ours."""

from pathlib import Path

from torch import Tensor

from recipes.config import flatten, load
from recipes.config.messages import nearest
from recipes.errors import RecipeError
from recipes.stock.names import State, our_lm_name
from recipes.stock.settings import ACTIVATIONS, Hyperparameters
from recipes.training.run_folder import TOKENIZER, WEIGHTS
from recipes.training.tensors import save_weights

RECIPE = Path(__file__).parents[2] / "hparams" / "lm_transformer.yaml"

EMBEDDING = "custom_src_module.emb.Embedding.weight"
NEEDED = ("final_norm.weight", "head.out.weight", "layers.0.ffn.up.weight")  # of every such model
PROJECTION = "embedding_proj.w."
POSITIONS = "positional_encoding.pe"  # a table, which ours computes
# The only value of a setting that our model can take, which is also SpeechBrain's default.
FIXED = {"attention_type": "regularMHA", "positional_encoding": "fixed_abs_sine", "causal": "True"}
HEAD_SIZE = 64  # of the published model, for a folder without hyperparams.yaml


def renamed_lm(stock: State) -> State | None:
    """The weights under the names of our ``TransformerLM``; None if they are not those of SpeechBrain's."""
    state = {}
    for name, weight in stock.items():
        if name in (EMBEDDING, POSITIONS) or name.startswith(PROJECTION):
            continue
        ours = our_lm_name(name)
        if ours is None:
            return None
        state[ours] = weight
    if EMBEDDING not in stock or not all(name in state for name in NEEDED):
        return None
    return {"embedding.weight": embedding(stock), **state}


def embedding(stock: State) -> Tensor:
    """The embedding, with SpeechBrain's projection multiplied in if there is one.

    SpeechBrain scales by the root of the width before the projection, our model behind it.
    """
    table, weight = stock[EMBEDDING], stock.get(f"{PROJECTION}weight")
    if weight is None:
        return table
    projected = table.double() * table.shape[1] ** 0.5 @ weight.double().T + stock[f"{PROJECTION}bias"].double()
    return (projected / weight.shape[0] ** 0.5).to(table.dtype)


def lm_options(state: State, stock: Hyperparameters) -> dict[str, object]:
    """Keys of hparams/lm_transformer.yaml, from renamed weights and ``hyperparams.yaml``.

    Raises RecipeError for settings that our model cannot take.
    """
    vocab_size, d_model = state["embedding.weight"].shape
    sizes = {
        "vocab_size": vocab_size,
        "d_model": d_model,
        "layers": len({name.split(".")[1] for name in state if name.startswith("layers.")}),
        "d_ffn": state["layers.0.ffn.up.weight"].shape[0],
    }
    key = settings_key(stock)
    if key is None:
        return {**sizes, "heads": max(d_model // HEAD_SIZE, 1)}
    for name, needed in FIXED.items():
        value = stock.value(f"{key}.{name}") or needed
        if value != needed:
            raise RecipeError(f"{stock.path}: {key}.{name} is {value}; we can only take {needed}")
    activation = stock.value(f"{key}.activation") or "ReLU"
    if activation not in ACTIVATIONS:
        raise RecipeError(f"{stock.path}: unknown activation {activation}{nearest(activation, list(ACTIVATIONS))}")
    return {
        **sizes,
        "heads": int(stock.value(f"{key}.nhead") or 8),
        "activation": f"!name:torch.nn.{ACTIVATIONS[activation]}",
        "norm_first": (stock.value(f"{key}.normalize_before") or "False").lower() == "true",
    }


def settings_key(stock: Hyperparameters) -> str | None:
    """The key of ``hyperparams.yaml`` that builds the language model; None if there is none."""
    pairs = stock.root.value if stock.root is not None else ()
    return next((key.value for key, value in pairs if value.tag.endswith(".TransformerLM")), None)


def write_lm(state: State, stock: Hyperparameters, tokenizer: Path, folder: Path, final: Path, file: Path) -> None:
    """Write the run folder ``folder``, which will be moved to ``final``. state: renamed weights, of ``file``.

    Raises RecipeError if they are not the weights of a whole model.
    """
    options = {
        **lm_options(state, stock),
        "tokenizer": str(final / TOKENIZER),
        "output_folder": str(final),
        "train_text": None,
        "valid_text": None,
    }
    model = load(RECIPE, options).hparams["language_model"]
    try:
        model.load_state_dict(state)
    except RuntimeError:
        raise RecipeError(
            f"{file} lacks weights of a TransformerLM, or has some of other sizes: fetch it again"
        ) from None
    (folder / TOKENIZER).parent.mkdir(parents=True)
    (folder / TOKENIZER).write_bytes(tokenizer.read_bytes())
    (folder / "recipe.yaml").write_text(flatten(RECIPE, options), encoding="utf-8")
    save_weights(model.state_dict(), folder / WEIGHTS)
