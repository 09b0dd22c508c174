"""The transducer: its prediction networks one token at a time, and its joint network."""

import pytest
import torch

from data_prep.tokenizer import START
from recipes.models import Encoded, LSTMPrediction, StatelessPrediction, Transducer
from recipes.models.streaming import select
from recipes.models.transducer import chosen
from tests.support.models import randomised

VOCAB, TOKENS = 9, torch.tensor([[START, 5, 3, 3, 8, 4], [START, 3, 5, 4, 3, 7]])
PREDICTIONS = {
    "stateless": lambda: StatelessPrediction(VOCAB, 6, dropout=0.5),
    "one token": lambda: StatelessPrediction(VOCAB, 6, history=1),
    "lstm": lambda: LSTMPrediction(VOCAB, 6, layers=2, dropout=0.5),
}
every_prediction = pytest.mark.parametrize("name", PREDICTIONS)


def transducer(name: str) -> Transducer:
    torch.manual_seed(0)
    return randomised(Transducer(4, VOCAB, prediction=PREDICTIONS[name](), joint_size=5))


@every_prediction
@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16], ids=str)
def test_mixed_precision_on_a_cpu(name, dtype):
    """torch has no LSTM in half precision on many processors."""
    model, encoded = transducer(name).eval(), Encoded(torch.randn(2, 3, 4), torch.tensor([3, 2]))
    exact = model(encoded, TOKENS)
    with torch.autocast("cpu", dtype=dtype):
        logits = model(encoded, TOKENS)
        predicted, _ = model.predict(TOKENS[:, 0], model.init_cache(2))
        torch.testing.assert_close(
            model.joint(model.prepare(encoded)[:, 0], predicted).float(), exact[:, 0, 0], rtol=0.1, atol=0.1
        )
    torch.testing.assert_close(logits.float(), exact, rtol=0.1, atol=0.1)
    logits.float().sum().backward()
    assert all(parameter.grad.isfinite().all() for parameter in model.parameters())


@every_prediction
@torch.no_grad()
def test_step_by_step_is_all_at_once(name):
    """Also where the texts change places on the way."""
    model, encoded = transducer(name), Encoded(torch.randn(2, 3, 4), torch.tensor([3, 2]))
    logits, frames = model(encoded, TOKENS), model.prepare(encoded)
    assert logits.shape == (2, 3, 6, VOCAB)
    cache, order = model.init_cache(2), torch.tensor([0, 1])
    for place, tokens in enumerate(TOKENS.T):
        predicted, cache = model.predict(tokens[order], cache)
        for frame in range(3):
            torch.testing.assert_close(model.joint(frames[order, frame], predicted), logits[order, frame, place])
        order, cache = order.flip(0), select(cache, [1, 0])


@every_prediction
@torch.no_grad()
def test_later_tokens_change_nothing(name):
    """So that padding comes to nothing, too; earlier ones do, as far as the network remembers."""
    model = transducer(name).prediction
    changed = TOKENS.clone()
    changed[:, 3] = 6
    same = (model(TOKENS) == model(changed)).all(-1).all(0).tolist()
    remembers = {"one token": 1, "stateless": 2, "lstm": 3}[name]
    assert same == [True] * 3 + [False] * remembers + [True] * (3 - remembers)


@torch.no_grad()
def test_chosen_takes_the_new_state_of_some():
    model = transducer("lstm")
    _, old = model.predict(torch.tensor([3, 4]), model.init_cache(2))
    _, new = model.predict(torch.tensor([5, 6]), old)
    mixed = chosen(torch.tensor([True, False]), new, old)
    assert torch.equal(mixed.hidden, torch.stack([new.hidden[0], old.hidden[1]]))


def test_values_that_cannot_be():
    with pytest.raises(ValueError, match="StatelessPrediction: history must be a whole number from 1 up, not 0"):
        StatelessPrediction(VOCAB, 6, history=0)
    with pytest.raises(ValueError, match="Transducer: joint_size must be a whole number from 1 up, not 0"):
        Transducer(4, VOCAB, prediction=LSTMPrediction(VOCAB, 6), joint_size=0)
