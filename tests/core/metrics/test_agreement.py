"""Agreement of two readings, compared with values by hand."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_bayes_nnunet.core.metrics.agreement import bland_altman, contour_distances


def test_single_study_has_no_limits():
    found = bland_altman([-2.5])
    assert found.bias == -2.5
    assert math.isnan(found.low)
    assert math.isnan(found.high)


def test_contours_of_shifted_squares_by_hand():
    first, second = np.zeros((2, 3, 20, 20), np.uint8)
    first[:2, 5:10, 5:10] = 1
    second[0, 5:10, 5:10] = 1
    second[1:, 5:10, 6:11] = 1
    found = contour_distances(first, second, (8.0, 2.0, 1.5), {"LV": 1})["LV"]
    assert found[0] == 0
    # Of 16 contour voxels, 8 of two rows and of 2 columns overlap: 8 lie 1.5 mm apart.
    inner = 3  # voxels of a column between the rows
    apart = 2 * inner + 2  # two columns, and the corners beyond the other square
    assert found[1] == pytest.approx(1.5 * apart / 16)
    assert math.isnan(found[2])
