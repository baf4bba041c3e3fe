"""Papillary muscles in made images whose dark voxels are known."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.papillary import papillary_muscles

LV, MYO = 3, 2


def heart(blood: float = 300, muscle: float = 100, noise: float = 8) -> tuple[np.ndarray, ...]:
    """Return (3, 48, 48) image, labels and the muscles in the cavity of each slice."""
    y, x = np.mgrid[:48, :48]
    distance = np.hypot(y - 24, x - 24)
    labels = np.where(distance < 12, LV, np.where(distance < 17, MYO, 0))
    inside = (np.hypot(y - 18, x - 24) < 3) | (np.hypot(y - 29, x - 28) < 2)
    every, muscles = np.stack([labels] * 3), np.stack([inside, inside, np.zeros_like(inside)])
    dark = (every == MYO) | muscles
    random = np.random.default_rng(7).normal(0, noise, every.shape)
    return np.where(dark, muscle, np.where(every == LV, blood, 250)) + random, every, muscles


@pytest.mark.parametrize("kind", [np.float64, np.float32, np.int16, np.uint16])
def test_dark_voxels_of_the_cavity_are_muscle(kind):
    image, labels, muscles = heart()
    before = labels.copy()
    found = papillary_muscles(image.astype(kind), labels, lv=LV, myo=MYO)
    assert np.array_equal(found, muscles)
    assert np.array_equal(labels, before)


def test_every_slice_has_its_own_threshold():
    image, labels, muscles = heart(noise=2)
    scaled = image * np.array([1, 4, 0.25])[:, None, None]  # blood of one is darker than muscle
    assert np.array_equal(papillary_muscles(scaled, labels, lv=LV, myo=MYO), muscles)


def test_large_whole_numbers_need_no_memory():
    image, labels, muscles = heart(noise=0)
    large = (image * 5_000_000).astype(np.int64)
    assert np.array_equal(papillary_muscles(large, labels, lv=LV, myo=MYO), muscles)


@pytest.mark.parametrize("blood", [100, 60])
def test_a_cavity_that_is_not_bright_has_none(blood):
    image, labels, _ = heart(blood=blood, noise=0)
    assert not papillary_muscles(image, labels, lv=LV, myo=MYO).any()


@pytest.mark.parametrize("missing", [LV, MYO])
def test_a_slice_without_cavity_or_wall_has_none(missing):
    image, labels, muscles = heart()
    labels[0][labels[0] == missing] = 0
    found = papillary_muscles(image, labels, lv=LV, myo=MYO)
    assert not found[0].any()
    assert np.array_equal(found[1:], muscles[1:])
