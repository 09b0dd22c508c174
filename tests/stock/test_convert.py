"""Models of stock SpeechBrain, converted from the files that it saves: they compute the same here."""

import pytest
import torch
from torch.nn.utils.rnn import pad_sequence

from data_prep.tokenizer import load_tokenizer
from recipes.config import load
from recipes.stock.convert import main
from tests.support.runs import small_corpus, summary
from tests.support.stock_models import KINDS, Stock, noise
from train import main as train

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # stock's decoder

FRAMES = (40, 41, 42, 43, 61)  # feature frames, all remainders of 4
TOKENS = torch.tensor([1, 7, 3, 12, 5])


def converted(tmp_path, stock: Stock, *options: str, hyperparams: bool = True, **keys):
    """The model of a run folder that the command line wrote."""
    folder, out = stock.save(tmp_path / "stock", hyperparams=hyperparams), tmp_path / "ours"
    assert main([str(folder), "--recipe", str(stock.recipe(tmp_path, **keys)), str(out), *options]) == 0
    model = load(out / "recipe.yaml", {"data_folder": "."}).hparams["model"]
    model.load_state_dict(torch.load(out / "averaged.ckpt", weights_only=True))
    return model.eval(), out


def alone(model, audio):
    with torch.no_grad():
        output = model(audio[None], torch.tensor([len(audio)]), TOKENS[None])
    return output.encoded.frames[0], output.ctc_logits[0], output.decoder_logits[0]


def assert_same(model, stock, frames=FRAMES):
    audios = [noise(160 * (count - 1) + 50, seed) for seed, count in enumerate(frames)]
    for audio in [*audios, 1e-3 * audios[0]]:  # so quiet that SpeechBrain's floor has an effect
        expected = stock(audio, TOKENS)
        assert expected[0].std() > 0.3 and expected[2].std() > 0.3
        for output, wanted in zip(alone(model, audio), expected, strict=True):
            torch.testing.assert_close(output, wanted, atol=1e-4, rtol=0)


@pytest.mark.parametrize(("encoder", "attention"), KINDS, ids=["-".join(kind) for kind in KINDS])
def test_computes_what_stock_computes(tmp_path, encoder, attention):
    stock = Stock(encoder, attention)
    model, _ = converted(tmp_path, stock)
    assert_same(model, stock)

    audios = [noise(160 * (count - 1) + 50, seed) for seed, count in enumerate(FRAMES)]
    lengths = torch.tensor([len(audio) for audio in audios])
    padded = pad_sequence([*audios, torch.zeros(16000)], batch_first=True, padding_value=0.5)[:-1]
    with torch.no_grad():
        batch = model(padded, lengths, TOKENS.expand(len(audios), -1))
    for row, audio in enumerate(audios):
        frames, ctc, attention_logits = alone(model, audio)
        torch.testing.assert_close(batch.encoded.frames[row, : len(frames)], frames, atol=1e-5, rtol=0)
        torch.testing.assert_close(batch.ctc_logits[row, : len(frames)], ctc, atol=1e-5, rtol=0)
        torch.testing.assert_close(batch.decoder_logits[row], attention_logits, atol=1e-5, rtol=0)


def test_window_of_the_large_recipes(tmp_path):
    """32 ms, from hyperparams.yaml, or from the command line where there is none."""
    stock = Stock("branchformer", "hypermixing", n_fft=512, win_length=32)
    assert_same(converted(tmp_path / "with_file", stock)[0], stock, FRAMES[:1])
    option = "--model.features.window_length=512"
    assert_same(converted(tmp_path / "with_option", stock, option, hyperparams=False)[0], stock, FRAMES[:1])


def test_published_folder(tmp_path, capsys):
    """asr.ckpt and the rest side by side; hyperparams.yaml and language model may be missing."""
    stock = Stock("conformer", "RelPosMHAXL")
    checkpoint = stock.save(tmp_path / "stock", hyperparams=False)
    folder = tmp_path / "published"
    folder.mkdir()
    for name, published in {"model.ckpt": "asr.ckpt", "normalizer.ckpt": "normalizer.ckpt"}.items():
        (checkpoint / name).rename(folder / published)
    (tmp_path / "stock" / "save" / "tokenizer.ckpt").rename(folder / "tokenizer.ckpt")
    out = tmp_path / "runs" / "ours"
    assert main([str(folder), "--recipe", str(stock.recipe(tmp_path)), str(out)]) == 0
    assert sorted(path.name for path in out.iterdir()) == ["averaged.ckpt", "recipe.yaml", "tokenizer"]
    assert load_tokenizer(out / "tokenizer" / "tokenizer.model").decode([10, 11])
    assert "no hyperparams.yaml there: window," in capsys.readouterr().out


