"""Training beside stock SpeechBrain: the same weights give the same losses and gradients, and the driver runs."""

import json

import pytest
import torch
from speechbrain.core import Stage
from speechbrain.utils.run_opts import RunOptions
from torch.nn.functional import pad
from torch.nn.utils.rnn import pad_sequence

from benchmarks.stock_parity.command import RECIPE, main
from benchmarks.stock_parity.figures import TrainFigures
from benchmarks.stock_parity.masks import masked_shares
from benchmarks.stock_parity.results import add_run, markdown, read
from benchmarks.stock_parity.stock_brain import StockBrain
from benchmarks.stock_parity.stock_model import stock_modules, weights_under_our_names
from benchmarks.stock_parity.systems import AUGMENTATION, parse_system, take_features
from data_prep.tokenizer import START
from recipes.asr.data import Batch
from recipes.asr.loss import joint_loss
from recipes.config import load
from recipes.models import SpecAugment
from tests.support.models import randomised
from tests.support.runs import ROOT, small_corpus
from tests.support.stock_models import noise

pytestmark = pytest.mark.filterwarnings("ignore:Support for mismatched key_padding_mask")  # stock's decoder
SIZES = {
    "d_model": 16,
    "heads": 2,
    "layers": 2,
    "d_ffn": 24,
    "kernel_size": 7,
    "decoder_layers": 2,
    "model.frontend.channels": [6, 4],
}
AS_STOCK = {"mixer": "relpos_attention", "model.frontend.ends": "reflect", "data_folder": ".", "seed": 3}


def batch_of(*samples: int) -> Batch:
    """Noise of so many samples, with seven random tokens each."""
    draw = torch.Generator().manual_seed(5)
    tokens = torch.randint(3, 32, (len(samples), 7), generator=draw)
    audio = pad_sequence([noise(count, seed) for seed, count in enumerate(samples)], batch_first=True)
    names = [str(count) for count in samples]
    return Batch(names, audio, torch.tensor(samples), tokens, torch.full((len(samples),), 7), names)


def pair(**keys):
    """SpeechBrain's Brain and our recogniser with the same weights, ready to train, and the recipe's keys."""
    hparams = load(RECIPE, {**SIZES, **AS_STOCK, **keys}).hparams
    brain, model = StockBrain(hparams, RunOptions(), tokenizer=None, record=None), hparams["model"]
    randomised(brain.modules)
    brain.modules.train()
    normalize = brain.modules.normalize
    normalize(brain.hparams.compute_features(noise(32000)[None]), torch.ones(1), epoch=1)
    brain.epoch = 9  # from epoch 4 on the normalisation is fixed
    take_features(hparams)
    model.load_state_dict(weights_under_our_names(brain.modules, model), strict=False)
    model.normalize.mean.copy_(normalize.glob_mean)
    model.normalize.std.copy_(normalize.glob_std)
    return brain, model.train(), hparams


def stock_loss(brain, batch):
    """The joint loss, and its parts by name."""
    brain.train_figures = TrainFigures()
    loss = brain.compute_objectives(brain.compute_forward(batch, Stage.TRAIN), batch, Stage.TRAIN)
    brain.train_figures.add_step(1.0, 5.0)
    return loss, brain.train_figures.means()


def our_loss(model, hparams, batch):
    output = model(batch.audio, batch.lengths, pad(batch.tokens, (1, 0), value=START))
    return joint_loss(output, batch, ctc_weight=hparams["ctc_weight"], label_smoothing=hparams["label_smoothing"])


def test_same_weights_same_losses_and_gradients():
    """From audio on, for a batch without padding; with padding SpeechBrain's losses are not those of its utterances."""
    brain, model, hparams = pair()
    batch = batch_of(16000, 16000, 16000)
    stock, parts = stock_loss(brain, batch)
    ours = our_loss(model, hparams, batch)
    for name, value in ours.parts().items():
        torch.testing.assert_close(value.item(), parts[name], rtol=1e-5, atol=0)
    torch.testing.assert_close(ours.joint, stock, rtol=1e-5, atol=0)
    stock.backward()
    ours.joint.backward()
    with torch.no_grad():  # the table of names then turns gradients into ours, as it does weights
        for parameter in brain.modules.parameters():
            parameter.copy_(parameter.grad)
    expected = weights_under_our_names(brain.modules, model)
    largest = max(gradient.abs().max() for gradient in expected.values())
    assert largest > 1
    for name, parameter in model.named_parameters():
        torch.testing.assert_close(parameter.grad, expected[name], rtol=0, atol=1e-5 * float(largest), msg=name)


