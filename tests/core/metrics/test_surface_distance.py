"""Surface distances, by hand and by MedPy."""

import numpy as np
import pytest
from medpy.metric import binary
from scipy import ndimage
from scipy.spatial.distance import cdist

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.surface_distance import SurfaceDistance, surface_distances

HEART = {"RV": 1, "MYO": 2, "LV": 3}


def blobs(seed, shape=(5, 30, 40)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (1, 3, 3))
    return np.digitize(noise, np.quantile(noise, [0.6, 0.8, 0.95])).astype(np.uint8)


def of_voxels(prediction, reference, spacing, shape=(3, 6, 8)):
    """Return the distances of one structure made of these voxels (z, y, x)."""
    maps = np.zeros((2, *shape), np.uint8)
    for labels, voxels in zip(maps, (prediction, reference), strict=True):
        for voxel in voxels:
            labels[voxel] = 1
    return surface_distances(*maps, spacing, {"LV": 1})["LV"]


def assert_same(found, expected):
    assert (found.hausdorff95, found.average) == pytest.approx(expected, nan_ok=True)


@pytest.mark.parametrize("spacing", [(1, 1, 1), (10, 1.5, 1.25), (2.5, 4, 0.7)])
@pytest.mark.parametrize("seed", range(3))
def test_distances_are_those_of_medpy(spacing, seed):
    prediction, reference = blobs(seed), blobs(seed + 100)
    found = surface_distances(prediction, reference, spacing, HEART)
    assert list(found) == list(HEART)
    for name, label in HEART.items():
        masks = prediction == label, reference == label
        expected = (binary.hd95(*masks, spacing), binary.assd(*masks, spacing))
        assert_same(found[name], expected)
        assert expected[0] > expected[1] > 0


def test_a_single_slice_is_a_plane():
    prediction, reference = blobs(0)[:1], blobs(100)[:1]
    found = surface_distances(prediction, reference, (10, 1.5, 1.2), HEART)
    for name, label in HEART.items():
        masks = prediction[0] == label, reference[0] == label
        expected = (binary.hd95(*masks, (1.5, 1.2)), binary.assd(*masks, (1.5, 1.2)))
        assert_same(found[name], expected)


@pytest.mark.parametrize(
    ("moved", "distance"), [((2, 2, 3), 10), ((1, 4, 3), 4), ((1, 2, 5), 3), ((1, 4, 5), 5)]
)
def test_two_single_voxels_are_apart_in_mm(moved, distance):
    assert_same(of_voxels([(1, 2, 3)], [moved], (10, 2, 1.5)), (distance, distance))


def test_all_distances_of_both_ways_count_alike():
    """0, 2, 4, 6 mm there and 0 mm back: their mean, and 0.8 of the way from 4 to 6."""
    row = [(1, 2, x) for x in range(4)]
    assert_same(of_voxels(row, row[:1], (10, 1, 2)), (5.6, 12 / 5))
    assert_same(of_voxels(row[:1], row, (10, 1, 2)), (5.6, 12 / 5))


def test_beyond_the_image_all_is_outside():
    """What fills the image has its surface at the image's border."""
    reference = np.ones((3, 5, 7), np.uint8)
    prediction = np.zeros_like(reference)
    prediction[1, 2, 3] = 1
    shell = np.argwhere(np.pad(np.zeros((1, 3, 5)), 1, constant_values=1))
    spacing = (10, 1, 2)
    back = cdist(shell * spacing, [np.multiply((1, 2, 3), spacing)])[:, 0]
    found = surface_distances(prediction, reference, spacing, {"LV": 1})["LV"]
    assert back.min() == 2
    assert found.average == pytest.approx((back.sum() + 2) / (len(shell) + 1))


@pytest.mark.parametrize("labels", [np.ones((1, 1, 1), int), blobs(0)])
def test_the_same_map_has_no_distance(labels):
    found = surface_distances(labels, labels, (10, 1, 1), {"RV": 1})
    assert found == {"RV": SurfaceDistance(hausdorff95=0, average=0)}


def test_what_lies_around_changes_nothing():
    prediction, reference = blobs(1), blobs(101)
    wide = [np.pad(labels, ((2, 0), (7, 3), (0, 9))) for labels in (prediction, reference)]
    found = surface_distances(prediction, reference, (8, 1.2, 1.4), HEART)
    assert surface_distances(*wide, (8, 1.2, 1.4), HEART) == found


@pytest.mark.parametrize("empty", [(True, False), (False, True), (True, True)])
def test_where_either_is_empty_there_is_no_distance(empty):
    maps = [blobs(0) * np.uint8(not none) for none in empty]
    for found in surface_distances(*maps, (10, 1, 1), HEART).values():
        assert_same(found, (np.nan, np.nan))


def test_only_the_missing_structure_has_no_distance():
    prediction, reference = blobs(0), blobs(100)
    prediction[prediction == HEART["RV"]] = 0
    found = surface_distances(prediction, reference, (10, 1, 1), HEART)
    assert np.isnan(found["RV"].hausdorff95)
    assert found["LV"] == surface_distances(blobs(0), reference, (10, 1, 1), HEART)["LV"]


def test_other_shapes_are_refused():
    with pytest.raises(InputError) as error:
        surface_distances(np.ones((1, 2, 3), int), np.ones((1, 2, 2), int), (1, 1, 1), HEART)
    assert error.value.values == {"expected": (1, 2, 2), "found": (1, 2, 3)}
