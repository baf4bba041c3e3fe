"""Voxels next to contours and far from them, checked with SciPy's distances."""

import numpy as np
import pytest
from scipy import ndimage

from napari_bayes_nnunet.core.metrics.border import GROSS_MM, border_band, far_from_contours

SPACING = (10.0, 2.0, 1.0)


def blobs(seed, shape=(3, 30, 40)):
    noise = np.random.default_rng(seed).normal(size=shape)
    return np.digitize(ndimage.gaussian_filter(noise, (0, 4, 4)), [0.0, 0.08]).astype(np.uint8)


def distances(labels, spacing):
    """Return the (Y, X) distance to the nearest voxel of another label, mm."""
    distance = np.full(labels.shape, np.inf)
    if labels.min() < labels.max():
        for value in np.unique(labels):
            inside = labels == value
            distance[inside] = ndimage.distance_transform_edt(inside, sampling=spacing)[inside]
    return distance


@pytest.mark.parametrize("spacing", [(10, 1.5, 1.5), (8, 0.7, 0.9), (10, 3, 3), (5, 4, 1)])
@pytest.mark.parametrize("seed", range(3))
def test_far_is_what_the_distance_transform_says(spacing, seed):
    labels = blobs(seed)
    expected = np.stack([distances(plane, spacing[1:]) > GROSS_MM for plane in labels])
    np.testing.assert_array_equal(far_from_contours(labels, spacing), expected)
    assert 0 < expected.mean() < 1


def test_distances_are_in_mm_along_each_axis():
    labels = np.zeros((1, 9, 9), np.uint8)
    labels[0, 4, 4] = 3
    near = ~far_from_contours(labels, SPACING, farther_than=2.0)
    expected = np.zeros((1, 9, 9), bool)
    expected[0, 4, 2:7] = expected[0, 3:6, 4] = True
    np.testing.assert_array_equal(near, expected)


def test_corners_alone_do_not_touch():
    labels = np.zeros((1, 3, 3), np.uint8)
    labels[0, 1, 1] = 1
    np.testing.assert_array_equal(border_band(labels)[0], [[0, 1, 0], [1, 1, 1], [0, 1, 0]])