@pytest.mark.parametrize("place", ["none", "embedding", "mixer"])
def test_dropout_is_in_the_same_places(monkeypatch, place):
    """With a factor in place of dropout's random zeros the losses are the same; with one place more they are not."""

    def factor(x, p=0.5, training=True, inplace=False):
        return (1 - p) * x if training else x

    monkeypatch.setattr("torch.nn.functional.dropout", factor)
    for module in ("dropout", "relpos_attention"):
        monkeypatch.setattr(f"mixers.{module}.dropout", factor)
    brain, model, hparams = pair(dropout=0.3)
    parse_system("relpos_attention:mixer_dropout").change(hparams)
    if place == "embedding":
        model.decoder.embedding_dropout.p = 0.3
    elif place == "mixer":
        model.encoder.blocks[0].dropout.p = 0.3
    for ours, stock in zip(model.decoder.layers, brain.modules.Transformer.decoder.layers, strict=True):
        # Inside fused kernels, which nothing can be put into.
        ours.attention_dropout = stock.self_attn.att.dropout = stock.multihead_attn.att.dropout = 0.0
    batch = batch_of(16000, 16000)
    _, parts = stock_loss(brain, batch)
    differences = {
        name: abs(value.item() / parts[name] - 1) for name, value in our_loss(model, hparams, batch).parts().items()
    }
    assert (max(differences.values()) < 1e-5) == (place == "none"), differences


def test_padding_changes_the_losses_of_stock_alone():
    brain, model, hparams = pair()
    samples = (16000, 9000, 7000)
    batch, singles = batch_of(*samples), []
    for row, count in enumerate(samples):
        rows = slice(row, row + 1)
        singles.append(
            Batch(
                batch.ids[rows],
                batch.audio[rows, :count],
                batch.lengths[rows],
                batch.tokens[rows],
                batch.token_lengths[rows],
                batch.words[rows],
            )
        )
    with torch.no_grad():
        alone = torch.stack([our_loss(model, hparams, single).joint for single in singles]).mean()
        torch.testing.assert_close(our_loss(model, hparams, batch).joint, alone, rtol=1e-5, atol=0)
        stock_alone = torch.stack([stock_loss(brain, single)[0] for single in singles]).mean()
        torch.testing.assert_close(stock_alone, alone, rtol=1e-5, atol=0)
        assert (stock_loss(brain, batch)[0] / alone - 1).abs() > 1e-3


def test_changes_make_ours_as_stock():
    """From SpeechBrain's initial weights; its dropouts alone; its masks."""
    keys = {**SIZES, **AUGMENTATION, "mixer": "relpos_attention", "data_folder": ".", "seed": 4}
    hparams = load(RECIPE, keys).hparams
    model = hparams["model"]
    parse_system("relpos_attention:initial_values+mixer_dropout+masks").change(hparams)
    torch.testing.assert_close(model.state_dict(), {**model.state_dict(), **stock_weights(hparams)})
    assert {block.dropout.p for block in model.encoder.blocks} == {0.0}
    assert model.encoder.blocks[0].conv.dropout.p == 0.1
    model.augment.augmenter.min_augmentations = model.augment.augmenter.max_augmentations = 2  # all but the warp
    features, lengths = torch.randn(2, 100, 80), torch.tensor([100, 50])
    masked = model.train().augment(features, lengths) != features
    assert masked.all(2).any(1).all() and masked.all(1).any(1).all() and not masked.all((1, 2)).any()
    assert torch.equal(model.eval().augment(features, lengths), features)


