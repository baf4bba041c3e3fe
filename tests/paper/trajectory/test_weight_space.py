"""Distances in the space of weights, computed by hand and by other libraries."""

import math

import numpy as np
import pytest

from napari_bayes_nnunet.paper.trajectory.weight_space import (
    compare_modes,
    pairwise_distances,
    step_lengths,
)

LINE = np.array([[0.0], [1.0], [3.0], [10.0], [12.0]])
"""Five epochs on a line, the first three in cycle 0, the others in cycle 1."""
EPOCHS = np.array([2, 3, 5, 8, 9])
CYCLES = np.array([0, 0, 0, 1, 1])


@pytest.fixture
def distances():
    return pairwise_distances(LINE)


def test_distances_by_hand():
    found = pairwise_distances(np.array([[0, 0, 1], [3, 4, 1], [0, 0, 1]], np.float32))
    assert found == pytest.approx(np.array([[0, 5, 0], [5, 0, 5], [0, 5, 0]]))
    assert found.dtype == np.float64


def test_a_step_needs_the_epoch_before(distances):
    assert step_lengths(distances, EPOCHS) == pytest.approx(
        [math.nan, 1, math.nan, math.nan, 2], nan_ok=1
    )
    assert step_lengths(np.zeros((0, 0)), np.zeros(0, np.int64)).shape == (0,)


def test_modes_by_hand(distances):
    found = compare_modes(distances, CYCLES)
    assert found.within == pytest.approx((1 + 3 + 2 + 2) / 4)
    assert found.between == pytest.approx((10 + 12 + 9 + 11 + 7 + 9) / 6)
    assert found.ratio == pytest.approx(58 / 6 / 2)
    # (b - a) / max(a, b) of each: a the mean distance to its own, b to the others.
    own, others = np.array([2, 1.5, 2.5, 2, 2]), np.array([11, 10, 8, 26 / 3, 32 / 3])
    assert found.silhouette == pytest.approx(np.mean(1 - own / others))
