"""Our beam search against SpeechBrain's own with the same weights, and the benchmark that says so."""

import json

import pytest
import torch

from benchmarks.search import STOCK, compare, made_up, main
from data_prep.tokenizer import BLANK, END, START
from recipes.decoding.beam_search import BeamSearch
from recipes.decoding.ctc import greedy_ctc
from recipes.decoding.search import Hypothesis
from recipes.models.decoder import TransformerDecoder
from recipes.models.encoder import Encoded
from recipes.stock.search import SearchTask, joint_score, run_stock, stock_decoder, stock_search
from tests.support.runs import small_corpus, train

VOCABULARY = 20
LENGTHS = [16, 15, 14, 12, 11, 10, 9, 8, 6, 3]


@pytest.fixture(scope="module")
def task() -> SearchTask:
    torch.manual_seed(0)
    decoder = TransformerDecoder(16, VOCABULARY, layers=2, heads=2, d_ffn=32, dropout=0.0, activation=torch.nn.ReLU)
    with torch.no_grad():  # no norm at one, no bias at zero
        for parameter in decoder.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        decoder.out.bias[[BLANK, START]] = -1000.0  # stock takes them for words
    log_probs = (2 * torch.randn(len(LENGTHS), LENGTHS[0], VOCABULARY)).log_softmax(-1)
    encoded = Encoded(torch.randn(len(LENGTHS), LENGTHS[0], 16), torch.tensor(LENGTHS))
    return SearchTask(decoder.eval(), encoded, log_probs)


def test_stock_decoder_computes_what_ours_computes(task):
    transformer, output = stock_decoder(task.decoder)
    tokens = torch.randint(3, VOCABULARY, (len(LENGTHS), 7))
    with torch.no_grad():
        stock = output(transformer.decode(tokens, task.encoded.frames, task.encoded.lengths)[0])
        torch.testing.assert_close(stock, task.decoder(task.encoded, tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("partial", STOCK.values(), ids=STOCK)
@pytest.mark.parametrize("beam", [4, 12])
def test_ours_finds_sentences_at_least_as_good_as_stock(task, beam, partial):
    search = BeamSearch(beam=beam, ctc_weight=0.4, temperature=1.15)
    ours = [best for best, *_ in search(task.decoder, task.encoded, task.ctc_log_probs)]
    stock = run_stock(stock_search(task, search, partial=partial), task.encoded)
    assert len(ours) == len(stock) == len(LENGTHS)
    for row, (one, other) in enumerate(zip(ours, stock, strict=True)):
        alone = task.utterance(row)
        scores = [joint_score(alone, found.tokens, search) for found in (one, other)]
        # Both score as the judge does, so that both look for the same thing.
        assert [one.score, other.score] == pytest.approx(scores, abs=1e-3)
        assert scores[0] >= scores[1] - 1e-6, row


def test_comparison_tells_who_found_the_better_sentences(task):
    rows, frames = slice(3, 8), 12
    few = SearchTask(
        task.decoder,
        Encoded(task.encoded.frames[rows, :frames], task.encoded.lengths[rows]),
        task.ctc_log_probs[rows, :frames],
    )

    class AsStock(BeamSearch):
        def __call__(self, *given):
            return [[best] for best in run_stock(stock_search(few, self, partial=False), few.encoded)]

    class Careless(BeamSearch):
        def __call__(self, *given):
            return [[Hypothesis([3], 0.0)] for _ in few.encoded.lengths]

    ours, same, worse = (compare([few], kind(beam=4))["stock_full"] for kind in (BeamSearch, AsStock, Careless))
    assert same == {"same": 5, "ours_higher": 0, "stock_higher": 0, "largest_deficit": 0.0}
    assert ours["ours_higher"] > 0 == ours["stock_higher"] and ours["largest_deficit"] == 0
    assert ours["same"] + ours["ours_higher"] == 5
    assert worse["stock_higher"] > 0 and worse["largest_deficit"] > 0.1
    assert worse["same"] + worse["ours_higher"] + worse["stock_higher"] == 5


def test_made_up_sentences_are_found():
    """Not by stock with partial scoring: it stops with so many ended sentences as the beam is wide, here too early."""
    task, search = made_up(1, 40, vocab_size=50, d_model=64, heads=2, layers=1, d_ffn=32), BeamSearch(beam=5)
    (spelled,) = greedy_ctc(task.ctc_log_probs, task.encoded.lengths)
    assert len(spelled) == 5 and END not in spelled
    assert search(task.decoder, task.encoded, task.ctc_log_probs)[0][0].tokens == spelled
    assert run_stock(stock_search(task, search, partial=False), task.encoded)[0].tokens == spelled


def test_benchmark_of_a_run(tmp_path, capsys):
    assert train(small_corpus(tmp_path / "data"), tmp_path / "run") == 0
    options = [
        "--utterances",
        "2",
        "--compare_beam",
        "2",
        "--beams",
        "2",
        "--batches",
        "2",
        "--repeats",
        "1",
        "--frames",
        "8",
    ]
    assert main([str(tmp_path / "run"), *options, "--seconds", "1", "--out", str(tmp_path / "o.json")]) == 0
    figures = json.loads((tmp_path / "o.json").read_text())
    assert figures["set"] == "test-clean" and figures["utterances"] == 2
    for name in STOCK:
        assert sum(figures["joint_scores"][name][key] for key in ("same", "ours_higher", "stock_higher")) == 2
    run, *small = figures["rows"]
    assert run["model"] == "run" and {row["model"] for row in small} == {"small"}
    for row in figures["rows"]:
        for name, ratio in row["times_ours"].items():
            assert ratio == pytest.approx(row["seconds"][name] / row["seconds"]["ours"], rel=0.05, abs=0.06)
            assert row["steps"][name] > 0 and row["steps"]["ours"] > 0
    table = capsys.readouterr().out.splitlines()[-len(figures["rows"]) :]
    assert table[0].split()[:5] == ["run", str(run["frames"]), "1", "2", "2"]


@pytest.mark.parametrize(
    "files, options, message",
    [
        ([], [], "{run} has no recipe.yaml: give the folder of a run that was trained and tested"),
        (
            ["recipe.yaml"],
            [],
            "{run} has no averaged.ckpt: give the folder of a run that was trained and tested",
        ),
        (
            ["recipe.yaml", "averaged.ckpt"],
            [],
            "{run} has no manifests/test*.csv: give the folder of a run that was tested",
        ),
        ([], ["--beams", "4", "0"], "--beams must be 1 or more"),
    ],
    ids=["no run", "not trained", "not tested", "no beam"],
)
def test_benchmark_errors(tmp_path, capsys, files, options, message):
    for name in files:
        (tmp_path / name).touch()
    assert main([str(tmp_path), *options]) == 2
    assert capsys.readouterr().err == f"error: {message.format(run=tmp_path)}\n"
