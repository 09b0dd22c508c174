"""Whether CTC has frames enough for the tokens of an utterance."""

import random
from itertools import product

import pytest
import torch
from torch.nn.functional import ctc_loss

from data_prep.ctc_fit import frames_needed, too_many_tokens
from data_prep.tokenizer import load_tokenizer, train_tokenizer
from tests.support.manifests import to_csv


@pytest.mark.parametrize("frames", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("length", [1, 2, 3])
def test_frames_needed_are_those_with_a_finite_loss(frames, length):
    for tokens in product((1, 2), repeat=length):
        log_probs = torch.zeros(frames, 1, 3).log_softmax(-1)
        loss = ctc_loss(log_probs, torch.tensor([tokens]), torch.tensor([frames]), torch.tensor([length]))
        assert loss.isfinite().item() == (frames >= frames_needed(tokens))


@pytest.mark.parametrize(("kind", "size"), [("char", 12), ("unigram", 16), ("bpe", 16)])
def test_the_short_cut_leaves_out_the_same_utterances(tmp_path, kind, size):
    """Against tokens of every sentence, for sentences full of repeated letters and of letters never seen."""
    draw = random.Random(0)
    sentences = [" ".join("".join(draw.choices("AABL", k=draw.randint(1, 4))) for _ in range(4)) for _ in range(200)]
    rows = [[str(number), 1.0, "x.flac", "1-1", words] for number, words in enumerate(sentences)]
    (tmp_path / "train.csv").write_bytes(to_csv(rows))
    tokenizer = load_tokenizer(train_tokenizer(tmp_path / "train.csv", tmp_path, kind, size))
    sentences += [words.replace("B", "\u00c9") for words in sentences]
    durations, expected = [draw.randint(1, 30) / 25 for _ in sentences], []
    for place, (seconds, words) in enumerate(zip(durations, sentences, strict=True)):
        tokens = [token for token in tokenizer.encode(words) if token != 0]
        repeats = sum(tokens[index] == tokens[index + 1] for index in range(len(tokens) - 1))
        if round(25 * seconds) < len(tokens) + repeats:
            expected.append(place)
    assert too_many_tokens(durations, sentences, tokenizer, lambda seconds: round(25 * seconds)) == expected
    assert 50 < len(expected) < 350
