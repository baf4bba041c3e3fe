"""Plausibility of shapes, on hearts drawn by hand."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.plausibility import fragment_share, open_wall_share


def ring() -> np.ndarray:
    """Return three slices of a square cavity (3) of 4 x 4 in a wall (2) of one voxel."""
    labels = np.zeros((3, 12, 12), np.uint8)
    labels[:, 3:9, 3:9] = 2
    labels[:, 4:8, 4:8] = 3
    return labels


def test_whole_heart_is_plausible():
    assert fragment_share(ring(), (1, 2, 3)) == 0
    assert open_wall_share(ring(), 3, 2) == 0


def test_separate_piece_counts_with_its_voxels():
    labels = ring()
    labels[0, 0, :2] = 3
    assert fragment_share(labels, (1, 2, 3)) == pytest.approx(2 / (3 * 36 + 2))


def test_missing_slice_separates_a_structure():
    labels = ring()
    labels[1] = 0
    assert fragment_share(labels, (2, 3)) == pytest.approx(1 / 2)


def test_gap_of_the_wall_is_open():
    labels = ring()
    labels[:, 3, 4:8] = 0  # one of four sides
    assert open_wall_share(labels, 3, 2) == pytest.approx(1 / 4)
    labels[labels == 2] = 0
    assert open_wall_share(labels, 3, 2) == 1


def test_nothing_drawn_gives_0():
    empty = np.zeros((3, 5, 5), np.uint8)
    assert (fragment_share(empty, (1, 2)), open_wall_share(empty, 3, 2)) == (0, 0)
