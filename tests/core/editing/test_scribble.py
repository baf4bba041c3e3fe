"""Tests of a stroke that asks the posterior for a shape."""

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.editing.alternatives import find_alternatives
from napari_bayes_nnunet.core.editing.scribble import UNKNOWN_SHAPE, apply_scribble, draw_stroke

from ...helpers.checks.problems import says
from ...helpers.data.slices import HEART, LV, MYO, RV, disk, heart, slice_of, slice_of_members

WITHOUT_RV, WITH_RV = heart(rv=0), heart()
SHAPE = WITH_RV.shape


def line(y, x):
    """Return the mask of a horizontal stroke through columns ``x`` of row ``y``."""
    mask = np.zeros(SHAPE, bool)
    mask[y, x] = True
    return mask


IN_RV = line(32, slice(12, 18))


def test_stroke_covers_voxels_under_its_line():
    points = np.array([[3.4, 1.6], [3.4, 4.4], [5.6, 4.4]])
    wanted = np.zeros((8, 6), bool)
    wanted[3, 2:5] = wanted[3:7, 4] = True
    np.testing.assert_array_equal(draw_stroke(points, (8, 6)), wanted)
    np.testing.assert_array_equal(np.argwhere(draw_stroke(points[:1], (8, 6))), [[3, 2]])
    beyond = draw_stroke(np.array([[3, -5], [3, 1]]), (8, 6))
    np.testing.assert_array_equal(np.argwhere(beyond), [[3, 0], [3, 1]])


def test_missing_structure_appears_after_one_stroke():
    slice_ = slice_of_members([WITHOUT_RV, WITHOUT_RV, WITH_RV])
    result = apply_scribble(slice_, slice_.prediction, IN_RV, label=RV, inside=True)
    assert not (slice_.prediction == RV).any()
    np.testing.assert_array_equal(result.labels, WITH_RV)
    assert result.margin == pytest.approx(85 / 255 - 170 / 255)


def test_stroke_outside_takes_the_structure_away():
    slice_ = slice_of_members([WITH_RV, WITH_RV, WITHOUT_RV])
    result = apply_scribble(slice_, WITH_RV, IN_RV, label=RV, inside=False)
    np.testing.assert_array_equal(result.labels, WITHOUT_RV)


def test_only_the_piece_under_the_stroke_changes():
    far = disk(4, at=(56, 56), shape=SHAPE)
    two = np.where(far, np.uint8(RV), WITH_RV)
    slice_ = slice_of_members([WITHOUT_RV, WITHOUT_RV, two])
    result = apply_scribble(slice_, WITHOUT_RV, IN_RV, label=RV, inside=True)
    np.testing.assert_array_equal(result.labels, WITH_RV)


def graded(radii):
    """Return the slice of members that draw RVs of these radii."""
    return slice_of_members([heart(rv=radius) for radius in radii])


def test_removed_structure_returns_as_predicted():
    slice_ = graded([8, 10, 12, 12, 14])
    result = apply_scribble(slice_, WITHOUT_RV, IN_RV, label=RV, inside=True)
    np.testing.assert_array_equal(result.labels, heart(rv=12))
    assert result.margin == 0
    beyond = apply_scribble(slice_, WITHOUT_RV, line(32, [9, 10]), label=RV, inside=True)
    np.testing.assert_array_equal(beyond.labels, heart(rv=14))


def test_removed_piece_returns_beside_another():
    far = disk(4, at=(56, 56), shape=SHAPE)
    small, large = (np.where(far, np.uint8(RV), heart(rv=radius)) for radius in (8, 12))
    slice_ = slice_of_members([small, large, large])
    labels = np.where(far, np.uint8(RV), WITHOUT_RV)
    stroke = line(32, slice(16, 22))
    result = apply_scribble(slice_, labels, stroke, label=RV, inside=True)
    np.testing.assert_array_equal(result.labels, large)


def test_shrunk_structure_grows_to_the_stroke():
    slice_ = graded([8, 10, 12, 12, 14])
    stroke = line(32, [12, 13])
    result = apply_scribble(slice_, heart(rv=8), stroke, label=RV, inside=True)
    np.testing.assert_array_equal(result.labels, heart(rv=10))


def test_painted_voxels_outside_every_level_are_taken_away():
    painted = WITH_RV.copy()
    painted[50:58, 4:12] = RV
    slice_ = slice_of_members([WITH_RV, WITHOUT_RV, WITH_RV])
    result = apply_scribble(slice_, painted, line(54, slice(5, 11)), label=RV, inside=False)
    np.testing.assert_array_equal(result.labels, WITH_RV)
    assert result.margin == -1


def test_a_readers_other_corrections_stay():
    edited = WITHOUT_RV.copy()
    edited[50:53, 50:53] = MYO
    slice_ = slice_of_members([WITHOUT_RV, WITHOUT_RV, WITH_RV])
    result = apply_scribble(slice_, edited, IN_RV, label=RV, inside=True)
    assert (result.labels[50:53, 50:53] == MYO).all()
    assert (result.labels[IN_RV] == RV).all()


def test_shape_that_changes_least_is_taken():
    small, large = heart(rv=8), heart(rv=15)
    slice_ = slice_of_members([WITHOUT_RV] * 3 + [large] * 2 + [small])
    alternatives = find_alternatives(slice_, HEART)
    result = apply_scribble(
        slice_, WITHOUT_RV, line(32, slice(18, 22)), label=RV, inside=True,
        alternatives=alternatives,
    )  # fmt: skip
    np.testing.assert_array_equal(result.labels, small)


def test_alternative_serves_where_no_level_reaches():
    shares = np.zeros((4, *SHAPE), np.float32)
    shares[0] = 1  # the mean rounds a single vote of 300 away
    slice_ = slice_of(shares, [np.zeros(SHAPE, np.uint8), WITH_RV])
    alternatives = find_alternatives(slice_, HEART)
    labels = np.zeros(SHAPE, np.uint8)
    result = apply_scribble(slice_, labels, IN_RV, label=RV, inside=True, alternatives=alternatives)
    assert result.margin is None
    chosen = alternatives[result.alternative - 1]
    np.testing.assert_array_equal(result.labels == RV, chosen.labels == RV)


def test_protected_structures_neither_change_nor_are_gained():
    slice_ = slice_of_members([heart(lv=4), heart(lv=4), heart(lv=10)])
    labels, stroke = slice_.prediction, line(32, slice(36, 43))
    result = apply_scribble(slice_, labels, stroke, label=LV, inside=True, protected={RV})
    np.testing.assert_array_equal(result.labels == RV, labels == RV)
    with pytest.raises(InputError):
        apply_scribble(slice_, labels, stroke & (labels == MYO), label=LV, inside=True,
                       protected={MYO})  # fmt: skip
    shrunk = slice_of_members([heart(lv=10), heart(lv=10), heart(lv=4)])
    result = apply_scribble(
        shrunk, shrunk.prediction, line(32, slice(42, 46)), label=LV, inside=False, protected={MYO}
    )
    assert not (result.labels[shrunk.prediction == LV] == MYO).any()


def test_stroke_outside_every_model_is_refused():
    slice_ = slice_of_members([WITH_RV, WITHOUT_RV])
    with pytest.raises(InputError, check=says(UNKNOWN_SHAPE)):
        apply_scribble(slice_, WITH_RV, line(60, slice(55, 62)), label=RV, inside=True)


def test_a_tenth_of_the_stroke_may_miss():
    slice_ = slice_of_members([WITHOUT_RV, WITHOUT_RV, WITH_RV])
    stroke = line(32, slice(7, 18))  # two of eleven voxels lie outside of the RV
    assert np.count_nonzero(stroke & (WITH_RV != RV)) == 2
    with pytest.raises(InputError):
        apply_scribble(slice_, WITHOUT_RV, stroke, label=RV, inside=True)
    result = apply_scribble(slice_, WITHOUT_RV, line(32, slice(8, 19)), label=RV, inside=True)
    np.testing.assert_array_equal(result.labels, WITH_RV)


@pytest.mark.parametrize("stroke", [np.zeros(SHAPE, bool)])
def test_empty_stroke_is_refused(stroke):
    slice_ = slice_of_members([WITH_RV, WITHOUT_RV])
    with pytest.raises(InputError):
        apply_scribble(slice_, WITH_RV, stroke, label=RV, inside=True)
