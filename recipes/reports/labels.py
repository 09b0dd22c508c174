"""Where the labels of a scatter plot go, so that they cover neither each other nor the points."""

import math
from collections.abc import Sequence
from itertools import product
from typing import NamedTuple

DISTANCES = (8, 20, 32, 44, 56)  # of a label from its point, in the plot's units
DIRECTIONS = ((1, 0), (-1, 0), (0, 1), (0, -1), (1, 1), (1, -1), (-1, 1), (-1, -1))
COVERED = 5  # units of distance that a label goes to cover one square unit less
LINE_WIDTH = 2
RADIUS = 10  # around a point; a label nearer would be taken for the label of that one


class Box(NamedTuple):
    """A rectangle, upwards from the bottom."""

    left: float
    bottom: float
    right: float
    top: float

    def overlap(self, other: "Box") -> float:
        """The area that both cover."""
        width = min(self.right, other.right) - max(self.left, other.left)
        height = min(self.top, other.top) - max(self.bottom, other.bottom)
        return max(0, width) * max(0, height)


class Label(NamedTuple):
    """The place of a label, and where the line to its point ends; None for a label beside its point."""

    box: Box
    line_end: tuple[float, float] | None


def place_labels(
    points: Sequence[tuple[float, float]], sizes: Sequence[tuple[float, float]], obstacles: Sequence[Box], room: Box
) -> list[Label]:
    """A place for each point's label of (width, height), as near as there is space for it.

    obstacles: what else the labels should not cover, such as error bars. room: what they must not leave. Points in a
    crowd come last: a line can lead to a label further away.
    """
    around = [Box(x - RADIUS, y - RADIUS, x + RADIUS, y + RADIUS) for x, y in points]
    space = [min((math.dist(point, other) for other in points if other is not point), default=0) for point in points]
    labels = {}
    for i in sorted(range(len(points)), key=lambda i: -space[i]):
        taken = [*around[:i], *around[i + 1 :], *obstacles, *(label.box for label in labels.values())]
        candidates = (candidate(points[i], sizes[i], *place) for place in product(DISTANCES, DIRECTIONS))
        labels[i] = min(candidates, key=lambda label: cost(label, points[i], taken, room))
    return [labels[i] for i in range(len(points))]


def candidate(
    point: tuple[float, float], size: tuple[float, float], distance: float, direction: tuple[int, int]
) -> Label:
    (x, y), (width, height), (right, up) = point, size, direction
    left = x + right * distance - (1 - right) / 2 * width
    bottom = y + up * distance - (1 - up) / 2 * height
    box = Box(left, bottom, left + width, bottom + height)
    if distance == DISTANCES[0]:
        return Label(box, None)
    return Label(box, (min(max(x, box.left), box.right), min(max(y, box.bottom), box.top)))


def cost(label: Label, point: tuple[float, float], taken: Sequence[Box], room: Box) -> float:
    """Distance, area covered, and, many times as bad, area outside of the room."""
    box = label.box
    outside = (box.right - box.left) * (box.top - box.bottom) - box.overlap(room)
    total = 50 * outside + COVERED * sum(map(box.overlap, taken))
    if label.line_end is not None:
        length = math.dist(point, label.line_end)
        total += length + COVERED * LINE_WIDTH * length * sum(share_within(point, label.line_end, box) for box in taken)
    return total


def share_within(start: tuple[float, float], end: tuple[float, float], box: Box, samples: int = 12) -> float:
    """How much of a line lies in a box."""
    inside = 0
    for i in range(samples):
        x, y = (a + (b - a) * (i + 0.5) / samples for a, b in zip(start, end, strict=True))
        inside += box.left < x < box.right and box.bottom < y < box.top
    return inside / samples
