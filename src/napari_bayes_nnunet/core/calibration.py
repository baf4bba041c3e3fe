"""Calibration: does a confidence of 80 % mean that 80 % of such voxels are right?

Section 3.1 of Zhao et al., MICCAI 2022, "Evaluation Metrics".
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_bayes_nnunet.core.posterior import most_probable


@dataclass(frozen=True, kw_only=True, eq=False)
class ReliabilityBins:
    """Voxels sorted into S equal, half-open bins ((s-1)/S, s/S] of their confidence.

    Per bin, (S,): ``voxels`` and ``correct`` (how many of them, int64), ``confidence_sum``
    (float64). The bins of several volumes add up with ``+`` to those of all their voxels, so
    ``ece_pooled`` is the `ece` of a sum, ``ece_volume_mean`` the mean of each volume's.
    """

    voxels: NDArray[np.int64]
    correct: NDArray[np.int64]
    confidence_sum: NDArray[np.float64]

    @classmethod
    def empty(cls, bins: int = 100) -> ReliabilityBins:
        """Bins without voxels, from which a sum starts. ValueError for less than one bin."""
        if bins < 1:
            raise ValueError(f"Calibration needs at least one bin, not {bins}.")
        none = np.zeros(bins, np.int64)
        return cls(voxels=none, correct=none, confidence_sum=np.zeros(bins))

    def __add__(self, other: ReliabilityBins) -> ReliabilityBins:
        """Bins of the voxels of both. ValueError if these differ in number."""
        if len(self.voxels) != len(other.voxels):
            raise ValueError(
                f"Only equal bins add up, not {len(self.voxels)} and {len(other.voxels)}."
            )
        return ReliabilityBins(
            voxels=self.voxels + other.voxels,
            correct=self.correct + other.correct,
            confidence_sum=self.confidence_sum + other.confidence_sum,
        )

    @property
    def voxel_count(self) -> int:
        """Number of voxels in all bins; 0 for a volume that was skipped."""
        return int(self.voxels.sum())

    @property
    def ece(self) -> float:
        """Σ_s |B_s|/N |conf(B_s) - acc(B_s)|, a fraction 0 … 1; NaN without voxels."""
        if self.voxel_count == 0:
            return math.nan
        return float(np.abs(self.confidence_sum - self.correct).sum() / self.voxel_count)


def expected_calibration_error(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> float:
    """ECE of one volume, a fraction 0 … 1; NaN for an empty reference. See `reliability_bins`."""
    return reliability_bins(probabilities, reference, bins=bins).ece


def reliability_bins(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> ReliabilityBins:
    """Bins of the top label's confidence inside the reference's `foreground_box`.

    ``probabilities`` (C, Z, Y, X), ``reference`` (Z, Y, X) with the classes' numbers as labels.
    An empty reference has no box and gives empty bins, to be skipped and counted.

    Raises ValueError where the shapes do not fit, for probabilities that are no floating-point
    numbers, and for less than one bin.
    """
    probabilities, reference = np.asarray(probabilities), np.asarray(reference)
    if probabilities.shape[1:] != reference.shape:
        raise ValueError(
            f"Probabilities (C, Z, Y, X) of shape {probabilities.shape} do not fit "
            f"a reference (Z, Y, X) of shape {reference.shape}."
        )
    if not np.issubdtype(probabilities.dtype, np.floating):
        raise ValueError(f"Probabilities must be floating-point, not {probabilities.dtype}.")
    box = foreground_box(reference)
    if box is None:
        return ReliabilityBins.empty(bins)
    inside = probabilities[(slice(None), *box)]
    return _bins_of_voxels(inside.max(axis=0), most_probable(inside) == reference[box], bins)


def foreground_box(reference: NDArray[np.integer]) -> tuple[slice, ...] | None:
    """Smallest box of a (Z, Y, X) label map with all labels above 0; None where there is none."""
    boxes = ndimage.find_objects((reference > 0).view(np.uint8))
    return boxes[0] if boxes else None


def _bins_of_voxels(
    confidence: NDArray[np.floating], correct: NDArray[np.bool_], bins: int
) -> ReliabilityBins:
    if bins < 1:
        raise ValueError(f"Calibration needs at least one bin, not {bins}.")
    confidence, correct = confidence.ravel(), correct.ravel()
    # The edges are rounded as the confidences were: comparing float32 with float64 edges puts a
    # confidence of exactly s % into the wrong bin for about half of all s.
    edges = (np.arange(bins + 1) / bins).astype(confidence.dtype)
    index = np.searchsorted(edges, confidence, side="left").clip(1, bins) - 1
    return ReliabilityBins(
        voxels=np.bincount(index, minlength=bins),
        correct=np.bincount(index[correct], minlength=bins),
        confidence_sum=np.bincount(index, confidence, bins).astype(np.float64, copy=False),
    )
