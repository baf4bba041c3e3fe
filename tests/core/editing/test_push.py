"""A round tool pushes a contour: from inside outwards, from outside inwards."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from napari_bayes_nnunet.core.editing.closed_curve import Points, fill_curve
from napari_bayes_nnunet.core.editing.push import draw_circle, push_curve, push_radius

CENTRE = np.array([40.0, 40.0])
R = 20.0
SHAPE = (80, 80)


def area(curve: Points) -> int:
    return int(fill_curve(curve, SHAPE).sum())


def circle() -> Points:
    return draw_circle(CENTRE, R, 400)


def test_the_tool_is_as_large_as_the_distance_to_the_contour():
    for distance, radius in ((5.0, 5.0), (0.2, 1.0), (19.0, 12.0), (-4.0, 4.0)):
        point = np.add(CENTRE, (0, R - distance))
        assert push_radius(circle(), point, most=12.0) == pytest.approx(radius, abs=0.05)


@pytest.mark.parametrize("outwards", [True, False])
def test_the_contour_is_pushed_where_the_mouse_goes(outwards):
    side = -1 if outwards else 1
    start, end = np.add(CENTRE, (0, R + side * 6)), np.add(CENTRE, (0, R - side * 2))
    pushed = push_curve(circle(), start, end, 6.0)
    assert (area(pushed) > area(circle())) == outwards
    edge = np.add(CENTRE, (0, R - side * 2 - side * 6))  # of the tool at the end
    assert np.linalg.norm(pushed - edge, axis=1).min() < 0.5
    assert np.linalg.norm(pushed - end, axis=1).min() > 5.5  # nothing is left inside the tool
    far = pushed[:, 1] < CENTRE[1]
    off = np.linalg.norm(pushed[far] - CENTRE, axis=1) - R
    assert np.abs(off).max() < 0.05


def test_a_quick_drag_pushes_as_a_slow_one():
    start, end = CENTRE, np.add(CENTRE, (0, 30.0))
    quick = push_curve(circle(), start, end, 8.0)
    slow, path = circle(), np.linspace(start, end, 31)
    for before, after in pairwise(path):
        slow = push_curve(slow, before, after, 8.0)
    both = fill_curve(quick, SHAPE), fill_curve(slow, SHAPE)
    assert (both[0] ^ both[1]).sum() < 0.02 * both[0].sum()


@settings(max_examples=50)
@given(st.floats(0, 6.3), st.floats(3, 10), st.floats(0.5, 12), st.sampled_from([-1, 1]))
@example(angle=0.0, radius=9.0, way=10.0, side=-1)
def test_the_contour_stays_closed_even_and_without_corners(angle, radius, way, side):
    direction = np.array([np.sin(angle), np.cos(angle)])
    start = CENTRE + (R - side * radius) * direction
    pushed = push_curve(circle(), start, start + side * way * direction, radius)
    closed = np.concatenate([pushed, pushed[:2]])
    steps = np.diff(closed, axis=0)
    lengths = np.linalg.norm(steps, axis=1)
    assert lengths.max() < 0.6
    turns = np.angle(np.exp(1j * np.diff(np.arctan2(*steps.T))))
    assert np.abs(turns).max() < 1.5
