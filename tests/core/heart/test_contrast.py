"""Ratio of muscle to blood, on a heart of known intensities."""

import math

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.intensity_window import muscle_to_blood

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


def made(muscle: float, blood: float) -> tuple[np.ndarray, np.ndarray]:
    labels = np.zeros((4, 20, 20), np.uint8)
    labels[:, 4:16, 4:16] = 2
    labels[:, 7:13, 7:13] = 3
    voxels = np.array([100.0, 100.0, muscle, blood])[labels]
    return voxels, labels


@pytest.mark.parametrize(("muscle", "blood", "ratio"), [(200, 600, 0.2), (700, 300, 3.0)])
def test_ratio_is_above_the_darkest_voxels(muscle, blood, ratio):
    voxels, labels = made(muscle, blood)
    assert muscle_to_blood(voxels, labels, STRUCTURES) == pytest.approx(ratio)
    assert muscle_to_blood(7 * voxels - 50, labels, STRUCTURES) == pytest.approx(ratio)


def test_black_blood_is_infinitely_far():
    assert muscle_to_blood(*made(400, 100), STRUCTURES) == math.inf


def test_missing_structure_has_no_ratio():
    voxels, labels = made(200, 600)
    labels[labels == 3] = 0
    assert math.isnan(muscle_to_blood(voxels, labels, STRUCTURES))
    assert math.isnan(muscle_to_blood(*made(200, 600), {"RV": 1}))
