"""Smooth closed curve through handles, and the voxels inside it."""

import math

import numpy as np
import pytest
from skimage.measure import points_in_poly

from napari_bayes_nnunet.core.editing.closed_curve import BentCurve, fill_curve, join_holes
from napari_bayes_nnunet.core.editing.smooth_contours import contour_around

from ...helpers.data.slices import disk, smooth_curve


def on_circle(count, radius=10.0, at=(16.3, 17.1)):
    angles = np.arange(count) / count * 2 * math.pi
    return np.stack([at[0] + radius * np.sin(angles), at[1] + radius * np.cos(angles)], axis=1)


def to_nearest(points, places):
    """Return the distance of each place to the nearest of the points."""
    return np.linalg.norm(points[None] - np.asarray(places)[:, None], axis=-1).min(axis=1)


def test_holes_are_joined_to_the_curve_around_them():
    outer, island = on_circle(80), on_circle(40, 4, (40, 40))
    holes = [on_circle(40, 2, at)[::-1] for at in ((12.3, 14.2), (20.4, 19.7))]
    whole, other = join_holes([holes[0], outer, island, holes[1]])
    assert np.array_equal(other, island)
    shape = 45, 45
    filled = fill_curve(outer, shape)
    for hole in holes:
        filled &= ~fill_curve(hole, shape)
    inside = points_in_poly(np.argwhere(np.ones(shape)), whole).reshape(shape)
    assert np.array_equal(inside, filled)


def bent():
    """Return a circle with 8 handles."""
    return BentCurve.with_handles(on_circle(400, 15.0))


def test_a_crescent_has_more_handles_and_some_at_its_horns():
    crescent = disk(20) & ~disk(20, at=(32, 46))
    handles = BentCurve.with_handles(contour_around(crescent)).handles
    assert 8 < len(handles) <= 16
    y, x = np.nonzero(crescent)
    for horn in ((y.min(), x[y == y.min()].mean()), (y.max(), x[y == y.max()].mean())):
        assert to_nearest(handles, [horn]) < 3


@pytest.mark.parametrize("size", [(1, 1), (1, 2), (2, 2), (1, 5), (3, 3)])
def test_few_voxels_have_few_handles(size):
    mask = np.zeros((12, 12), bool)
    mask[4 : 4 + size[0], 5 : 5 + size[1]] = True
    bent = BentCurve.with_handles(contour_around(mask))
    assert 3 <= len(bent.handles) <= 8
    np.testing.assert_array_equal(fill_curve(bent.curve, mask.shape), mask)


def test_a_curve_without_moved_handles_is_its_base():
    angles = np.arange(400) / 400 * 2 * math.pi
    radii = 15 + 0.5 * np.sin(20 * angles)  # which no spline through 8 handles follows
    base = 20 + np.stack([np.sin(angles), np.cos(angles)], axis=1) * radii[:, None]
    assert to_nearest(base, BentCurve.with_handles(base).curve).max() < 0.2


@pytest.mark.parametrize("moved", [4, -4])
def test_a_moved_handle_bends_a_circle_smoothly_and_nearby(moved):
    circle = bent()
    at = np.array((16.3, 17.1))
    away = (circle.handles[2] - at) / 15
    curve = circle.move(2, circle.handles[2] + moved * away).curve
    assert to_nearest(curve, [at + (15 + moved) * away]).item() < 1e-9
    bend = np.abs(np.linalg.norm(curve - at, axis=1) - 15)
    gap = circle.at[3] - circle.at[2]
    along = np.abs(np.arange(len(curve)) - circle.at[2])
    assert bend[along >= gap].max() < 0.1 * abs(moved)
    assert bend[along >= 2 * gap].max() < 0.02 * abs(moved)
    turns = np.angle(np.exp(1j * np.diff(np.arctan2(*np.diff(curve, axis=0, append=curve[:1]).T))))
    assert np.abs(np.diff(turns)).max() < 0.02  # half a voxel of the circle turns by 0.033
    if moved > 0:
        assert (np.sign(turns) == np.sign(turns.sum())).all()  # nowhere a dent


@pytest.mark.parametrize("seed", range(10))
def test_an_added_handle_leaves_the_curve(seed):
    rng = np.random.default_rng(seed)
    before = bent().move(seed % 8, rng.uniform(5, 30, 2))
    place = rng.uniform(0, 32, 2)
    after, index = before.add(place)
    np.testing.assert_allclose(after.curve, before.curve, atol=1e-9)
    np.testing.assert_array_equal(np.delete(after.handles, index, 0), before.handles)
    nearest = np.linalg.norm(before.curve - place, axis=1).min()
    assert np.linalg.norm(after.handles[index] - place) == pytest.approx(nearest, abs=0.5)


def test_one_handle_is_removed():
    curve = bent().move(3, (0, 0))
    three = curve.keep(np.arange(8) != 3)
    np.testing.assert_array_equal(three.handles, np.delete(curve.handles, 3, axis=0))
    np.testing.assert_allclose(three.curve, curve.base)


@pytest.mark.parametrize("seed", range(10))
def test_the_voxels_whose_centres_are_inside(seed):
    rng = np.random.default_rng(seed)
    curve = smooth_curve(on_circle(8) + rng.normal(0, 1, (8, 2)))
    y, x = np.mgrid[:33, :34]
    expected = points_in_poly(np.stack([y.ravel(), x.ravel()], axis=1), curve).reshape(33, 34)
    np.testing.assert_array_equal(fill_curve(curve, (33, 34)), expected)
    np.testing.assert_array_equal(fill_curve(curve[::-1], (33, 34)), expected)


def test_the_area_is_right_below_a_voxel():
    for shift in (0.0, 0.25, 0.5, 0.75):
        square = np.array([(2, 2), (2, 6), (6, 6), (6, 2)]) + shift - 0.375
        inside = fill_curve(square, (10, 10))
        assert inside.sum() == 16
        assert inside[2 + (shift > 0.375) : 6, 3:5].all()


def test_voxels_beside_each_other_share_no_centre():
    left = fill_curve([(0, 0), (0, 3), (5, 3), (5, 0)], (6, 6))
    right = fill_curve([(0, 3), (0, 6), (5, 6), (5, 3)], (6, 6))
    assert not (left & right).any()
    assert (left | right)[:5].all()


def test_what_lies_beyond_the_slice_is_left_out():
    curve = smooth_curve(on_circle(8, radius=9, at=(2, 30)))
    whole = fill_curve(curve + 20, (60, 60))
    np.testing.assert_array_equal(fill_curve(curve, (33, 33)), whole[20:53, 20:53])
    assert not fill_curve(curve + 100, (33, 33)).any()
    assert fill_curve(on_circle(8, radius=500), (33, 33)).all()


def test_both_loops_of_crossing_curve_are_inside():
    eight = fill_curve([(2, 2), (8, 12), (2, 12), (8, 2)], (12, 16))
    assert eight[5, 3]
    assert eight[5, 11]


def test_a_loop_within_is_inside_too():
    angles = np.linspace(0, 4 * math.pi, 100, endpoint=False)
    radii = 4 + 3 * np.cos(angles / 2)
    curve = 10 + np.stack([np.sin(angles), np.cos(angles)], axis=1) * radii[:, None]
    assert fill_curve(curve, (20, 20))[10, 10]


def test_nothing_given_is_changed():
    handles = on_circle(5)
    kept = handles.copy()
    bent = BentCurve.with_handles(handles)
    bent.move(0, (0, 0)), bent.add((0, 0)), bent.keep(bent.at > 0), bent.curve
    fill_curve(handles, (20, 20))
    np.testing.assert_array_equal(handles, kept)
