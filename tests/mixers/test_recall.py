"""What a matrix can hold and a mean cannot: which value was shown with which key."""

import pytest
import torch
from torch import nn
from torch.nn.functional import cross_entropy, one_hot

from mixers import build

KEYS = VALUES = 8
FRAMES = 32


def sequences(rng: torch.Generator, count: int) -> tuple[torch.Tensor, torch.Tensor]:
    """Frames that show each key once with a value, then frames with a key alone; and the values of these."""
    keys = torch.stack([torch.randperm(KEYS, generator=rng) for _ in range(count)])
    values = torch.randint(VALUES, (count, KEYS), generator=rng)
    asked = torch.randint(KEYS, (count, FRAMES - KEYS), generator=rng)
    shown = torch.cat([one_hot(values, VALUES), torch.zeros(count, FRAMES - KEYS, VALUES, dtype=torch.int64)], 1)
    frames = torch.cat([one_hot(torch.cat([keys, asked], 1), KEYS), shown], -1).float()
    return frames, torch.empty_like(keys).scatter_(1, keys, values).gather(1, asked)


def accuracy_after_training(name: str) -> float:
    rng, size = torch.Generator().manual_seed(0), 64
    with torch.random.fork_rng():
        torch.manual_seed(0)
        first, mixer, last = nn.Linear(KEYS + VALUES, size), build(name, size, heads=2), nn.Linear(size, VALUES)
    parameters = [*first.parameters(), *mixer.parameters(), *last.parameters()]
    optimizer = torch.optim.AdamW(parameters, lr=0.01)
    for _ in range(50):
        frames, values = sequences(rng, 32)
        embedded = first(frames)
        logits = last(embedded + mixer(embedded))[:, KEYS:]
        optimizer.zero_grad()
        cross_entropy(logits.transpose(1, 2), values).backward()
        optimizer.step()
    return (logits.argmax(-1) == values).float().mean().item()


@pytest.mark.parametrize("name, learns", [("gated_delta", True), ("summarymixing", False)])
def test_recall(name, learns):
    accuracy = accuracy_after_training(name)
    assert accuracy > 0.9 if learns else accuracy < 0.5
