"""A small decoder with random weights and random utterances to search."""

import torch

from data_prep.tokenizer import BLANK, START
from recipes.models import Encoded, TransformerDecoder
from recipes.stock.search import SearchTask

VOCABULARY = 20
LENGTHS = [16, 15, 14, 12, 11, 10, 9, 8, 6, 3]


def random_task() -> SearchTask:
    torch.manual_seed(0)
    decoder = TransformerDecoder(16, VOCABULARY, layers=2, heads=2, d_ffn=32, dropout=0.0, activation=torch.nn.ReLU)
    with torch.no_grad():  # no norm at one, no bias at zero
        for parameter in decoder.parameters():
            parameter += 0.3 * torch.randn_like(parameter)
        decoder.out.bias[[BLANK, START]] = -1000.0  # SpeechBrain takes them for words
    log_probs = (2 * torch.randn(len(LENGTHS), LENGTHS[0], VOCABULARY)).log_softmax(-1)
    encoded = Encoded(torch.randn(len(LENGTHS), LENGTHS[0], 16), torch.tensor(LENGTHS))
    return SearchTask(decoder.eval(), encoded, log_probs)
