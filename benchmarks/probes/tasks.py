"""The six tasks: the label of a frame depends on other frames, which are far away.

A convolution of the stack (``benchmarks.probes.stack``) sees no farther than ``REACH`` frames, so whatever a label
needs from farther away has to come through the mixer.
"""

from collections.abc import Callable
from typing import NamedTuple

import numpy as np
import torch
from numpy.random import Generator, default_rng
from torch import Tensor

REACH = 6  # frames to either side: two convolutions of kernel 7
NEAR = 14  # frames this near to a marker are not scored: REACH, twice and a bit
UNSCORED = -100  # the label that torch's cross entropy leaves out

SEGMENT, NOISE, OFFSET = 16, 0.3, 3.0  # norm: frames, standard deviation, size of the offset of a sequence
TOKENS, MARKERS = 4, 4  # cue, order: kinds of both
END = 10  # cue: frames at either end where the marker may be
APART = 40  # order: frames between the markers, at least
PAIRS = 8  # recall: keys, and as many values
SLOT, COPIED, COPIES, SYMBOLS = 8, 6, 3, 8  # copy: frames of a slot and of a segment, questions, kinds of symbols
MODULUS, MOST_ROUNDS = 4, 2  # count: of the markers, of which there are at most twice as many


class Task(NamedTuple):
    """A task: how to draw it, how long to train on it, and the accuracy without any mixing.

    draw: ``(rng, sequences, frames) -> x [sequences, frames, features], labels [sequences, frames]``, int64
    and UNSCORED where a frame does not count. chance: the best accuracy (percent) from nothing but the frame
    itself.
    """

    name: str
    asks: str
    draw: Callable[[Generator, int, int], tuple[np.ndarray, np.ndarray]]
    features: int
    classes: int
    frames: int
    steps: int
    chance: float


def sample(task: Task, rng: Generator, sequences: int) -> tuple[Tensor, Tensor]:
    """Frames float32 ``[sequences, frames, features]`` and labels int64 ``[sequences, frames]``."""
    x, labels = task.draw(rng, sequences, task.frames)
    return torch.from_numpy(x.astype(np.float32)), torch.from_numpy(labels)


def training_rng(seed: int) -> Generator:
    """The source of a training's sequences: the same for every mixer."""
    return default_rng([1, seed])


def evaluation_rng() -> Generator:
    """The source of the sequences that all mixers and seeds are scored on."""
    return default_rng([0])


