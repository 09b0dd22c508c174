"""Local attention against its equation, frame by frame."""

import math

import pytest
import torch

from mixers import Context, LocalAttention
from mixers.testing.inputs import D_MODEL, assert_near, noise, random_mixer
from tests.mixers.test_equations import CONTEXTS, join, visible

HEADS, WINDOW, TOKENS = 4, 3, 2


def local_attention(mixer: LocalAttention, x: torch.Tensor, context: Context | None) -> torch.Tensor:
    """y of x ``[T, d_model]``: every head, frame and token by itself."""
    q, k, v = (part.unflatten(-1, (HEADS, -1)).transpose(0, 1) for part in mixer.qkv(x).chunk(3, -1))
    root, seen, mixed = math.sqrt(q.shape[-1]), visible(len(x), context), torch.zeros_like(v)
    for head in range(HEADS):
        for t in range(len(x)):
            frames = [u for u in range(len(x)) if seen[t, u]]
            near = [u for u in frames if abs(u - t) <= WINDOW]
            scores = [q[head, t] @ k[head, u] / root + mixer.bias[head, u - t + WINDOW] for u in near]
            values = [v[head, u] for u in near]
            for query in mixer.token_queries[head]:
                weights = torch.stack([(10 * torch.tanh(query @ k[head, u] / root / 10)).exp() for u in frames])
                token = (weights / weights.sum()) @ v[head, frames]
                scores.append(q[head, t] @ (token @ mixer.token_keys[head]) / root)
                values.append(token @ mixer.token_values[head])
            mixed[head, t] = torch.stack(scores).softmax(0) @ torch.stack(values)
    return mixer.out(join(mixed))


@pytest.mark.parametrize("name", CONTEXTS)
def test_equation(name):
    mixer = random_mixer(lambda d_model: LocalAttention(d_model, heads=HEADS, window=WINDOW, tokens=TOKENS))
    x = noise(1, 17, D_MODEL)
    assert_near(mixer(x, None, CONTEXTS[name])[0], local_attention(mixer, x[0], CONTEXTS[name]))


def test_tokens_reach_beyond_the_window():
    """A frame far outside the window changes what every other frame gets."""
    mixer, x = random_mixer(lambda d_model: LocalAttention(d_model, window=2)), noise(1, 40, D_MODEL)
    changed = x.clone()
    changed[0, 0] += 1
    assert ((mixer(changed) - mixer(x))[0, 30:].abs().amax(-1) > 1e-6).all()
