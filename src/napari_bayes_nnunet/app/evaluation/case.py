"""Measures of one segmented 3D image against its reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core import InputError
from ...core.ensemble.maps import ENTROPY, MAPS, UncertaintyMap
from ...core.heart.measurements import volumes_ml
from ...core.metrics.border import far_from_contours
from ...core.metrics.calibration import (
    ReliabilityBins,
    adaptive_ece,
    classwise_ece,
    reliability_bins,
)
from ...core.metrics.conformal import Coverage
from ...core.metrics.detection import ErrorDetection, error_detection, gross_errors
from ...core.metrics.overlap import dice
from ...core.metrics.proper_scores import brier_score, negative_log_likelihood
from ...core.metrics.surface_distance import surface_distances
from ...core.types import LabelMap

Probabilities = NDArray[np.floating]
MapValues = NDArray[np.floating]

GROSS: Final = ", gross"
"""End of the name of a detection of gross errors only."""


@dataclass(frozen=True, kw_only=True)
class StructureResult:
    """Measures of one structure; NaN for a number that is not defined.

    ``dice`` 0 … 1 (NaN if both are empty), distances of the contours in mm (NaN if one is empty),
    volumes in mL, ``volume_error_ml`` above 0 if the prediction is larger, ``pairwise_dice`` 0 … 1
    between the members of the ensemble, and the ``expected_dice`` of a calibrated ensemble.
    """

    dice: float
    hausdorff95_mm: float
    average_distance_mm: float
    volume_ml: float
    reference_ml: float
    volume_error_ml: float
    pairwise_dice: float
    expected_dice: float = math.nan


@dataclass(frozen=True, kw_only=True)
class IntervalResult:
    """Prediction intervals of a measurement, and its value in the ``reference``, in its unit.

    A level without an interval has NaN as its ends.
    """

    reference: float
    low_80: float = math.nan
    high_80: float = math.nan
    low_90: float = math.nan
    high_90: float = math.nan

    def ends(self, level: Coverage) -> tuple[float, float]:
        """Return the lowest and highest plausible value at a level."""
        return (self.low_80, self.high_80) if level == 80 else (self.low_90, self.high_90)

    def covers(self, level: Coverage) -> float:
        """Return 1 if the interval contains the reference, else 0; NaN if either is unknown."""
        low, high = self.ends(level)
        known = math.isfinite(low + high + self.reference)
        return float(low <= self.reference <= high) if known else math.nan

    def width(self, level: Coverage) -> float:
        """Return the width of the interval."""
        low, high = self.ends(level)
        return high - low


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseEvaluation:
    """All measures of one image; NaN for a number that is not defined.

    In the foreground box of the reference: ``reliability`` (None without probabilities),
    calibration errors and ``brier`` as fractions, ``nll`` in nat. Of all voxels: ``detection`` of
    wrong voxels by the name of a map ("mutual-information") and of gross errors
    ("mutual-information, gross"). Without the reference: ``means`` of all voxels by map, and the
    ``distant_entropy``, bit; the ``failure_score`` of a calibrated ensemble, higher for a worse
    expected result. ``intervals`` has those of measurements by name.
    """

    case: str
    patient: str
    groups: dict[str, str] = field(default_factory=dict)
    structures: dict[str, StructureResult]
    reliability: ReliabilityBins | None = None
    classwise_ece: float = math.nan
    adaptive_ece: float = math.nan
    nll: float = math.nan
    brier: float = math.nan
    detection: dict[str, ErrorDetection] = field(default_factory=dict)
    means: dict[str, float] = field(default_factory=dict)
    distant_entropy: float = math.nan
    failure_score: float = math.nan
    intervals: dict[str, IntervalResult] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the structures that have one, 0 … 1."""
        return _mean(result.dice for result in self.structures.values())

    def mean_of(self, entry: UncertaintyMap) -> float:
        """Return the mean of a map over all voxels, NaN without the map."""
        return self.means.get(entry.name, math.nan)

    @property
    def mean_pairwise_dice(self) -> float:
        """Mean agreement of the members over the structures, 0 … 1; needs no reference."""
        return _mean(result.pairwise_dice for result in self.structures.values())

    @property
    def mean_expected_dice(self) -> float:
        """Mean expected Dice of the structures, 0 … 1; needs no reference."""
        return _mean(result.expected_dice for result in self.structures.values())

    @property
    def ece(self) -> float:
        """Expected calibration error of this image, 0 … 1; NaN without probabilities."""
        return self.reliability.ece if self.reliability else math.nan


