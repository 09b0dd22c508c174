"""SpeechBrain's search with our weights: the decoders compute the same, ours finds sentences at least as good."""

import pytest
import torch

from recipes.decoding import BeamSearch
from recipes.stock.search import SearchTask, joint_score, run_stock, stock_decoder, stock_search
from tests.support.search_tasks import LENGTHS, VOCABULARY, random_task


@pytest.fixture(scope="module")
def task() -> SearchTask:
    return random_task()


def test_stock_decoder_computes_what_ours_computes(task):
    transformer, output = stock_decoder(task.decoder)
    tokens = torch.randint(3, VOCABULARY, (len(LENGTHS), 7))
    with torch.no_grad():
        stock = output(transformer.decode(tokens, task.encoded.frames, task.encoded.lengths)[0])
        torch.testing.assert_close(stock, task.decoder(task.encoded, tokens), atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("partial", [False, True], ids=["full", "partial"])
@pytest.mark.parametrize("beam", [4, 12])
def test_ours_finds_sentences_at_least_as_good_as_stock(task, beam, partial):
    search = BeamSearch(beam=beam, ctc_weight=0.4, temperature=1.15)
    ours = [best for best, *_ in search(task.decoder, task.encoded, task.ctc_log_probs)]
    stock = run_stock(stock_search(task, search, partial=partial), task.encoded)
    assert len(ours) == len(stock) == len(LENGTHS)
    for row, pair in enumerate(zip(ours, stock, strict=True)):
        scores = [joint_score(task.utterance(row), hypothesis.tokens, search) for hypothesis in pair]
        # Both search by the joint score, so that they look for the same thing.
        assert [hypothesis.score for hypothesis in pair] == pytest.approx(scores, abs=1e-3)
        assert scores[0] >= scores[1] - 1e-6, row
