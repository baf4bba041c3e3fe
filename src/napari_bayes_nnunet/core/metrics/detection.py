"""Does uncertainty find the wrong voxels? And which of them are more than a border's blur."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from .border import GROSS_MM, Mask, far_from_contours
from .overlap import LabelMap


@dataclass(frozen=True, kw_only=True)
class ErrorDetection:
    """How well a map of uncertainty tells ``errors`` wrong voxels from the rest of ``voxels``.

    ``auroc`` area under the receiver operating characteristic, 0.5 for chance; ``auprc`` average
    precision, ``errors / voxels`` for chance. Both NaN where nothing or everything is wrong.
    """

    auroc: float
    auprc: float
    errors: int
    voxels: int


def error_detection(uncertainty: NDArray[np.floating], wrong: Mask) -> ErrorDetection:
    """Judge uncertainty, the higher the more likely wrong, by what is ``wrong``: one shape, any.

    Equal uncertainties count as one threshold. Raises ValueError if the shapes differ.
    """
    uncertainty, wrong = np.asarray(uncertainty), np.asarray(wrong, bool)
    if uncertainty.shape != wrong.shape:
        raise ValueError(
            f"Uncertainty and errors need one shape, not {uncertainty.shape} and {wrong.shape}."
        )
    errors, voxels = int(np.count_nonzero(wrong)), wrong.size
    if errors in (0, voxels):
        return ErrorDetection(auroc=math.nan, auprc=math.nan, errors=errors, voxels=voxels)
    from sklearn.metrics import average_precision_score, roc_auc_score

    truth, score = wrong.ravel(), uncertainty.ravel()
    return ErrorDetection(
        auroc=float(roc_auc_score(truth, score)),
        auprc=float(average_precision_score(truth, score)),
        errors=errors,
        voxels=voxels,
    )


def gross_errors(prediction: LabelMap, reference: LabelMap, spacing: Sequence[float]) -> Mask:
    """(Z, Y, X) voxels that are wrong and more than 3 mm from every reference contour.

    ``prediction`` and ``reference`` (Z, Y, X) labels, ``spacing`` (z, y, x) in mm. Distances are
    those of `far_from_contours`: in a slice where the reference has one label alone there is no
    contour, and every wrong voxel is far from it.

    Raises ValueError if the shapes differ.
    """
    prediction, reference = np.asarray(prediction), np.asarray(reference)
    if prediction.shape != reference.shape:
        raise ValueError(
            f"The labels need the shape of their reference, {reference.shape} (z, y, x), "
            f"not {prediction.shape}."
        )
    far = far_from_contours(reference, spacing, farther_than=GROSS_MM)
    return np.asarray(far & (prediction != reference), bool)
