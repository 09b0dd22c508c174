"""The Transformer language model: its steps, stock SpeechBrain's weights in it, and its run folder."""

import contextlib
import io
import shutil

import pytest
import torch
from speechbrain.lobes.models.transformer.TransformerLM import TransformerLM as StockLM
from torch import nn

from recipes.config import recipe_content
from recipes.errors import RecipeError
from recipes.lm.saved_model import load_language_model
from recipes.models.language_model import TransformerLM
from recipes.stock.convert import main as from_speechbrain
from recipes.stock.language_model import renamed_lm
from tests.support.stock_models import Stock, tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # stock's own

VOCABULARY = 13


def randomised(model: nn.Module) -> nn.Module:
    """No norm at one, no bias at zero."""
    torch.manual_seed(1)
    with torch.no_grad():
        for parameter in model.parameters():
            parameter.add_(0.2 * torch.randn_like(parameter))
    return model.eval()


def language_model(layers: int = 2, heads: int = 2, norm_first: bool = True) -> TransformerLM:
    made = TransformerLM(VOCABULARY, 12, layers=layers, heads=heads, d_ffn=20, dropout=0.3, norm_first=norm_first)
    return randomised(made).double()


def some_tokens(*shape: int) -> torch.Tensor:
    return torch.randint(0, VOCABULARY, shape, generator=torch.Generator().manual_seed(2))


def assert_same(actual, expected):
    torch.testing.assert_close(actual, expected, atol=1e-10, rtol=1e-8)


# --- the model ---


@pytest.mark.parametrize("norm_first", [True, False], ids=["norm-first", "norm-last"])
@pytest.mark.parametrize("layers, heads", [(1, 1), (3, 4)], ids=["one-layer", "three-layers"])
@torch.no_grad()
def test_steps_equal_forward(layers, heads, norm_first):
    model, tokens = language_model(layers, heads, norm_first), some_tokens(3, 9)
    cache, logits = model.init_cache(3), []
    for column in tokens.T:
        now, cache = model.step(column, cache)
        logits.append(now)
    assert_same(torch.stack(logits, 1), model(tokens))


@torch.no_grad()
def test_cache_select_follows_the_hypotheses():
    """After a search has reordered and doubled hypotheses, each goes on as if it had been alone."""
    model, tokens, kept = language_model(), some_tokens(4, 5), torch.tensor([2, 0, 2, 3, 3])
    cache = model.init_cache(4)
    for column in tokens[:, :3].T:
        _, cache = model.step(column, cache)
    cache, survivors = cache.select(kept), tokens[kept]
    survivors[:, 3:] = some_tokens(5, 2)
    for place in (3, 4):
        logits, cache = model.step(survivors[:, place], cache)
    assert_same(logits, model(survivors)[:, -1])


@torch.no_grad()
def test_later_tokens_are_not_seen():
    model, tokens = language_model(), some_tokens(3, 6)
    changed = tokens.clone()
    changed[:, 4:] = (changed[:, 4:] + 1) % VOCABULARY
    before, after = model(tokens), model(changed)
    assert_same(before[:, :4], after[:, :4])
    assert (before[:, 4:] - after[:, 4:]).abs().amax(-1).min() > 1e-3


@torch.no_grad()
def test_positions_do_not_end():
    """Stock's table ends at 2,500; here places are told apart beyond it, at once and in steps."""
    model = language_model(layers=1)
    logits = model(torch.full((1, 2600), 5))[0]
    assert (logits[2550] - logits[2599]).abs().max() > 1e-7
    assert model.vocab_size == VOCABULARY


@pytest.mark.parametrize(
    ("d_model", "heads", "message"),
    [
        (12, 5, "TransformerLM: heads 5 must divide d_model 12"),
        (9, 3, "TransformerLM: d_model must be even, not 9"),
    ],
    ids=["heads", "odd-width"],
)
def test_sizes_that_do_not_fit(d_model, heads, message):
    with pytest.raises(ValueError, match=f"^{message}$"):
        TransformerLM(VOCABULARY, d_model, layers=1, heads=heads, d_ffn=4)