def test_a_language_model_of_another_kind_is_kept_as_it_is(tmp_path, capsys):
    stock = Stock("conformer", "hypermixing")
    folder, out = stock.save(tmp_path / "stock"), tmp_path / "ours"
    recurrent = {"rnn.weight_ih_l0": torch.randn(8, 2)}
    torch.save(recurrent, folder.parent / "lm.ckpt")
    assert main([str(folder), "--recipe", str(stock.recipe(tmp_path)), str(out)]) == 0
    kept = torch.load(out / "lm" / "lm.ckpt", weights_only=True)
    assert kept.keys() == recurrent.keys() and torch.equal(kept["rnn.weight_ih_l0"], recurrent["rnn.weight_ih_l0"])
    message = f"{out / 'lm' / 'lm.ckpt'} is no stock TransformerLM: kept as it was, of no use in decoding\n"
    assert message in capsys.readouterr().out


def test_converted_model_is_tested_and_not_trained(tmp_path, capsys):
    """On a corpus without training data, with the tokenizer that came with it."""
    _, out = converted(tmp_path, Stock("conformer", "RoPEMHA"))
    tokenizer = (out / "tokenizer" / "tokenizer.model").read_bytes()
    corpus = small_corpus(tmp_path / "corpus")
    (corpus / "train-clean-5").rename(tmp_path / "elsewhere")
    options = f"{out / 'recipe.yaml'} --data_folder {corpus} --device cpu --noprogressbar --workers 0".split()
    options += ["--test_search.beam", "2"]
    assert train([*options, "--test_only"]) == 0
    assert summary(out).splits["test-clean"].utterances == 3
    assert (out / "tokenizer" / "tokenizer.model").read_bytes() == tokenizer
    assert "testing with averaged.ckpt" in (out / "log.txt").read_text()
    capsys.readouterr()
    assert train(options) == 2
    hint = (
        "holds weights (averaged.ckpt) and no checkpoints to go on from: give --test_only, or another --output_folder"
    )
    assert hint in capsys.readouterr().err
    assert train([*options, "--test_only", "--d_model", "32"]) == 2
    assert f"{out} holds a run of another recipe (it differs in d_model)" in capsys.readouterr().err


# --- what goes wrong ----------------------------------------------------------------------------------------


def without(*endings):
    def change(state):
        return {name: weight for name, weight in state.items() if not name.endswith(endings)}

    return change


def test_errors_of_recipes(tmp_path, capsys):
    stock = Stock("conformer", "RelPosMHAXL")
    folder = stock.save(tmp_path / "stock")
    weights, recipe = folder / "model.ckpt", tmp_path / "ours.yaml"

    def error(out="ours", **keys) -> str:
        assert main([str(folder), "--recipe", str(stock.recipe(tmp_path, **keys)), str(tmp_path / out)]) == 2
        assert sorted(path.name for path in tmp_path.iterdir()) == ["ours.yaml", "stock"]
        message = capsys.readouterr().err
        assert message.startswith("error: ") and message.count("\n") == 1
        return message.removeprefix("error: ").rstrip()

    assert error(mixer="hypermixing") == (
        f"{weights} holds a Conformer with RelposAttention, but {recipe} is a Conformer with HyperMixing: "
        "give the model's own recipe"
    )
    assert error(layers=3, d_model=32) == (
        f"{weights} has layers 2, d_model 16, but {recipe} has layers 3, d_model 32: "
        "give the model's own recipe, or --layers 2 --d_model 16"
    )
    assert error(heads=4) == (
        f"{weights} has heads 2, but {recipe} has heads 4: give the model's own recipe, or --heads 2"
    )
    assert error("stock").endswith("stock is there already: give another folder")


