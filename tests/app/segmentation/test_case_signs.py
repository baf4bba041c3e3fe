"""Signs of a failure in made results."""

from __future__ import annotations

import math

import numpy as np
import pytest

from napari_bayes_nnunet.app.segmentation.image_kind import failure_signs

STRUCTURES = {"RV": 1, "MYO": 2, "scar": 4}


def disagreement(*found: int, agreement: float = 1.0) -> float:
    labels = np.zeros((2, 8, 8), np.uint8)
    for row, label in enumerate(found):
        labels[:, row] = label
    signs = failure_signs(
        labels,
        np.zeros(labels.shape),
        (8.0, 1.5, 1.5),
        STRUCTURES,
        dict.fromkeys(STRUCTURES, agreement),
    )
    return signs["disagreement"]


def test_structure_that_no_member_finds_is_a_sign_of_failure() -> None:
    """Members that find nothing agree, but every heart has RV and myocardium."""
    assert disagreement(1, 2, 4) == 0
    assert disagreement(1, 2) == 0  # not every heart has a scar
    assert disagreement(2) == pytest.approx(1 / 3)
    assert disagreement() == pytest.approx(2 / 3)
    assert math.isnan(disagreement(2, agreement=math.nan))