def norm(rng: Generator, sequences: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """x = z + noise + 3u in three dimensions; the label is made of the signs of x minus its mean over time.

    z is drawn anew every SEGMENT frames and u once a sequence, both from the standard normal distribution.
    """
    segments = rng.standard_normal((sequences, -(-frames // SEGMENT), 3))
    x = segments.repeat(SEGMENT, axis=1)[:, :frames] + NOISE * rng.standard_normal((sequences, frames, 3))
    x = x + OFFSET * rng.standard_normal((sequences, 1, 3))
    return x, (x > x.mean(axis=1, keepdims=True)) @ np.array([4, 2, 1])


def norm_chance(frames: int) -> float:
    """Percent of frames that get all three signs right from x alone.

    Two normal variables with correlation r have the same sign with probability 1/2 + arcsin(r) / pi; here they
    are x and x minus its mean, the first of which also holds the mean that the other lacks.
    """
    about_mean = 1 - SEGMENT / frames + NOISE**2 * (1 - 1 / frames)
    correlation = np.sqrt(about_mean / (1 + NOISE**2 + OFFSET**2))
    return float(100 * (0.5 + np.arcsin(correlation) / np.pi) ** 3)


def cue(rng: Generator, sequences: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Every frame shows a token, a single frame within END of either end a marker too. Label: 4 token + marker.

    The markers are equally frequent in a draw, so that a guess is right in a quarter of it.
    """
    tokens = rng.integers(TOKENS, size=(sequences, frames))
    marker = rng.permutation(np.arange(sequences) % MARKERS)
    place = rng.integers(2 * END, size=sequences)
    place = np.where(place < END, place, frames - 2 * END + place)
    x = np.concatenate([one_hot(tokens, TOKENS), np.zeros((sequences, frames, MARKERS))], axis=2)
    x[np.arange(sequences), place, TOKENS + marker] = 1
    labels = MARKERS * tokens + marker[:, None]
    return x, np.where(near(place, frames), UNSCORED, labels)


def order(rng: Generator, sequences: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Every frame shows a token; a frame shows A too, and another B, APART or more away. Label: 2 token + [A first].

    Both stay farther than REACH from the ends, where a convolution could see how early or late it is. The
    second half of a draw has the places of the first with A and B exchanged, so that a guess is right in half
    of it: of 256 independent draws 57 % may well be of one kind.
    """
    pairs = np.stack(np.triu_indices(frames - 2 * (REACH + 1), k=APART), axis=1) + REACH + 1
    a_first = pairs[rng.integers(len(pairs), size=-(-sequences // 2))]
    places = np.concatenate([a_first, a_first[:, ::-1]])[:sequences]  # of A and of B
    tokens = rng.integers(TOKENS, size=(sequences, frames))
    x = np.concatenate([one_hot(tokens, TOKENS), np.zeros((sequences, frames, 2))], axis=2)
    x[np.arange(sequences)[:, None], places, [TOKENS, TOKENS + 1]] = 1
    labels = 2 * tokens + (places[:, 0] < places[:, 1])[:, None]
    return x, np.where(near(places[:, 0], frames) | near(places[:, 1], frames), UNSCORED, labels)


def recall(rng: Generator, sequences: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """PAIRS frames anywhere show a key each, a value and a flag; all others ask for the value of a key.

    Every key has a single such frame, so that every question has a single answer; values may repeat.
    """
    keys = rng.integers(PAIRS, size=(sequences, frames))
    places = rng.permuted(np.tile(np.arange(frames), (sequences, 1)), axis=1)[:, :PAIRS]  # of each key
    values = rng.integers(PAIRS, size=(sequences, PAIRS))
    rows = np.arange(sequences)[:, None]
    keys[rows, places] = np.arange(PAIRS)
    x = np.concatenate([one_hot(keys, PAIRS), np.zeros((sequences, frames, PAIRS + 1))], axis=2)
    x[rows, places, PAIRS + values] = 1
    x[rows, places, 2 * PAIRS] = 1
    labels = np.take_along_axis(values, keys, axis=1)
    labels[rows, places] = UNSCORED
    return x, labels


def copy(rng: Generator, sequences: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """A flagged segment of COPIED symbols; COPIES other flagged segments ask for them, in order. Others distract.

    A segment stands in a slot of SLOT frames, so that its ends are in sight of all its frames, and two slots or more
    lie between the symbols and a question: a frame knows its place in its segment, and not what was shown there.
    """
    slots, gap = frames // SLOT, (SLOT - COPIED) // 2
    shown, asked = copy_slots(rng, sequences, slots)
    symbols = rng.integers(SYMBOLS, size=(sequences, frames))
    x = np.concatenate([one_hot(symbols, SYMBOLS), np.zeros((sequences, frames, 2))], axis=2)
    labels = np.full((sequences, frames), UNSCORED)
    rows, within = np.arange(sequences)[:, None], gap + np.arange(COPIED)
    places = shown[:, None] * SLOT + within
    x[rows, places, SYMBOLS] = 1
    for slot in asked.T:
        question = slot[:, None] * SLOT + within
        x[rows, question, :SYMBOLS] = 0
        x[rows, question, SYMBOLS + 1] = 1
        labels[rows, question] = symbols[rows, places]
    return x, labels


def copy_slots(rng: Generator, sequences: int, slots: int) -> tuple[np.ndarray, np.ndarray]:
    """The slot that is shown ``[sequences]``, and those that ask, ``[sequences, COPIES]``, none within two of it."""
    shown = rng.integers(slots, size=sequences)
    order = rng.permuted(np.tile(np.arange(slots), (sequences, 1)), axis=1)
    far = np.abs(order - shown[:, None]) > 2
    first_far = np.argsort(~far, axis=1, kind="stable")[:, :COPIES]
    return shown, np.take_along_axis(order, first_far, axis=1)


def count(rng: Generator, sequences: int, frames: int) -> tuple[np.ndarray, np.ndarray]:
    """Every frame shows a token, some frames anywhere a marker too. Label: MODULUS token + [markers modulo MODULUS].

    From one marker to MODULUS * MOST_ROUNDS of them. The remainders are equally frequent in a draw.
    """
    tokens = rng.integers(TOKENS, size=(sequences, frames))
    remainder = rng.permutation(np.arange(sequences) % MODULUS)
    markers = 1 + remainder + MODULUS * rng.integers(MOST_ROUNDS, size=sequences)
    rank = rng.permuted(np.tile(np.arange(frames), (sequences, 1)), axis=1)
    marked = (rank < markers[:, None]).astype(float)
    x = np.concatenate([one_hot(tokens, TOKENS), marked[:, :, None]], axis=2)
    return x, MODULUS * tokens + (markers % MODULUS)[:, None]


def one_hot(numbers: np.ndarray, kinds: int) -> np.ndarray:
    """``[…]`` → ``[…, kinds]``"""
    return np.eye(kinds)[numbers]


def near(places: np.ndarray, frames: int) -> np.ndarray:
    """bool ``[sequences, frames]``: True for frames at most NEAR from a sequence's place."""
    return np.abs(np.arange(frames) - places[:, None]) <= NEAR


TASKS = {
    task.name: task
    for task in (
        Task("norm", "is this frame above the mean of all?", norm, 3, 8, 128, 250, norm_chance(128)),
        Task("cue", "which marker was shown far away?", cue, TOKENS + MARKERS, 16, 96, 500, 100 / MARKERS),
        Task("order", "which of two far markers came first?", order, TOKENS + 2, 8, 96, 1000, 100 / 2),
        Task("recall", "what value did this key have?", recall, 2 * PAIRS + 1, PAIRS, 96, 700, 100 / PAIRS),
        Task("copy", "what stood at this place of a far segment?", copy, SYMBOLS + 2, SYMBOLS, 96, 1000, 100 / SYMBOLS),
        Task("count", "how many markers were there, modulo 4?", count, TOKENS + 1, 16, 96, 1000, 100 / MODULUS),
    )
}
