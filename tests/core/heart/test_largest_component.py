"""Largest component of a heart, and what is removed around it."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from napari_bayes_nnunet.core.heart.largest_component import (
    Removed,
    find_removed,
    largest_component,
)

SPACING = (8.0, 1.5, 1.25)
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}
SLICES = 7


def heart(*, without: tuple[int, ...] = ()) -> np.ndarray:
    """Return (Z, Y, X) labels of a heart in the slices 0 to 5, some of which are empty."""
    labels = np.zeros((SLICES, 24, 24), np.uint8)
    labels[:6, 6:16, 6:10] = 1
    labels[:6, 6:16, 10:16] = 3
    labels[list(without)] = 0
    return labels


def kept(labels: np.ndarray) -> np.ndarray:
    return largest_component(labels, SPACING)


def test_distant_piece_is_removed():
    labels = heart()
    labels[2:4, 20:23, 20:23] = 2
    assert np.array_equal(kept(labels), heart() > 0)
    removed = find_removed(labels, labels * kept(labels), SPACING, STRUCTURES)
    assert removed == Removed(volumes_ml={"MYO": pytest.approx(18 * 0.015)}, slices=(3, 4))


@pytest.mark.parametrize("corner", [(5, 16, 16), (6, 16, 16), (6, 5, 5)])
def test_piece_at_a_corner_belongs_to_the_heart(corner):
    labels = heart()
    labels[corner] = 2
    assert kept(labels)[corner]


@given(
    missing=st.sampled_from([(), (1,), (2,), (3,), (4,), (1, 3), (2, 4), (1, 3, 5)]),
    axis=st.integers(0, 2),
    distant=st.booleans(),
)
def test_single_empty_slices_remove_nothing_else(missing, axis, distant):
    expected = heart(without=missing)
    labels = expected.copy()
    if distant and 3 not in missing:
        labels[3, 20, 20] = 1
    spacing = (*SPACING[1 : axis + 1], SPACING[0], *SPACING[axis + 1 :])
    found = largest_component(np.moveaxis(labels, 0, axis), spacing)
    assert np.array_equal(np.moveaxis(found, axis, 0), expected > 0)


def test_piece_beyond_two_empty_slices_or_aside_of_one_is_removed():
    labels = heart(without=(3, 4))
    assert np.array_equal(kept(labels), heart(without=(3, 4, 5)) > 0)
    labels = heart(without=(4, 5))
    labels[5, 17:20, 17:20] = 1
    assert np.array_equal(kept(labels), heart(without=(4, 5)) > 0)


def test_nothing_drawn_has_no_component():
    labels = np.zeros((3, 8, 8), np.uint8)
    assert not kept(labels).any()
    assert find_removed(labels, labels, SPACING, STRUCTURES) is None
