"""Stock SpeechBrain's TransformerLM: it computes the same here, and becomes a run folder that can be loaded."""

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
from tests.support.models import randomised
from tests.support.stock_models import Stock, tokenizer

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # stock's own

VOCABULARY = 13


def some_tokens(*shape: int) -> torch.Tensor:
    return torch.randint(1, VOCABULARY, shape, generator=torch.Generator().manual_seed(2))  # stock takes 0 for padding


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
    tokens = some_tokens(4, 30)
    expected = stock(tokens)
    assert expected.std() > 0.3
    torch.testing.assert_close(ours.eval()(tokens), expected, atol=1e-5, rtol=0)


CHANGES = {
    "recurrent": lambda state: {"rnn.weight_ih_l0": torch.zeros(2)},
    "decoder layers": lambda state: {**state, "decoder.layers.0.norm1.norm.weight": torch.zeros(2)},
    "no embedding": lambda state: {name: weight for name, weight in state.items() if "Embedding" not in name},
    "no layers": lambda state: {name: weight for name, weight in state.items() if ".layers." not in name},
}


@pytest.mark.parametrize("change", CHANGES.values(), ids=CHANGES)
def test_weights_of_another_model_are_recognised(change):
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
    """The stock language model, the folder of the converted recogniser, and what was printed."""
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
    files = sorted(path.name for path in (out / "lm").iterdir())
    assert files == ["averaged.ckpt", "recipe.yaml", "tokenizer"]
    ours = load_language_model(out / "lm", out / "tokenizer" / "tokenizer.model")
    tokens = some_tokens(3, 20)
    torch.testing.assert_close(ours(tokens), stock(tokens), atol=1e-5, rtol=0)


def test_converting_an_unsupported_language_model(tmp_path, capsys):
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


def test_loaded_model_is_ready_and_loading_draws_no_random_numbers(run):
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
    recognisers, own = tmp_path / "tokenizer.model", run / "tokenizer" / "tokenizer.model"
    with pytest.raises(RecipeError) as caught:
        load_language_model(run, recognisers)
    assert str(caught.value) == f"there is no tokenizer {recognisers} to compare the language model's with"
    recognisers.write_bytes(tokenizer() + b" ")
    with pytest.raises(RecipeError) as caught:
        load_language_model(run, recognisers)
    assert str(caught.value) == (
        f"the language model's tokenizer {own} differs from the recogniser's {recognisers}: train the language model "
        f"with the recogniser's own, python train_lm.py hparams/NAME.yaml --tokenizer {recognisers} …"
    )
    recognisers.write_bytes(tokenizer())
    assert load_language_model(run, recognisers).vocab_size == 32
