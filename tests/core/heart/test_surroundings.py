"""Part of the slices in which the heart lies."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.surroundings import NEARBY_MM, find_heart, find_surroundings

HEART, KIDNEY = (slice(10, 20), slice(12, 24)), (slice(40, 60), slice(40, 60))


def made_labels(shape: tuple[int, ...]) -> np.ndarray:
    """Return a heart in all slices and a larger kidney in one."""
    labels = np.zeros(shape, np.uint8)
    labels[(..., *HEART)] = 3
    labels[(*(0 for _ in shape[:-2]), *KIDNEY)] = 1
    return labels


@pytest.mark.parametrize("shape", [(8, 64, 64), (2, 4, 64, 64)])
def test_heart_is_the_part_with_most_voxels(shape):
    expected = np.zeros(shape[-2:], bool)
    expected[HEART] = True
    assert np.array_equal(find_heart(made_labels(shape)), expected)


def test_surroundings_reach_the_margin_in_mm():
    heart = np.zeros((64, 64), bool)
    heart[HEART] = True
    rows, columns = np.nonzero(find_surroundings(heart, (1.0, 2.5)))
    assert (rows.min(), rows.max()) == (0, 19 + NEARBY_MM)
    assert (columns.min(), columns.max()) == (
        12 - NEARBY_MM / 2.5,
        23 + NEARBY_MM / 2.5,
    )


def test_without_a_heart_everything_is_near():
    heart = find_heart(np.zeros((3, 5, 6), np.uint8))
    assert not heart.any()
    assert find_surroundings(heart, (1.5, 1.5)).all()
