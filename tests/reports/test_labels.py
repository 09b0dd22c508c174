"""Labels of points: near where there is space, else at the end of a line, and never outside."""

from itertools import combinations

import pytest

from recipes.reports.labels import Box, place_labels

ROOM = Box(0, 0, 400, 200)
SIZE = (80, 12)


def place(*points, obstacles=(), sizes=None):
    return place_labels(points, sizes or [SIZE] * len(points), obstacles, ROOM)


def test_a_point_alone_has_its_label_at_its_right():
    (label,) = place((100, 100))
    assert label.box == Box(108, 94, 188, 106) and label.line_end is None


@pytest.mark.parametrize("point", [(395, 100), (5, 100), (200, 198), (200, 2), (399, 199)])
def test_a_label_stays_in_the_room(point):
    (label,) = place(point)
    assert label.box.overlap(ROOM) == pytest.approx(SIZE[0] * SIZE[1])


def test_obstacles_are_avoided():
    bar = Box(110, 0, 112, 200)
    (label,) = place((100, 100), obstacles=[bar])
    assert label.box.overlap(bar) == 0


def test_labels_cover_neither_each_other_nor_points_and_say_whose_they_are():
    points = [(100 + 14 * number, 100) for number in range(6)]
    labels = place(*points)
    for a, b in combinations(labels, 2):
        assert a.box.overlap(b.box) == 0
    for i, label in enumerate(labels):
        for j, (x, y) in enumerate(points):
            assert label.box.overlap(Box(x - 4, y - 4, x + 4, y + 4)) == 0
            if label.line_end is None and j != i:  # nearer to its own point than to any other
                assert gap(label.box, points[i]) < gap(label.box, (x, y))
    assert any(label.line_end for label in labels)


def gap(box: Box, point: tuple[float, float]) -> float:
    x, y = point
    return max(box.left - x, x - box.right, 0) + max(box.bottom - y, y - box.top, 0)
