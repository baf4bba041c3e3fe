"""The window of intensities from blood and muscle."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.intensity_window import (
    SAMPLE,
    WINDOW_MARGIN,
    heart_window,
    image_window,
)

STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


def made(blood=200, muscle=60, fat=900):
    """Return voxels and labels of two slices: dark lung, bright fat and a heart in slice 1."""
    rng = np.random.default_rng(0)
    labels = np.zeros((2, 30, 30), np.uint8)
    labels[1, 5:15, 5:15], labels[1, 5:15, 15:25], labels[1, 15:25, 5:25] = 1, 2, 3
    means = np.choose(labels, [5, blood, muscle, blood])
    means[:, :3] = fat
    return means + rng.normal(0, 4, labels.shape), labels


def test_blood_is_bright_and_muscle_dark():
    voxels, labels = made()
    low, high = heart_window(voxels, labels, STRUCTURES)
    dark, bright = np.percentile(voxels[labels == 2], 5), np.percentile(voxels[labels % 2 > 0], 95)
    assert low == pytest.approx(dark - WINDOW_MARGIN * (bright - dark))
    assert high == pytest.approx(bright + WINDOW_MARGIN * (bright - dark))


def test_only_segmented_phases_count():
    voxels, labels = made()
    cine = np.stack([5 * voxels, voxels])
    phases = np.stack([0 * labels, labels])
    assert heart_window(cine, phases, STRUCTURES) == heart_window(voxels, labels, STRUCTURES)


@pytest.mark.parametrize(
    ("intensities", "structures"),
    [
        ({"blood": 20}, STRUCTURES),
        ({}, {"RV": 1, "LV": 3}),
        ({}, {"liver": 1, "MYO": 2}),
    ],
)
def test_without_bright_blood_there_is_no_window(intensities, structures):
    voxels, labels = made(**intensities)
    assert heart_window(voxels, labels, structures) is None
    assert heart_window(voxels, 0 * labels, structures) is None


def test_an_image_is_shown_without_its_brightest_voxels():
    voxels = np.arange(3, 1003).reshape(2, 20, 25)
    voxels[1, 19, -3:] = 30_000
    assert image_window(voxels) == (3, 3 + 0.995 * 999)
    assert image_window(np.full((1, 2, 3), 7)) == (7, 7)


def test_a_large_image_is_sampled_in_all_columns():
    voxels = np.tile(np.uint8([0, 9, 9]), (2, 1000, 200))
    assert voxels.size == 2.4 * SAMPLE  # every third voxel would be 0
    assert image_window(voxels) == (0, 9)
