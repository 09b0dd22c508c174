"""The small model around a mixer, and its training: mixer, task and seed in, accuracy out."""

import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy

from benchmarks.probes.tasks import UNSCORED, Task, evaluation_rng, sample, training_rng
from mixers.base import Mixer
from recipes.models.conformer import ConvModule
from recipes.models.encoder import FeedForward
from recipes.training.schedule import linear

Factory = Callable[[int], Mixer]  # from d_model


class Training(NamedTuple):
    """How every stack is trained: AdamW, linear warm-up and decay, new sequences each step.

    faultless_batches: so many batches in a row without one wrong label end a training, since nothing is left to learn.
    """

    batch: int = 16
    lr: float = 0.005
    warmup_steps: int = 100
    max_grad_norm: float = 1.0
    faultless_batches: int = 50
    scored_sequences: int = 256


class Shape(NamedTuple):
    """The sizes of a stack."""

    layers: int = 2
    d_model: int = 64
    heads: int = 4
    d_ffn: int = 128
    kernel_size: int = 7


class Block(nn.Module):
    """Mixer, convolution, feed-forward layer, each residual; the Conformer's own, without dropout."""

    def __init__(self, mixer: Mixer, shape: Shape):
        super().__init__()
        self.norm = nn.LayerNorm(shape.d_model)
        self.mixer = mixer
        self.conv = ConvModule(shape.d_model, shape.kernel_size, dropout=0.0)
        self.feed_forward = FeedForward(shape.d_model, shape.d_ffn, 0.0, nn.GELU)

    def forward(self, x: Tensor) -> Tensor:
        x = x + self.mixer(self.norm(x))
        x = x + self.conv(x, None)
        return x + self.feed_forward(x)


class Stack(nn.Sequential):
    """A linear layer, a block for every mixer, a linear layer: ``[B, T, features]`` → ``[B, T, classes]``."""

    def __init__(self, mixers: Sequence[Factory], features: int, classes: int, shape: Shape):
        blocks = (Block(mixer(shape.d_model), shape) for mixer in mixers)
        super().__init__(nn.Linear(features, shape.d_model), *blocks, nn.Linear(shape.d_model, classes))


def train(mixers: Sequence[Factory], task: Task, seed: int, shape: Shape, training: Training) -> dict:
    """Accuracy (percent, of scored frames), steps and seconds of a stack trained from `seed`, on a single thread.

    Weights and sequences follow from the seed, and every mixer sees the same sequences.
    Raises FloatingPointError, with the step, when the loss is no longer a finite number.
    """
    torch.set_num_threads(1)  # the last digits depend on it, and several jobs share the cores
    torch.manual_seed(seed)
    started, rng = time.perf_counter(), training_rng(seed)
    stack = Stack(mixers, task.features, task.classes, shape)
    optimizer = torch.optim.AdamW(stack.parameters(), lr=training.lr, fused=True)
    faultless = 0
    for step in range(1, task.steps + 1):
        x, labels = sample(task, rng, training.batch)
        logits = stack(x)
        loss = cross_entropy(logits.transpose(1, 2), labels, ignore_index=UNSCORED)
        if not loss.isfinite():
            raise FloatingPointError(f"the loss is {loss.item()} at step {step}")
        optimizer.zero_grad()
        loss.backward()
        nn.utils.clip_grad_norm_(stack.parameters(), training.max_grad_norm)
        for group in optimizer.param_groups:
            group["lr"] = training.lr * linear(step, task.steps, warmup_steps=training.warmup_steps)
        optimizer.step()
        faultless = faultless + 1 if percent_right(logits, labels) == 100 else 0
        if faultless == training.faultless_batches:
            break
    accuracy = score(stack, task, training.scored_sequences)
    return {"accuracy": round(accuracy, 2), "steps": step, "seconds": round(time.perf_counter() - started, 2)}


def score(stack: nn.Module, task: Task, sequences: int) -> float:
    """Percent of scored frames that the stack labels correctly, on sequences that are always the same."""
    x, labels = sample(task, evaluation_rng(), sequences)
    with torch.no_grad():
        return percent_right(stack.eval()(x), labels)


def percent_right(logits: Tensor, labels: Tensor) -> float:
    """Percent of scored frames whose highest logit ``[B, T, classes]`` is that of the label ``[B, T]``."""
    correct = logits.argmax(-1) == labels
    return 100 * correct[labels != UNSCORED].float().mean().item()
