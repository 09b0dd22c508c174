"""The joint loss, against its definition."""

from itertools import product

import pytest
import torch
from torch.nn.functional import pad

from data_prep.tokenizer import END, IGNORED
from recipes.asr.data import Batch
from recipes.asr.loss import count_right_tokens, joint_loss, next_tokens
from recipes.models.encoder import Encoded
from recipes.models.recogniser import Output

VOCAB = 5
TOKENS, LENGTHS = torch.tensor([[3, 4], [4, 0]]), torch.tensor([2, 1])
FRAMES = torch.tensor([4, 3])


@pytest.fixture
def batch() -> Batch:
    return Batch(["a", "b"], torch.zeros(2, 1), torch.ones(2), TOKENS, LENGTHS, ["A B", "B"])


@pytest.fixture
def output() -> Output:
    torch.manual_seed(0)
    encoded = Encoded(torch.zeros(2, 4, 1), FRAMES)
    return Output(encoded, torch.randn(2, 4, VOCAB), torch.randn(2, 3, VOCAB))


def collapsed(path: tuple[int, ...]) -> list[int]:
    """Without repeats, then without blanks."""
    return [token for before, token in zip((None, *path), path, strict=False) if token not in (before, 0)]


def ctc_by_all_paths(log_probs: torch.Tensor, tokens: list[int]) -> torch.Tensor:
    paths = [path for path in product(range(VOCAB), repeat=len(log_probs)) if collapsed(path) == tokens]
    return -torch.stack([log_probs[range(len(path)), list(path)].sum() for path in paths]).logsumexp(0)


def transducer_by_dynamic_programme(log_probs: torch.Tensor, tokens: list[int]) -> torch.Tensor:
    """log_probs: ``[T, U + 1, VOCAB]``. Graves 2012, equations 16 to 18: reached[t][u] is the log probability that u
    tokens have come before the output at frame t that follows them."""
    frames, reached = len(log_probs), {(0, 0): log_probs.new_zeros(())}
    for frame, done in product(range(frames), range(len(tokens) + 1)):
        ways = []
        if frame > 0:
            ways.append(reached[frame - 1, done] + log_probs[frame - 1, done, 0])
        if done > 0:
            ways.append(reached[frame, done - 1] + log_probs[frame, done - 1, tokens[done - 1]])
        if ways:
            reached[frame, done] = torch.stack(ways).logsumexp(0)
    return -(reached[frames - 1, len(tokens)] + log_probs[frames - 1, len(tokens), 0])


def test_transducer_loss_is_its_dynamic_programme(batch, output):
    """Value and gradient, against float64; whatever stands in padding."""
    torch.manual_seed(1)
    logits = torch.randn(2, 4, 3, VOCAB, requires_grad=True)
    exact = logits.detach().double().requires_grad_()
    transducer = sum(
        transducer_by_dynamic_programme(
            exact[row, : FRAMES[row], : LENGTHS[row] + 1].log_softmax(-1), TOKENS[row, : LENGTHS[row]].tolist()
        )
        for row in range(2)
    )
    transducer.backward()
    loss = joint_loss(output._replace(decoder_logits=logits), batch, ctc_weight=0.3, label_smoothing=0.1)
    assert list(loss.parts()) == ["ctc_loss", "transducer_loss"]
    torch.testing.assert_close(loss.transducer, transducer.float() / 2)
    torch.testing.assert_close(loss.joint, 0.3 * loss.ctc + 0.7 * loss.transducer)
    loss.joint.backward()
    torch.testing.assert_close(logits.grad, 0.35 * exact.grad.float())
    with torch.no_grad():
        logits[1, 3], logits[1, :, 2] = 9.0, -9.0
    longer = output._replace(decoder_logits=pad(logits, (0, 0, 0, 2, 0, 3), value=7.0))
    padded = batch._replace(tokens=pad(TOKENS, (0, 2), value=3))
    torch.testing.assert_close(joint_loss(longer, padded, ctc_weight=0.3, label_smoothing=0.1), loss)


def test_transducer_loss_of_a_sentence_without_tokens(batch, output):
    """The blank of every frame; as for a batch of which no audio could be read."""
    empty = batch._replace(tokens=torch.zeros(2, 0, dtype=torch.long), token_lengths=torch.tensor([0, 0]))
    logits = torch.randn(2, 4, 1, VOCAB)
    loss = joint_loss(output._replace(decoder_logits=logits), empty, ctc_weight=0.0, label_smoothing=0.0)
    blanks = logits.log_softmax(-1)[:, :, 0, 0]
    torch.testing.assert_close(loss.transducer, -(blanks[0].sum() + blanks[1, :3].sum()) / 2)


def expected_parts(output: Output) -> tuple[torch.Tensor, torch.Tensor]:
    """CTC and attention losses, each summed over the batch, one utterance after the other."""
    ctc = attention = torch.zeros(())
    for row in range(2):
        tokens = TOKENS[row, : LENGTHS[row]].tolist()
        ctc = ctc + ctc_by_all_paths(output.ctc_logits[row, : FRAMES[row]].log_softmax(-1), tokens)
        log_probs = output.decoder_logits[row].log_softmax(-1)
        attention = attention - sum(log_probs[step, token] for step, token in enumerate([*tokens, END]))
    return ctc, attention


@pytest.mark.parametrize("ctc_weight", [0.0, 0.3, 1.0])
def test_joint_loss_is_its_definition(batch, output, ctc_weight):
    ctc, attention = expected_parts(output)
    loss = joint_loss(output, batch, ctc_weight=ctc_weight, label_smoothing=0.0)
    torch.testing.assert_close(loss.joint, (ctc_weight * ctc + (1 - ctc_weight) * attention) / 2)
    assert list(loss.parts()) == ["ctc_loss", "attention_loss"]
    torch.testing.assert_close([*loss.parts().values()], [ctc / 2, attention / 2])


def test_without_a_decoder_the_loss_is_ctc_alone(batch, output):
    loss = joint_loss(output._replace(decoder_logits=None), batch, ctc_weight=0.3, label_smoothing=0.0)
    torch.testing.assert_close(loss.joint, expected_parts(output)[0] / 2)
    assert list(loss.parts()) == ["ctc_loss"]


def test_padding_changes_no_loss(batch, output):
    """More frames and more tokens of padding, whatever stands there."""
    loss = joint_loss(output, batch, ctc_weight=0.3, label_smoothing=0.1)
    longer = Output(
        output.encoded,
        pad(output.ctc_logits, (0, 0, 0, 3), value=9.0),
        pad(output.decoder_logits, (0, 0, 0, 2), value=9.0),
    )
    padded = batch._replace(tokens=pad(TOKENS, (0, 2), value=3))
    torch.testing.assert_close(joint_loss(longer, padded, ctc_weight=0.3, label_smoothing=0.1), loss)


def test_next_tokens_end_with_the_sentence():
    assert next_tokens(TOKENS, LENGTHS).tolist() == [[3, 4, END], [4, END, IGNORED]]


def test_right_tokens_are_counted_without_padding(batch, output):
    logits = torch.zeros(2, 3, VOCAB)
    for (row, step), token in {(0, 0): 3, (0, 1): 3, (0, 2): END, (1, 0): 4, (1, 1): 4}.items():
        logits[row, step, token] = 1
    assert count_right_tokens(output._replace(decoder_logits=logits), batch) == (3, 5)
    for other in (None, torch.zeros(2, 4, 3, VOCAB)):  # no decoder, a transducer
        assert count_right_tokens(output._replace(decoder_logits=other), batch) == (0, 0)
