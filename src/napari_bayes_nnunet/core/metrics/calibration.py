"""Calibration: does a confidence of 80 % mean that 80 % of such voxels are right?

Section 3.1 of Zhao et al., MICCAI 2022, "Evaluation Metrics".
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy import ndimage

from napari_bayes_nnunet.core.ensemble.posterior import most_probable

from .. import InputError

_FIELDS = ("voxels", "correct", "confidence_sum")


@dataclass(frozen=True, kw_only=True, eq=False)
class ReliabilityBins:
    """Voxels sorted into S half-open bins of their confidence, ((s-1)/S, s/S] where equal.

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
        _check_bins(bins)
        none = np.zeros(bins, np.int64)
        return cls(voxels=none, correct=none, confidence_sum=np.zeros(bins))

    def __add__(self, other: ReliabilityBins) -> ReliabilityBins:
        """Bins of the voxels of both. ValueError if these differ in number."""
        if len(self.voxels) != len(other.voxels):
            raise InputError(
                "Only equal bins add up, not {count} and {count_2}.",
                count=len(self.voxels),
                count_2=len(other.voxels),
            )
        return ReliabilityBins(
            voxels=self.voxels + other.voxels,
            correct=self.correct + other.correct,
            confidence_sum=self.confidence_sum + other.confidence_sum,
        )

    def as_dict(self) -> dict[str, list[float]]:
        """The fields as plain lists, for JSON; `from_dict` takes them up again, exactly."""
        return {name: getattr(self, name).tolist() for name in _FIELDS}

    @classmethod
    def from_dict(cls, fields: Mapping[str, Sequence[float]]) -> ReliabilityBins:
        """Bins from `as_dict`. ValueError where a list is missing or another one longer."""
        lengths = {len(fields.get(name, ())) for name in _FIELDS}
        if len(lengths) != 1 or 0 in lengths:
            raise InputError(
                "Reliability bins need the lists {FIELDS}, one number for each bin.",
                FIELDS=", ".join(_FIELDS),
            )
        return cls(
            voxels=np.array(fields["voxels"], np.int64),
            correct=np.array(fields["correct"], np.int64),
            confidence_sum=np.array(fields["confidence_sum"], np.float64),
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


def classwise_ece(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> float:
    """Mean over the C classes of each one's ECE, a fraction 0 … 1; NaN for an empty reference.

    Of one class: its probability, top label or not, against the share of its voxels, in the bins
    and the box of `reliability_bins`, which tells the arguments and the errors. Background is a
    class, and so is one that the reference lacks.
    """
    edges = _equal_edges(bins, probabilities)
    inside = in_foreground(probabilities, reference)
    if inside is None:
        return math.nan
    return float(np.mean([_sort_in(edges, p, inside[1] == k).ece for k, p in enumerate(inside[0])]))


def adaptive_ece(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> float:
    """ECE with as many voxels in each bin, a fraction 0 … 1; NaN for an empty reference.

    Of N voxels in S bins, bin s reaches up to the ceil(s·N/S)-th lowest confidence and holds it.
    Equal confidences stay together, in the lowest of their bins: where many are 1, that bin is
    larger than others and those above are empty. Arguments and errors as in `reliability_bins`.
    """
    _check_bins(bins)
    inside = in_foreground(probabilities, reference)
    if inside is None:
        return math.nan
    confidence, correct = _top_label(*inside)
    ranks = -(-np.arange(1, bins + 1) * confidence.size // bins)
    return _sort_in(np.sort(confidence, axis=None)[ranks - 1], confidence, correct).ece


def reliability_bins(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer], *, bins: int = 100
) -> ReliabilityBins:
    """Bins of the top label's confidence inside the reference's `foreground_box`.

    ``probabilities`` (C, Z, Y, X), ``reference`` (Z, Y, X) with the classes' numbers as labels.
    An empty reference has no box and gives empty bins, to be skipped and counted.

    Raises ValueError where the shapes do not fit, for probabilities that are no floating-point
    numbers, and for less than one bin.
    """
    edges = _equal_edges(bins, probabilities)
    inside = in_foreground(probabilities, reference)
    if inside is None:
        return ReliabilityBins.empty(bins)
    return _sort_in(edges, *_top_label(*inside))


def in_foreground(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.integer]] | None:
    """(C, z, y, x) and (z, y, x): both inside the reference's `foreground_box`; None without one.

    Raises ValueError where the shapes do not fit, and for probabilities that are no floating-point
    numbers.
    """
    probabilities, reference = np.asarray(probabilities), np.asarray(reference)
    if probabilities.shape[1:] != reference.shape:
        raise InputError(
            "Probabilities (C, Z, Y, X) of shape {shape} do not fit a reference (Z, Y, X) of "
            "shape {shape_2}.",
            shape=probabilities.shape,
            shape_2=reference.shape,
        )
    if not np.issubdtype(probabilities.dtype, np.floating):
        raise InputError(
            "Probabilities must be floating-point, not {dtype}.", dtype=probabilities.dtype
        )
    box = foreground_box(reference)
    return None if box is None else (probabilities[(slice(None), *box)], reference[box])


def foreground_box(reference: NDArray[np.integer]) -> tuple[slice, ...] | None:
    """Smallest box of a (Z, Y, X) label map with all labels above 0; None where there is none."""
    boxes = ndimage.find_objects((reference > 0).view(np.uint8))
    return boxes[0] if boxes else None


def _top_label(
    probabilities: NDArray[np.floating], reference: NDArray[np.integer]
) -> tuple[NDArray[np.floating], NDArray[np.bool_]]:
    """(Z, Y, X) confidence of the most probable class, and whether it is the reference's."""
    return probabilities.max(axis=0), most_probable(probabilities) == reference


def _equal_edges(bins: int, like: NDArray[np.floating]) -> NDArray[np.floating]:
    """Upper edges of equal bins.

    They are rounded as the confidences were: comparing float32 with float64 edges puts a confidence
    of exactly s % into the wrong bin for about half of all s.
    """
    _check_bins(bins)
    return (np.arange(1, bins + 1) / bins).astype(np.asarray(like).dtype)


def _check_bins(bins: int) -> None:
    if bins < 1:
        raise InputError("Calibration needs at least one bin, not {bins}.", bins=bins)


def _sort_in(
    edges: NDArray[np.floating], confidence: NDArray[np.floating], correct: NDArray[np.bool_]
) -> ReliabilityBins:
    """Bins (previous edge, edge] of voxels; all below the first edge are in the first."""
    confidence, correct = confidence.ravel(), correct.ravel()
    bins = len(edges)
    index = np.searchsorted(edges, confidence, side="left").clip(max=bins - 1)
    return ReliabilityBins(
        voxels=np.bincount(index, minlength=bins),
        correct=np.bincount(index[correct], minlength=bins),
        confidence_sum=np.bincount(index, confidence, bins).astype(np.float64, copy=False),
    )


RANGE = (0.1, 10.0)
"""Between them the temperature is sought."""


def fit_temperature(probabilities: NDArray[np.floating], labels: NDArray[np.integer]) -> float:
    """The τ in `RANGE` under which ``labels`` (N,) are the most probable: the lowest NLL.

    ``probabilities`` (C, N) of N voxels. Raises ValueError where there are none, or not as many
    labels.
    """
    from scipy.optimize import minimize_scalar  # a window that only reads temperatures needs none

    if labels.size == 0 or probabilities.shape[1:] != labels.shape:
        raise InputError(
            "A temperature is fitted to as many labels (N,) as probabilities (C, N), at least "
            "one, not to {shape} and {shape_2}.",
            shape=labels.shape,
            shape_2=probabilities.shape,
        )
    logs = np.log(probabilities.clip(np.finfo(np.float32).tiny)).astype(np.float32)

    def loss(log_temperature: float) -> float:
        softened = logs / np.float32(np.exp(log_temperature))
        softened -= softened.max(axis=0)
        of_label = np.take_along_axis(softened, labels[None], axis=0)[0]
        return float((np.log(np.exp(softened).sum(axis=0)) - of_label).mean(dtype=np.float64))

    best = minimize_scalar(loss, bounds=np.log(RANGE), method="bounded", options={"xatol": 1e-4})
    return float(np.exp(best.x))
