"""Surface distances, by hand and by MedPy."""

import numpy as np
import pytest
from medpy.metric import binary
from scipy import ndimage

from napari_bayes_nnunet.core.metrics.surface_distance import SurfaceDistance, surface_distances

HEART = {"RV": 1, "MYO": 2, "LV": 3}


def blobs(seed, shape=(5, 30, 40)):
    noise = ndimage.gaussian_filter(np.random.default_rng(seed).normal(size=shape), (1, 3, 3))
    return np.digitize(noise, np.quantile(noise, [0.6, 0.8, 0.95])).astype(np.uint8)


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


@pytest.mark.parametrize("labels", [np.ones((1, 1, 1), int), blobs(0)])
def test_the_same_map_has_no_distance(labels):
    found = surface_distances(labels, labels, (10, 1, 1), {"RV": 1})
    assert found == {"RV": SurfaceDistance(hausdorff95=0, average=0)}
