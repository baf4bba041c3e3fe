"""Shifts between slices of a made stack."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.slice_shifts import slice_shifts

SPACING = (8.0, 1.5, 1.25)


def stack(*starts: tuple[int, int]) -> np.ndarray:
    """Return a square in each slice, which starts at (y, x)."""
    mask = np.zeros((len(starts), 40, 40), bool)
    for z, (y, x) in enumerate(starts):
        mask[z, y : y + 6, x : x + 6] = True
    return mask


def test_moved_slice_is_off_and_straight_stack_is_not():
    straight = slice_shifts(stack((5, 5), (7, 6), (9, 7), (11, 8)), SPACING)
    assert straight == pytest.approx([np.nan, 0, 0, np.nan], nan_ok=True)
    moved = slice_shifts(stack((5, 5), (9, 5), (5, 5), (5, 5)), SPACING)
    assert moved == pytest.approx([np.nan, 6, 3, np.nan], nan_ok=True)


def test_end_of_the_structure_has_no_shift():
    mask = stack((5, 5), (5, 5), (5, 5), (5, 5))
    mask[3] = False
    assert np.isnan(slice_shifts(mask, SPACING)[[2, 3]]).all()