# --- stock SpeechBrain ---

SETTINGS = {
    "as in its LibriSpeech recipe": {"activation": nn.GELU, "d_embedding": 12},
    "without projection": {"activation": nn.ReLU},
    "narrow embedding": {"activation": nn.GELU, "d_embedding": 6},
    "norm first": {"activation": nn.GELU, "normalize_before": True},
}


@pytest.mark.parametrize("settings", SETTINGS.values(), ids=SETTINGS)
@torch.no_grad()
def test_computes_what_stock_computes(settings):
    stock = randomised(StockLM(VOCABULARY, 12, 3, 2, 0, 20, **settings))
    norm_first, activation = settings.get("normalize_before", False), settings["activation"]
    ours = TransformerLM(VOCABULARY, 12, layers=2, heads=3, d_ffn=20, activation=activation, norm_first=norm_first)
    ours.load_state_dict(renamed_lm(stock.state_dict()))
    tokens = some_tokens(4, 30).clamp(min=1)  # stock takes 0 for padding
    expected = stock(tokens)
    assert expected.std() > 0.3
    torch.testing.assert_close(ours.eval()(tokens), expected, atol=1e-5, rtol=0)


CHANGES = {
    "recurrent": lambda state: {"rnn.weight_ih_l0": torch.zeros(2)},
    "decoder layers": lambda state: {**state, "decoder.layers.0.norm1.norm.weight": torch.zeros(2)},
    "no embedding": lambda state: {name: one for name, one in state.items() if "Embedding" not in name},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_weights_of_another_model_are_told(change):
    assert renamed_lm(change(StockLM(VOCABULARY, 12, 3, 1, 0, 20).state_dict())) is None


HYPERPARAMS = """\
lm_model: !new:speechbrain.lobes.models.transformer.TransformerLM.TransformerLM
    nhead: 4
    activation: !name:torch.nn.GELU
    normalize_before: False
    attention_type: {attention}
"""


def converted(tmp_path, lm: StockLM, attention: str = "regularMHA") -> tuple[int, object]:
    """Exit status and run folder of a stock model with this language model beside it."""
    stock = Stock("conformer", "RelPosMHAXL")
    folder = stock.save(tmp_path / "stock")
    torch.save(lm.state_dict(), folder.parent / "lm.ckpt")
    with open(tmp_path / "stock" / "hyperparams.yaml", "a") as settings:
        settings.write(HYPERPARAMS.format(attention=attention))
    status = from_speechbrain([str(folder), "--recipe", str(stock.recipe(tmp_path)), str(tmp_path / "ours")])
    return status, tmp_path / "ours"


def stock_lm() -> StockLM:
    return randomised(StockLM(32, 16, 4, 2, 0, 24, activation=nn.GELU, d_embedding=16))


@pytest.fixture(scope="module")
def conversion(tmp_path_factory):
    """The stock language model, the folder of the converted recogniser, and what was said on the way."""
    stock, screen = stock_lm(), io.StringIO()
    with contextlib.redirect_stdout(screen):
        status, out = converted(tmp_path_factory.mktemp("stock"), stock)
    assert status == 0
    return stock, out, screen.getvalue()


@torch.no_grad()
def test_language_model_of_a_converted_recogniser(conversion):
    """It becomes a run folder of its own, with heads and activation from hyperparams.yaml."""
    stock, out, screen = conversion
    assert (
        f"its language model is a run folder of its own, {out / 'lm'}, and the recipe's lm_folder names it\n" in screen
    )
    assert recipe_content((out / "recipe.yaml").read_text())["lm_folder"] == str(out / "lm")
    kept = sorted(path.name for path in (out / "lm").iterdir())
    assert kept == ["averaged.ckpt", "recipe.yaml", "tokenizer"]
    ours = load_language_model(out / "lm", out / "tokenizer" / "tokenizer.model")
    tokens = some_tokens(3, 20).clamp(min=1)
    torch.testing.assert_close(ours(tokens), stock(tokens), atol=1e-5, rtol=0)


def test_converting_a_language_model_that_we_cannot_take(tmp_path, capsys):
    status, out = converted(tmp_path, stock_lm(), attention="RelPosMHAXL")
    assert status == 2 and not out.exists()
    settings = tmp_path / "stock" / "hyperparams.yaml"
    assert capsys.readouterr().err == (
        f"error: {settings}: lm_model.attention_type is RelPosMHAXL; we can only take regularMHA\n"
    )


# --- the run folder ---


@pytest.fixture
def run(conversion):
    return conversion[1] / "lm"


def test_loaded_model_is_ready_and_leaves_random_numbers_alone(run):
    state = torch.random.get_rng_state()
    model = load_language_model(run)
    assert not model.training and model.vocab_size == 32
    assert torch.equal(torch.random.get_rng_state(), state)


def without(name: str):
    return lambda folder: (folder / name).unlink()


def halved(folder):
    weights = folder / "averaged.ckpt"
    weights.write_bytes(weights.read_bytes()[:1000])


OTHER_WEIGHTS = {"embedding.weight": torch.zeros(2, 2)}
DAMAGE = {
    "no weights": (
        without("averaged.ckpt"),
        "{folder} holds no averaged.ckpt: train it to the end",
    ),
    "no recipe": (
        without("recipe.yaml"),
        "{folder} holds no recipe.yaml: is it the output folder of train_lm.py?",
    ),
    "no tokenizer": (
        without("tokenizer/tokenizer.model"),
        "{folder} holds no tokenizer/tokenizer.model: is it the output folder of train_lm.py?",
    ),
    "damaged weights": (
        halved,
        "{folder}/averaged.ckpt is damaged: ",
    ),
    "other weights": (
        lambda folder: torch.save(OTHER_WEIGHTS, folder / "averaged.ckpt"),
        ("{folder}/averaged.ckpt does not fit the model of {folder}/recipe.yaml: train it again, in another folder"),
    ),
    "other recipe": (
        lambda folder: (folder / "recipe.yaml").write_text("d_model: 4\n"),
        "{folder}/recipe.yaml is no recipe of a language model: give a folder of train_lm.py",
    ),
    "no folder": (
        shutil.rmtree,
        "there is no folder {folder} with a language model: train one with train_lm.py",
    ),
}


@pytest.mark.parametrize(("change", "message"), DAMAGE.values(), ids=DAMAGE)
def test_folders_that_cannot_be_loaded(run, tmp_path, change, message):
    folder = tmp_path / "lm"
    shutil.copytree(run, folder)
    change(folder)
    with pytest.raises(RecipeError) as caught:
        load_language_model(folder)
    assert str(caught.value).startswith(message.format(folder=folder)) and "\n" not in str(caught.value)


def test_another_tokenizer_is_refused(run, tmp_path):
    mine, own = tmp_path / "tokenizer.model", run / "tokenizer" / "tokenizer.model"
    with pytest.raises(RecipeError) as caught:
        load_language_model(run, mine)
    assert str(caught.value) == f"there is no tokenizer {mine} to compare the language model's with"
    mine.write_bytes(tokenizer() + b" ")
    with pytest.raises(RecipeError) as caught:
        load_language_model(run, mine)
    assert str(caught.value) == (
        f"the language model's tokenizer {own} differs from the recogniser's {mine}: train the language model with "
        f"the recogniser's own, python train_lm.py hparams/NAME.yaml --tokenizer {mine} …"
    )
    mine.write_bytes(tokenizer())
    assert load_language_model(run, mine).vocab_size == 32
