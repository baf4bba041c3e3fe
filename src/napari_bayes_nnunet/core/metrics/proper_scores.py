"""Proper scores of probabilities, which are best for the true probabilities only."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .calibration import crop_to_foreground

SMALLEST: Final = float(np.finfo(np.float32).tiny)
"""Smallest normal float32, to which probabilities are clipped: a zero costs 87.3 nat."""


def negative_log_likelihood(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer]
) -> float:
    """Return the mean of -ln p of the reference's class, nat per voxel of its `foreground_box`.

    ``probabilities`` (C, Z, Y, X), ``reference`` (Z, Y, X) with numbers of classes as labels. NaN
    for an empty reference.

    Raises InputError if the shapes do not match, or the probabilities are not floating-point
    numbers.
    """
    inside = crop_to_foreground(probabilities, reference)
    if inside is None:
        return math.nan
    likelihood = _of_reference(*inside).astype(np.float64)
    return -float(np.log(likelihood.clip(SMALLEST)).mean())


def brier_score(probabilities: NDArray[np.floating], reference: NDArray[np.integer]) -> float:
    """Return the mean of Σ_k (p_k - y_k)² in the `foreground_box`, y the one-hot reference, 0 … 2.

    Arguments, errors and NaN as in `negative_log_likelihood`.
    """
    inside = crop_to_foreground(probabilities, reference)
    if inside is None:
        return math.nan
    # Σ (p - y)² = Σ p² - 2 p_y + 1 saves the array of one-hot labels.
    likelihood = _of_reference(*inside)
    squares = np.square(inside[0], dtype=np.float64).sum(axis=0)
    return float((squares - 2 * likelihood.astype(np.float64)).mean()) + 1


def _of_reference(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer]
) -> NDArray[np.floating]:
    """Return the (Z, Y, X) probability of the reference's class."""
    chosen = np.take_along_axis(probabilities, reference[None].astype(np.intp), axis=0)
    return np.asarray(chosen[0])
