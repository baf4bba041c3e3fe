"""Proper scores of probabilities: at their best for the true ones only, unlike the ECE."""

from __future__ import annotations

import math
from typing import Final

import numpy as np
from numpy.typing import NDArray

from .. import InputError
from .calibration import in_foreground

SMALLEST: Final = float(np.finfo(np.float32).tiny)
"""Probabilities below it, the smallest normal float32, count as it: a zero costs 87.3 nat."""


def negative_log_likelihood(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer]
) -> float:
    """Mean of -ln p of the reference's class, nat per voxel of its `foreground_box`.

    ``probabilities`` (C, Z, Y, X), ``reference`` (Z, Y, X) with the classes' numbers as labels.
    NaN for an empty reference.

    Raises ValueError where the shapes do not fit, for probabilities that are no floating-point
    numbers, and for labels without a class.
    """
    inside = in_foreground(probabilities, reference)
    if inside is None:
        return math.nan
    likelihood = _of_reference(*inside).astype(np.float64)
    return -float(np.log(likelihood.clip(SMALLEST)).mean())


def brier_score(probabilities: NDArray[np.floating], reference: NDArray[np.integer]) -> float:
    """Σ_k (p_k - y_k)², y the reference one-hot, mean over its `foreground_box`: 0 … 2.

    Arguments, errors and NaN as in `negative_log_likelihood`.
    """
    inside = in_foreground(probabilities, reference)
    if inside is None:
        return math.nan
    # Σ (p - y)² = Σ p² - 2 p_y + 1, without an array of one-hot labels.
    likelihood = _of_reference(*inside)
    squares = np.square(inside[0], dtype=np.float64).sum(axis=0)
    return float((squares - 2 * likelihood.astype(np.float64)).mean()) + 1


def _of_reference(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer]
) -> NDArray[np.floating]:
    """(Z, Y, X) probability of the reference's class."""
    classes = len(probabilities)
    if reference.min() < 0 or reference.max() >= classes:
        raise InputError(
            "Probabilities of {classes} classes judge labels 0 … {classes_2}, not {min} … {max}.",
            classes=classes,
            classes_2=classes - 1,
            min=reference.min(),
            max=reference.max(),
        )
    chosen = np.take_along_axis(probabilities, reference[None].astype(np.intp), axis=0)
    return np.asarray(chosen[0])
