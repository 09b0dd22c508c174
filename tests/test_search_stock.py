"""Our beam search against SpeechBrain's own with the same weights, and the benchmark that says so."""

import json

import pytest
import torch

from benchmark_search import STOCK, compare, main, made_up
from recipes.conformer import Encoded
from recipes.decoder import TransformerDecoder
from recipes.search import BLANK, END, START, BeamSearch, greedy_ctc
from recipes.stock_search import Task, joint_score, run_stock, stock_decoder, stock_search
from tests.runs import small_corpus, train

VOCABULARY = 20
LENGTHS = [16, 15, 14, 12, 11, 10, 9, 8, 6, 3]


@pytest.fixture(scope="module")
def task() -> Task:
    torch.manual_seed(0)
    decoder = TransformerDecoder(
        16, VOCABULARY, layers=2, heads=2, d_ffn=32, dropout=0.0, activation=torch.nn.ReLU
    )
    with torch.no_grad():  # no norm at one, no bias at zero
        for parameter in decoder.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        decoder.out.bias[[BLANK, START]] = -1000.0  # stock takes them for words
    log_probs = (2 * torch.randn(len(LENGTHS), LENGTHS[0], VOCABULARY)).log_softmax(-1)
    encoded = Encoded(torch.randn(len(LENGTHS), LENGTHS[0], 16), torch.tensor(LENGTHS))
    return Task(decoder.eval(), encoded, log_probs)


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
    for row, (one, other) in enumerate(zip(ours, stock)):
        alone = task.utterance(row)
        scores = [joint_score(alone, found.tokens, search) for found in (one, other)]
        # Both score as the judge does, so that both look for the same thing.
        assert [one.score, other.score] == pytest.approx(scores, abs=1e-3)
        assert scores[0] >= scores[1] - 1e-6, row


def test_comparison_counts_every_utterance_once(task):
    """A beam of one finds worse sentences than a wide one, and the comparison tells who did."""
    wide = BeamSearch(beam=12)

    class Narrow(BeamSearch):
        def __call__(self, *given):
            return BeamSearch(beam=1)(*given)

    class Same(BeamSearch):
        def __call__(self, *given):
            return [[best] for best in run_stock(stock_search(task, wide, partial=False), task.encoded)]

    better, worse = compare([task], wide)["stock_full"], compare([task], Narrow(beam=12))["stock_full"]
    same = compare([task], Same(beam=12))
    for counts in (better, worse, same["stock_full"]):
        assert sum(counts[key] for key in ("same", "ours_higher", "stock_higher")) == len(LENGTHS)
    assert better["stock_higher"] == 0 == better["largest_deficit"] and better["ours_higher"] > 0
    assert worse["stock_higher"] > 0 and worse["largest_deficit"] > 0.01
    assert same["stock_full"]["same"] == len(LENGTHS)


def test_made_up_sentences_are_found_by_all():
    task = made_up(2, 40, vocab_size=50, d_model=32, heads=2, layers=1, d_ffn=32)
    spelled, search = greedy_ctc(task.ctc_log_probs, task.encoded.lengths), BeamSearch(beam=5)
    assert [len(one) for one in spelled] == [5, 5] and END not in spelled[0]
    found = [best.tokens for best, *_ in search(task.decoder, task.encoded, task.ctc_log_probs)]
    assert found == spelled
    for partial in STOCK.values():
        assert [best.tokens for best in run_stock(stock_search(task, search, partial=partial), task.encoded)] == spelled


def test_benchmark_of_a_run(tmp_path, capsys):
    assert train(small_corpus(tmp_path / "data"), tmp_path / "run") == 0
    options = ["--utterances", "2", "--compare_beam", "2", "--beams", "2", "--batches", "2", "--repeats", "1", "--frames", "16"]
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
        (["recipe.yaml"], [], "{run} has no averaged.ckpt: give the folder of a run that was trained and tested"),
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