CHANGED = {
    "weights missing": (
        "model.ckpt",
        without("norm1.norm.weight", "norm2.norm.bias"),
        "{file} lacks 1.encoder.layers.0.norm1.norm.weight, 1.encoder.layers.0.norm2.norm.bias, "
        "1.encoder.layers.1.norm1.norm.weight and 3 more, which {recipe} asks for: give the model's own recipe",
    ),
    "superfluous weights": (
        "model.ckpt",
        lambda state: {**state, "4.w.weight": torch.zeros(2)},
        "{recipe} has no place for 4.w.weight of {file}: give the model's own recipe",
    ),
    "another shape": (
        "model.ckpt",
        lambda state: {**state, "0.convblock_0.convs.conv_0.conv.weight": torch.zeros(8, 1, 3, 3)},
        "{file}: 0.convblock_0.convs.conv_0.conv.weight is [8, 1, 3, 3], which does not fit "
        "frontend.convs.0.weight [6, 1, 3, 3] of {recipe}: give the model's own recipe",
    ),
    "no Conformer or Branchformer": (
        "model.ckpt",
        lambda state: {"encoder.weight": torch.zeros(2)},
        "{file} holds no model that we can take: it must be [CNN, Transformer, seq_lin, ctc_lin] with a "
        "Conformer (RelPosMHAXL, RoPEMHA, hypermixing) or a Branchformer (RelPosMHAXL, hypermixing)",
    ),
    "no tensors": ("model.ckpt", lambda state: {"epoch": 3}, "{file} holds no tensors by name"),
    "code": ("model.ckpt", lambda state: Stock, "{file} is damaged, or holds other things than tensors"),
    "normaliser never updated": (
        "normalizer.ckpt",
        lambda state: {"count": 0, "glob_mean": torch.empty(0), "glob_std": torch.empty(0)},
        "{file} holds a mean of [0] where [80] is needed: was the model trained?",
    ),
}


@pytest.mark.parametrize(("name", "change", "expected"), CHANGED.values(), ids=CHANGED)
def test_errors_of_files(tmp_path, capsys, name, change, expected):
    stock = Stock("conformer", "RelPosMHAXL")
    folder, recipe = stock.save(tmp_path / "stock"), stock.recipe(tmp_path)
    file = folder / name
    torch.save(change(torch.load(file)), file)
    assert main([str(folder), "--recipe", str(recipe), str(tmp_path / "ours")]) == 2
    assert capsys.readouterr().err == f"error: {expected.format(file=file, recipe=recipe)}\n"
    assert not (tmp_path / "ours").exists()


def test_errors_of_folders(tmp_path, capsys):
    stock = Stock("conformer", "RelPosMHAXL")
    folder, recipe = stock.save(tmp_path / "stock", causal=True), stock.recipe(tmp_path)

    def error(folder) -> str:
        assert main([str(folder), "--recipe", str(recipe), str(tmp_path / "ours")]) == 2
        return capsys.readouterr().err.removeprefix("error: ").rstrip()

    assert error(tmp_path / "none") == f"there is no folder {tmp_path / 'none'}"
    settings = tmp_path / "stock" / "hyperparams.yaml"
    assert error(folder) == f"{settings}: Transformer.causal is True; we can only take False"
    settings.write_text(settings.read_text().replace("    causal: True\n", ""))
    expected = f"{settings}: Transformer.causal is not set, which means True; we can only take False"
    assert error(folder) == expected
    settings.write_text(settings.read_text().replace("_before: True", "_before: True\n    causal: False"))
    settings.write_text(
        settings.read_text().replace("win_length: 25", "win_length: 25\n    hop_length: 20\n    f_min: 0.0")
    )
    assert error(folder) == f"{settings}: compute_features.hop_length is 20; we can only take 10"
    settings.write_text(settings.read_text().replace("hop_length: 20", "hop_length: 10.0"))
    settings.write_text(settings.read_text().replace("win_length: 25", "win_length: !ref <n_fft> / 16"))
    assert error(folder) == f"{settings}, line 7: write the value itself in the place of <n_fft> / 16"
    settings.write_text(settings.read_text().replace("!ref <n_fft> / 16", "25").replace("400", "512"))
    assert error(folder) == f"{settings}: n_fft is 512 for a window of 400 samples; we take them equal"
    settings.write_text("seed: 1\n")
    assert error(folder) == f"{settings} has no Transformer: is it the file of this model?"
    save = folder.parent
    assert error(save) == f"{save} has no weights (model.ckpt or asr.ckpt); it holds checkpoints: name one, {folder}"
    (save / "tokenizer.ckpt").unlink()
    assert error(folder) == f"{folder} has no tokenizer (tokenizer.ckpt)"