def test_shares_that_masks_hide():
    """Two masks of 10 frames of an utterance of 200 hide 5 to 10 % of it; SpeechBrain's end below the widest."""
    masks = SpecAugment(time_masks=2, time_width=[10, 11], freq_masks=1, freq_width=[20, 21], warp=0)
    torch.manual_seed(0)
    shares = masked_shares(masks, [[2.0] * 300])
    for side in ("ours", "stock"):
        frames, bands = shares[side]["frames"], shares[side]["bands"]
        assert frames["tenth"] >= (0.05 if side == "ours" else 0.0) and frames["nine_tenths"] <= 0.11
        assert 0.09 < frames["mean"] < 0.102 and bands["median"] == pytest.approx(0.25, abs=0.013)
        assert shares[side]["all"]["mean"] == pytest.approx(frames["mean"] * 0.75 + 0.25, abs=0.03)


def stock_weights(hparams):
    return weights_under_our_names(stock_modules(hparams), hparams["model"])


def test_driver_trains_both_sides(tmp_path, capsys):
    """Two epochs of the same steps; a run that is repeated takes the place of the older one."""
    out = tmp_path / "parity.json"
    data = str(small_corpus(tmp_path / "corpus"))
    sizes = [text for key, value in SIZES.items() for text in (f"--{key}", str(value).replace(" ", ""))]
    options = ["--data_folder", data, "--out", str(out), "--device", "cpu", "--noprogressbar", *sizes]
    options += ["--number_of_epochs", "2", "--batch_seconds", "12", "--augmentation"]
    assert main([*options, "--systems", "stock", "summarymixing"]) == 0
    stock, ours = json.loads(out.read_text())["runs"]
    assert [epoch["steps"] for epoch in stock["epochs"]] == [epoch["steps"] for epoch in ours["epochs"]]
    assert "stock, seed 1, epoch 2, " in capsys.readouterr().out
    for run in (stock, ours):
        assert run["corpus"] == "corpus" and run["augmentation"] and run["keys"]["batch_seconds"] == "12"
        first, last = run["epochs"]
        assert last["dev"]["ctc_loss"] < first["dev"]["ctc_loss"] and last["train"]["gradient_norm"] > 0
        assert last["dev"]["ctc_loss_per_token"] < last["dev"]["ctc_loss"] and 0 <= last["dev"]["blanks"] <= 1
    assert main(["--data_folder", data, "--masks", "--out", str(out), "--device", "cpu"]) == 0
    add_run({**stock, "epochs": stock["epochs"][:1]}, out)  # the same run again
    results = json.loads(out.read_text())
    assert [(run["system"], len(run["epochs"])) for run in results["runs"]] == [("summarymixing", 2), ("stock", 1)]
    assert results["masks"]["corpus"].keys() == {"ours", "stock"}
    capsys.readouterr()
    assert main(["--table", str(out)]) == 0
    header, _, stock_row, our_row, *masks = capsys.readouterr().out.splitlines()
    assert header.startswith("| corpus | augmentation | system | seed | WER % by epoch |")
    assert stock_row.startswith(f"| corpus | yes | stock | 1 | {stock['epochs'][0]['dev']['wer']:.1f} | ")
    assert our_row.startswith("| corpus | yes | summarymixing | 1 | ") and masks[-1].startswith(
        "masks on corpus, stock"
    )


def test_errors_of_systems(capsys):
    assert main(["--data_folder", "none", "--systems", "relpos_attention:maskz"]) == 2
    assert capsys.readouterr().err == (
        "error: --systems relpos_attention:maskz: no change 'maskz'; did you mean 'masks'?\n"
    )
    assert main(["--data_folder", "none", "--systems", "stock:masks"]) == 2
    assert "stock itself has none" in capsys.readouterr().err
    assert main([]) == 2
    assert "give --data_folder, the corpus to train on, or --table, a file of results" in capsys.readouterr().err


def test_the_page_has_the_table():
    table = markdown(read(ROOT / "results" / "stock_parity.json")).split("\n\n")[0]
    assert table in (ROOT / "docs" / "parity.md").read_text(encoding="utf-8")