CALIBRATION_NUMBERS: Final = ("classwise_ece", "adaptive_ece", "nll", "brier")
FAILURE_NUMBERS: Final = ("distant_entropy", "failure_score")
"""Numbers of a whole case, by the names of its fields."""


def evaluate_case(
    *,
    case: str,
    patient: str,
    labels: LabelMap,
    reference: LabelMap,
    spacing: Sequence[float],
    structures: Mapping[str, int],
    probabilities: Probabilities | None = None,
    maps: Mapping[str, MapValues] | None = None,
    pairwise_dice: Mapping[str, float] | None = None,
    expected_dice: Mapping[str, float] | None = None,
    failure_score: float = math.nan,
    volume_intervals: Mapping[str, Mapping[str, float]] | None = None,
    groups: Mapping[str, str] | None = None,
    detects_errors: bool = True,
) -> CaseEvaluation:
    """Measure a prediction against its reference.

    ``labels`` and ``reference`` (Z, Y, X), both numbered as ``structures`` (name: label from 1);
    ``spacing`` (z, y, x) in mm; ``probabilities`` (C, Z, Y, X), class = label; ``maps``: name →
    (Z, Y, X) values; ``pairwise_dice`` of the members and
    ``expected_dice``, per structure; ``volume_intervals``: structure → the ends ``low_80`` … of its
    intervals in mL. Measures that need a missing argument are NaN or empty, and so is
    ``detection`` without ``detects_errors``, which takes a third of the time.

    ``structures`` are those in the reference. Every other label or class counts as background:
    its voxels become 0 and its probability is added to that of the background. The maps are not
    changed, so uncertainty about such a structure still counts. A disagreement of 0 everywhere, as
    from a single model, counts as missing.

    Raises InputError if the shapes do not match.
    """
    maps = {
        name: values
        for name, entry in MAPS.items()
        if (values := (maps or {}).get(name)) is not None
        and not (entry.needs_members and not values.any())
    }
    _check_shapes(reference, {"labels": labels, **maps})
    predicted, truth = _numbered(labels, structures), _numbered(reference, structures)
    scores = {"pairwise_dice": pairwise_dice or {}, "expected_dice": expected_dice or {}}
    results = _structure_results(predicted, truth, spacing, structures, scores)
    measured: dict[str, Any] = _case_uncertainty(maps, labels, spacing)
    if probabilities is not None:
        measured |= _calibration(_merged(probabilities, structures, reference.shape), truth)
    return CaseEvaluation(
        case=case,
        patient=patient,
        groups=dict(groups or {}),
        structures=results,
        detection=_detection(maps, predicted, truth, spacing) if detects_errors else {},
        failure_score=failure_score,
        intervals={
            f"{name} volume": IntervalResult(reference=results[name].reference_ml, **ends)
            for name, ends in (volume_intervals or {}).items()
            if name in results
        },
        **measured,
    )


def _check_shapes(reference: LabelMap, others: Mapping[str, NDArray[Any]]) -> None:
    for name, values in others.items():
        if values.shape != reference.shape:
            raise InputError(
                "Expected {name} of shape {expected} (z, y, x) like the reference, found {found}.",
                name=name,
                expected=reference.shape,
                found=values.shape,
            )


