"""Calibration: agreement of confidence with accuracy; scores that only true probabilities win.

Section 3.1 of Zhao et al., MICCAI 2022, "Evaluation Metrics".
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
import scipy
from numpy.typing import NDArray

from .. import InputError
from ..ensemble.posterior import most_probable


@dataclass(frozen=True, kw_only=True, eq=False)
class ReliabilityBins:
    """Voxels sorted into S half-open bins ((s-1)/S, s/S] of their confidence.

    The upper edges of bins with equal voxel counts are quantiles instead, see `adaptive_ece`. Per
    bin, (S,): ``voxels`` and ``correct``, the number of voxels and of correct voxels (int64), and
    ``confidence_sum`` (float64). The bins of several volumes can be added: ``ece_pooled`` is the
    `ece` of a sum, ``ece_volume_mean`` the mean of the volumes' values.
    """

    voxels: NDArray[np.int64]
    correct: NDArray[np.int64]
    confidence_sum: NDArray[np.float64]

    @classmethod
    def empty(cls, bins: int = 100) -> ReliabilityBins:
        """Return bins without voxels, as the start of a sum."""
        none = np.zeros(bins, np.int64)
        return cls(voxels=none, correct=none, confidence_sum=np.zeros(bins))

    def __add__(self, other: ReliabilityBins) -> ReliabilityBins:
        """Return the bins of the voxels of both, equally many."""
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
        """Calibration error Σ_s |B_s|/N |conf(B_s) - acc(B_s)|, 0 … 1; NaN without voxels."""
        if self.voxel_count == 0:
            return math.nan
        return float(np.abs(self.confidence_sum - self.correct).sum() / self.voxel_count)


def expected_calibration_error(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> float:
    """Return the ECE of one volume, a fraction 0 … 1.

    Parameters
    ----------
    probabilities : NDArray, (C, Z, Y, X), floating-point
        Probabilities of each class.
    reference : NDArray, (Z, Y, X), integer
        Labels, which are numbers of classes. Only their `foreground_box` counts.
    bins : int
        Number of bins of equal width.

    Returns
    -------
    float
        The ECE, NaN for an empty reference.

    Raises
    ------
    InputError
        If the shapes do not match, the probabilities are not floating-point numbers, or there is
        less than one bin.

    Examples
    --------
    >>> import numpy as np
    >>> foreground = np.array([0.8, 0.8, 0.8, 0.8]).reshape(1, 1, 4)
    >>> probabilities = np.stack([1 - foreground, foreground])
    >>> round(expected_calibration_error(probabilities, np.array([[[1, 1, 0, 1]]])), 2)
    0.05
    """
    return reliability_bins(probabilities, reference, bins=bins).ece


def classwise_ece(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> float:
    """Return the mean ECE of the C classes, a fraction 0 … 1; NaN for an empty reference.

    The ECE of a class compares its probability, top label or not, with its share of the voxels, in
    the bins and the box of `reliability_bins`. Background is a class, and so is a class that the
    reference lacks. Arguments and errors as in `reliability_bins`.
    """
    edges = _equal_edges(bins, probabilities)
    inside = crop_to_foreground(probabilities, reference)
    if inside is None:
        return math.nan
    return float(np.mean([_sort_in(edges, p, inside[1] == k).ece for k, p in enumerate(inside[0])]))


def adaptive_ece(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> float:
    """Return the ECE of bins with equal voxel counts, 0 … 1; NaN for an empty reference.

    Bin s of S ends at the ceil(s·N/S)-th lowest of N confidences and includes it. Equal confidences
    stay together in the lowest of their bins: if many are 1, that bin is larger and those above it
    are empty. Arguments and errors as in `reliability_bins`.
    """
    _check_bins(bins)
    inside = crop_to_foreground(probabilities, reference)
    if inside is None:
        return math.nan
    confidence, correct = _top_label(*inside)
    # Rounded up in whole numbers, which are exact.
    ranks = -(-np.arange(1, bins + 1) * confidence.size // bins)
    return _sort_in(np.sort(confidence, axis=None)[ranks - 1], confidence, correct).ece


def reliability_bins(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> ReliabilityBins:
    """Return the bins of the top label's confidence inside the reference's `foreground_box`.

    ``probabilities`` (C, Z, Y, X), ``reference`` (Z, Y, X) with numbers of classes as labels. An
    empty reference has no box and gives empty bins, to be skipped and counted.

    Raises InputError if the shapes do not match, the probabilities are not floating-point numbers,
    or there is less than one bin.
    """
    edges = _equal_edges(bins, probabilities)
    inside = crop_to_foreground(probabilities, reference)
    if inside is None:
        return ReliabilityBins.empty(bins)
    return _sort_in(edges, *_top_label(*inside))


def crop_to_foreground(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.integer]] | None:
    """Return (C, z, y, x) probabilities and (z, y, x) reference in its `foreground_box`.

    None for an empty reference. Raises InputError if the shapes do not match or the probabilities
    are not floating-point numbers.
    """
    probabilities, reference = np.asarray(probabilities), np.asarray(reference)
    if probabilities.shape[1:] != reference.shape:
        raise InputError(
            "Probabilities (C, Z, Y, X) of shape {found} do not match a reference (Z, Y, X) of "
            "shape {expected}.",
            found=probabilities.shape,
            expected=reference.shape,
        )
    if not np.issubdtype(probabilities.dtype, np.floating):
        raise InputError(
            "Expected floating-point probabilities, found {dtype}.", dtype=probabilities.dtype
        )
    box = foreground_box(reference)
    return None if box is None else (probabilities[(slice(None), *box)], reference[box])


def foreground_box(reference: NDArray[np.integer]) -> tuple[slice, ...] | None:
    """Return the smallest box around all labels above 0 of a (Z, Y, X) map; None if empty."""
    # `find_objects` does not take booleans, and a view copies nothing.
    boxes = scipy.ndimage.find_objects((reference > 0).view(np.uint8))
    return boxes[0] if boxes else None


def _top_label(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """Return the (Z, Y, X) confidence of the top label, and the mask of where it is right."""
    return probabilities.max(axis=0), most_probable(probabilities) == reference


def _equal_edges(bins: int, like: NDArray[np.floating]) -> NDArray[np.floating]:
    """Return the upper edges of bins of equal width.

    They are rounded like the confidences. Comparing float32 with float64 edges would put a
    confidence of exactly s % into the wrong bin for about half of all s.
    """
    _check_bins(bins)
    return (np.arange(1, bins + 1) / bins).astype(np.asarray(like).dtype)


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise InputError("Expected at least one bin, found {bins}.", bins=bins)


def _sort_in(
    edges: NDArray[np.floating], confidence: NDArray[np.floating], correct: NDArray[np.bool_]
) -> ReliabilityBins:
    """Return bins (previous edge, edge] of voxels; the first has no lower edge."""
    confidence, correct = confidence.ravel(), correct.ravel()
    bins = len(edges)
    # A confidence may be slightly above 1 by rounding.
    index = np.searchsorted(edges, confidence, side="left").clip(max=bins - 1)
    return ReliabilityBins(
        voxels=np.bincount(index, minlength=bins),
        correct=np.bincount(index[correct], minlength=bins),
        confidence_sum=np.bincount(index, confidence, bins).astype(np.float64, copy=False),
    )


RANGE = (0.1, 10.0)
"""Range of the temperature in which it is searched."""


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """Return the temperature τ in `RANGE` with the lowest NLL of ``labels`` (N,).

    ``probabilities`` are (C, N), of N voxels, at least one.
    """
    from scipy.optimize import minimize_scalar  # not needed to read temperatures

    logs = np.log(probabilities.clip(np.finfo(np.float32).tiny)).astype(np.float32, copy=False)
    # Of the logarithm, because half and twice a temperature are equally far from it.
    best = minimize_scalar(
        lambda log_temperature: _softened_nll(logs, labels, np.exp(log_temperature)),
        bounds=np.log(RANGE),
        method="bounded",
        options={"xatol": 1e-4},
    )
    return float(np.exp(best.x))


def _softened_nll(
    logs: NDArray[np.float32], labels: NDArray[np.integer], temperature: float
) -> float:
    softened = logs / np.float32(temperature)
    # The exponential of a large logit would overflow.
    softened -= softened.max(axis=0)
    at_label = np.take_along_axis(softened, labels[None], axis=0)[0]
    return float((np.log(np.exp(softened).sum(axis=0)) - at_label).mean(dtype=np.float64))


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
