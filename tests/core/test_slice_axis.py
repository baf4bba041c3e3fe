"""The axis of the slices, found from spacing and shape."""

import pytest

from napari_bayes_nnunet.core.slice_axis import (
    contradicts_shape,
    find_slice_axis,
    fourth_axis_holds_slices,
    order_with_slices_on,
)


@pytest.mark.parametrize(
    ("shape", "spacing", "axis"),
    [
        ((10, 256, 216), (10, 1.4, 1.4), 0),
        ((256, 10, 216), (1.4, 10, 1.4), 1),
        ((216, 256, 10), (1.4, 1.4, 10), 2),
        ((30, 216, 256, 10), (1.4, 1.4, 10), 2),  # a cine
        ((30, 20, 20), (8, 1.4, 1.4), 0),  # slices of a small field of view
        ((10, 256, 128), (8, 1.0, 2.0), 0),
        ((216, 256, 10), (1, 1, 1), 2),  # a header without spacing
        ((1, 256, 216), (8, 1.4, 1.4), 0),
        ((1, 256, 216), (1, 1.0, 2.0), 0),  # one slice has no distance
        ((256, 216, 1), (1.4, 1.4, 1), 2),
        ((200, 220, 180), (1, 1, 1), None),
        ((60, 200, 220), (1.5, 1.2, 1.2), None),
        ((100, 120, 110), (1.4, 1.4, 5), None),  # coarse, but not the shortest
        ((10, 256, 216), (1.4, 1.4, 10), None),
        ((256, 10, 216), (10, 1.4, 1.4), None),
    ],
)
def test_slices_lie_along_the_coarse_or_short_axis(shape, spacing, axis):
    assert find_slice_axis(shape, spacing) == axis


@pytest.mark.parametrize(
    ("count", "step", "pixel", "slices"),
    [
        (10, 8.0, 1.4, True),
        (12, 10.0, 1.4, True),
        (6, 5.0, 1.8, True),
        (25, 30.0, 1.4, False),  # ms
        (30, 0.03, 1.4, False),  # s
        (30, 20.0, 1.4, False),
        (25, 0.11, 1.4, False),
        (25, 0.13, 1.4, None),  # too long for a heartbeat
        (25, 11.0, 6.0, None),  # too short, in ms
        (25, 1.0, 0.6, None),  # a header without a step
        (2, 1.0, 1.4, None),
        (25, 0.0, 1.4, None),
        (10, 2.0, 1.4, None),
        (100, 10.0, 1.4, False),
        (2, 8.0, 1.4, None),
        (12, float("nan"), 1.4, None),
    ],
)
def test_fourth_axis_holds_slices_of_a_heart(count, step, pixel, slices):
    assert fourth_axis_holds_slices(count, step, pixel) is slices


def test_only_swapped_axes_contradict_the_spacing():
    assert contradicts_shape((10, 256, 216), (1.4, 1.4, 10))
    assert contradicts_shape((256, 10, 216), (10, 1.4, 1.4))
    assert not contradicts_shape((10, 256, 216), (10, 1.4, 1.4))
    assert not contradicts_shape((10, 256, 216), (1, 1, 1))
    assert not contradicts_shape((1, 256, 216), (1, 1.0, 2.0))


def test_other_axes_keep_their_order():
    assert order_with_slices_on(0, (216, 256, 10), (1.4, 1.4, 10)) == (2, 0, 1)
    assert order_with_slices_on(2, (10, 216, 256), (10, 1.4, 1.4)) == (1, 2, 0)
    assert order_with_slices_on(1, (216, 10, 256), (1.4, 10, 1.4)) == (0, 1, 2)
    assert order_with_slices_on(2, (200, 220, 180), (1, 1, 1)) == (0, 1, 2)