def _numbered(labels: LabelMap, structures: Mapping[str, int]) -> NDArray[np.uint8]:
    """Return the structures numbered 1, 2 … in their order, 0 for the rest."""
    numbered = np.zeros(labels.shape, np.uint8)
    for number, label in enumerate(structures.values(), start=1):
        numbered[labels == label] = number
    return numbered


def _merged(
    probabilities: Probabilities, structures: Mapping[str, int], shape: tuple[int, ...]
) -> Probabilities:
    """Return (1 + structures, Z, Y, X) probabilities in their order; the rest is background."""
    kept = list(structures.values())
    if probabilities.shape[1:] != shape or len(probabilities) <= max(kept, default=0):
        raise InputError(
            "Expected probabilities with a class for each of {structures} and the shape {expected} "
            "(z, y, x) of the reference, found {found} (c, z, y, x).",
            structures=", ".join(structures),
            expected=shape,
            found=probabilities.shape,
        )
    if kept == list(range(1, len(probabilities))):
        return probabilities
    rest = np.delete(probabilities, kept, axis=0).sum(axis=0, keepdims=True)
    return np.concatenate([rest, probabilities[kept]])


def _structure_results(
    labels: LabelMap,
    reference: LabelMap,
    spacing: Sequence[float],
    structures: Mapping[str, int],
    scores: Mapping[str, Mapping[str, float]],
) -> dict[str, StructureResult]:
    numbers = {name: number for number, name in enumerate(structures, start=1)}
    overlap = dice(labels, reference, numbers)
    distances = surface_distances(labels, reference, spacing, numbers)
    volumes = volumes_ml(labels, spacing, numbers)
    true_volumes = volumes_ml(reference, spacing, numbers)
    return {
        name: StructureResult(
            dice=overlap[name],
            hausdorff95_mm=distances[name].hausdorff95,
            average_distance_mm=distances[name].average,
            volume_ml=volumes[name],
            reference_ml=true_volumes[name],
            volume_error_ml=volumes[name] - true_volumes[name],
            **{score: float(values.get(name, math.nan)) for score, values in scores.items()},
        )
        for name in structures
    }


def _calibration(probabilities: Probabilities, reference: LabelMap) -> dict[str, Any]:
    return {
        "reliability": reliability_bins(probabilities, reference),
        "classwise_ece": classwise_ece(probabilities, reference),
        "adaptive_ece": adaptive_ece(probabilities, reference),
        "nll": negative_log_likelihood(probabilities, reference),
        "brier": brier_score(probabilities, reference),
    }


def _detection(
    maps: Mapping[str, MapValues],
    labels: LabelMap,
    reference: LabelMap,
    spacing: Sequence[float],
) -> dict[str, ErrorDetection]:
    """Return how well each map detects wrong voxels among all voxels.

    {} if the reference is empty.
    """
    if not reference.any():
        return {}
    wrong = {"": labels != reference, GROSS: gross_errors(labels, reference, spacing)}
    return {
        name + kind: error_detection(values, errors)
        for kind, errors in wrong.items()
        for name, values in maps.items()
    }


def _case_uncertainty(
    maps: Mapping[str, MapValues], labels: LabelMap, spacing: Sequence[float]
) -> dict[str, Any]:
    """Return the means of the maps over all voxels, and the distant entropy if there is a map.

    ``distant_entropy`` counts only the entropy more than 3 mm from every predicted contour. A box
    around the prediction would shrink with a failure, and the means in it would fall.
    """
    means = {name: float(values.mean(dtype=np.float64)) for name, values in maps.items()}
    measured: dict[str, Any] = {"means": means}
    if (entropy := maps.get(ENTROPY.name)) is not None:
        distant = entropy[far_from_contours(labels, spacing)].sum(dtype=np.float64)
        measured["distant_entropy"] = float(distant) / entropy.size
    return measured


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan
