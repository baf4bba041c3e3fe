"""Smooth contours: what they enclose, how smooth they are, and where they meet."""

import numpy as np
import pytest
from scipy import ndimage

from napari_bayes_nnunet.core.editing.closed_curve import fill_curve
from napari_bayes_nnunet.core.editing.smooth_contours import smooth_contours
from napari_bayes_nnunet.core.ensemble.stored_posterior import PlanePosterior

from ...helpers.data.slices import LV, MYO, RV, disk

STRUCTURES = (RV, MYO, LV)
EVERYWHERE = np.ones((3, 3))


def area(loops):
    """Return the area inside the loops; holes count negatively."""
    total = 0.0
    for points in loops:
        (y, x), (next_y, next_x) = points.T, np.roll(points, -1, axis=0).T
        total += float((next_x * y - x * next_y).sum() / 2)
    return total


def inside(loops, shape):
    """Return the voxels inside an odd number of the loops."""
    masks = [fill_curve(points, shape) for points in loops]
    return np.logical_xor.reduce(masks) if masks else np.zeros(shape, bool)


def assert_encloses(labels, contours):
    for label, loops in contours.items():
        mask = labels == label
        allowed = max(0.01 * mask.sum(), 2)
        assert area(loops) == pytest.approx(mask.sum(), abs=allowed)
        np.testing.assert_array_equal(inside(loops, labels.shape), mask)
        pieces = ndimage.label(mask, EVERYWHERE)[1]
        holes = ndimage.label(~np.pad(mask, 1))[1] - 1
        assert sum(area([points]) > 0 for points in loops) == pieces
        assert len(loops) == pieces + holes


def ring(radius, width):
    y, x = np.mgrid[:48, :50]
    distance = np.hypot(y - 23.3, x - 24.6)
    labels = np.where(distance < radius, LV, np.where(distance < radius + width, MYO, 0))
    return labels.astype(np.uint8)


def blob(*voxels):
    labels = np.zeros((9, 9), np.uint8)
    labels[tuple(np.transpose(voxels))] = MYO
    return labels


@pytest.mark.parametrize("width", [0.8, 1.0, 1.5, 4])
@pytest.mark.parametrize("radius", [1.2, 5.5, 17])
def test_a_thin_ring_stays_whole(radius, width):
    labels = ring(radius, width)
    assert_encloses(labels, smooth_contours(labels, STRUCTURES))


@pytest.mark.parametrize(
    "labels",
    [
        blob((4, 4)),
        blob((4, 4), (4, 5)),
        blob((4, 4), (5, 5)),
        blob((3, 3), (3, 5), (5, 3)),
        blob(*((row, 4) for row in range(9))),
        blob((2, 2), (2, 3), (3, 2), (3, 3), (4, 4), (5, 4), (6, 4), (6, 5), (6, 6), (5, 6)),
        blob((0, 0), (0, 1), (8, 8), (8, 0), (4, 0)),
    ],
    ids=["one", "two", "corner", "three", "line", "ten", "edges"],
)
def test_few_voxels_stay_unchanged(labels):
    assert_encloses(labels, smooth_contours(labels, [MYO]))


@pytest.mark.parametrize("seed", range(8))
def test_any_mask_is_enclosed(seed):
    rng = np.random.default_rng(seed)
    noise = ndimage.gaussian_filter(rng.normal(size=(4, 40, 44)), (0, 2, 2))
    labels = noise.argmax(axis=0).astype(np.uint8)
    for label, loops in smooth_contours(labels, STRUCTURES).items():
        mask = labels == label
        assert area(loops) == pytest.approx(mask.sum(), abs=max(0.01 * mask.sum(), 2))
        np.testing.assert_array_equal(inside(loops, labels.shape), mask)


def test_a_hole_and_the_whole_slice_are_outlined():
    labels = np.full((12, 14), LV, np.uint8)
    labels[5, 6] = 0
    contours = smooth_contours(labels, [LV])
    assert_encloses(labels, contours)
    assert max(points[:, 1].max() for points in contours[LV]) == pytest.approx(13.5, abs=0.06)


def test_absent_structures_have_no_contours():
    assert smooth_contours(np.zeros((5, 6), np.uint8), STRUCTURES) == {RV: [], MYO: [], LV: []}
    labels = np.where(disk(5), MYO, 0).astype(np.uint8)
    assert smooth_contours(labels, [LV]) == {LV: []}


@pytest.mark.parametrize("slope", [0.0, 0.11, 0.29, 0.5, 1.0])
def test_a_staircase_becomes_a_straight_line(slope):
    y, x = np.mgrid[:60, :60]
    labels = np.where(y > 20.3 + slope * x, LV, 0).astype(np.uint8)
    (points,) = smooth_contours(labels, [LV])[LV]
    middle = points[(points[:, 1] > 12) & (points[:, 1] < 40) & (points[:, 0] < 58)]
    away = (middle[:, 0] - slope * middle[:, 1]) / np.hypot(1, slope)
    assert np.ptp(away) < 0.35  # the steps are one voxel


def test_the_contour_of_a_circle_is_round():
    labels = np.where(disk(14, at=(32, 36)), LV, 0).astype(np.uint8)
    (points,) = smooth_contours(labels, [LV])[LV]
    radii = np.linalg.norm(points - (32, 36), axis=1)
    assert radii.std() < 0.12


def posterior(shift=(0.0, 0.0)):
    """Return a heart whose borders lie at radius 10 and 15, and to the left of column 12."""
    y, x = np.mgrid[:64, :72].astype(float)
    distance = np.hypot(y - 32 - shift[0], x - 36 - shift[1])
    scores = np.stack([0 * x, 12 - x - 3 * (abs(y - 32) > 9), 15 - distance, 25 - 2 * distance])
    scores[0] = np.where(distance > 12, 0, -20)
    shares = np.exp(1.2 * scores)
    shares /= shares.sum(axis=0)
    stored = np.rint(shares * 255).astype(np.uint8)
    prediction = stored.argmax(axis=0).astype(np.uint8)
    return PlanePosterior(prediction=prediction, probabilities=stored, origin=(0, 0))


def test_predicted_contours_lie_where_probabilities_are_equal():
    shown = posterior(shift=(0.3, -0.2))
    contours = smooth_contours(shown.prediction, STRUCTURES, shown)
    (cavity,) = contours[LV]
    radii = np.linalg.norm(cavity - (32.3, 35.8), axis=1)
    assert radii == pytest.approx(10, abs=0.1)
    outer = max(contours[MYO], key=len)
    radii = np.linalg.norm(outer - (32.3, 35.8), axis=1)
    assert radii == pytest.approx(15, abs=0.1)


def columns(*widths, **probabilities):
    """Return a plane of 20 rows with columns of background, LV, MYO and background."""
    row = np.repeat([0, LV, MYO, 0], widths)
    shares = 255 * (np.arange(4)[:, None] == row)
    for name, shown in probabilities.items():
        shares[:, int(name.removeprefix("x"))] = shown
    stored = np.repeat(shares[:, None].astype(np.uint8), 20, axis=1)
    prediction = np.repeat(row[None].astype(np.uint8), 20, axis=0)
    return PlanePosterior(prediction=prediction, probabilities=stored, origin=(0, 0))


def middle_of(loops):
    """Return the x of all points away from the ends of the columns."""
    points = np.concatenate(loops)
    return points[(points[:, 0] > 5) & (points[:, 0] < 14), 1]


def test_contour_follows_smallest_margin_of_posterior():
    shown = columns(4, 6, 8, 4, x9=(0, 0, 127, 128), x10=(0, 0, 127, 127))
    x = middle_of(smooth_contours(shown.prediction, [MYO, LV], shown)[LV])
    assert x.max() == pytest.approx(9.96, abs=0.03)  # the voxel at 10 is equally probable


@pytest.mark.parametrize("mirrored", [False, True])
def test_thin_structure_stays_visible_beside_thick_one(mirrored):
    """An LV of one column reaches 0.3 voxels to either side, however improbable it is."""
    shown = columns(4, 1, 8, 4, x4=(127, 0, 0, 128))
    if mirrored:
        shown = PlanePosterior(
            prediction=shown.prediction[:, ::-1],
            probabilities=shown.probabilities[..., ::-1],
            origin=(0, 0),
        )
    x = middle_of(smooth_contours(shown.prediction, [MYO, LV], shown)[LV])
    center = 12 if mirrored else 4
    assert x.min() < center - 0.25
    assert x.max() > center + 0.25


def test_contours_of_touching_structures_meet():
    for shown in (posterior(), None):
        contours = smooth_contours(posterior().prediction, STRUCTURES, shown)
        (cavity,), wall = contours[LV], min(contours[MYO], key=len)
        apart = np.linalg.norm(cavity[:, None] - wall[None], axis=2).min(axis=1)
        assert apart.max() < 0.02


def test_an_edit_leaves_the_rest_of_a_contour():
    shown = posterior()
    edited = shown.prediction.copy()
    edited[30:35, 44:48] = MYO
    before, after = (
        smooth_contours(labels, STRUCTURES, shown)[LV][0] for labels in (shown.prediction, edited)
    )
    left = [points[points[:, 1] < 36] for points in (before, after)]
    apart = np.linalg.norm(left[0][:, None] - left[1][None], axis=2).min(axis=1)
    assert apart.max() < 0.15
    mask = edited == LV
    assert area([after]) == pytest.approx(mask.sum(), abs=max(0.01 * mask.sum(), 2))
    np.testing.assert_array_equal(inside([after], mask.shape), mask)


def test_outside_the_stored_box_all_is_background():
    whole = posterior()
    cropped = PlanePosterior(
        prediction=whole.prediction, probabilities=whole.probabilities[:, :, 20:], origin=(0, 20)
    )
    contours = [smooth_contours(whole.prediction, [LV], shown) for shown in (whole, cropped)]
    np.testing.assert_allclose(contours[0][LV][0], contours[1][LV][0], atol=1e-6)
