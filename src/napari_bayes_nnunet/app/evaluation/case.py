"""Measures of one segmented 3D image against its reference."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, field
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray

from ...core import InputError
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
from ...io.files.atomic import null_for_nan

Probabilities = NDArray[np.floating]
UncertaintyMap = NDArray[np.floating]

ENTROPY_DETECTION: Final = "entropy"
MUTUAL_INFORMATION_DETECTION: Final = "mutual-information"
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
    wrong voxels by a map ("entropy", "mutual-information") and of gross errors ("entropy, gross"
    …). Without the reference: ``mean_entropy``, ``mean_mutual_information`` and
    ``distant_entropy`` of all voxels, bit, and the ``failure_score`` of a calibrated
    ensemble, higher for a worse expected result. ``intervals`` has those of measurements by name.
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
    mean_entropy: float = math.nan
    mean_mutual_information: float = math.nan
    distant_entropy: float = math.nan
    failure_score: float = math.nan
    intervals: dict[str, IntervalResult] = field(default_factory=dict)

    @property
    def mean_dice(self) -> float:
        """Mean Dice of the structures that have one, 0 … 1."""
        return _mean(result.dice for result in self.structures.values())

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

    def to_json(self) -> dict[str, Any]:
        """Return all fields as plain JSON; NaN becomes null."""
        content = {name: getattr(self, name) for name in self.__dataclass_fields__}
        content["structures"] = {name: asdict(r) for name, r in self.structures.items()}
        content["detection"] = {name: asdict(d) for name, d in self.detection.items()}
        content["reliability"] = self.reliability.as_dict() if self.reliability else None
        content["intervals"] = {name: asdict(i) for name, i in self.intervals.items()}
        return dict(null_for_nan(content))

    @classmethod
    def from_json(cls, content: Mapping[str, Any]) -> CaseEvaluation:
        """Return the evaluation of `to_json`. Raises KeyError or TypeError for anything else."""
        numbers = {name: _number(content.get(name)) for name in CASE_NUMBERS}
        bins = content["reliability"]
        return cls(
            case=content["case"],
            patient=content["patient"],
            groups=dict(content["groups"]),
            structures={
                name: StructureResult(**{key: _number(value) for key, value in result.items()})
                for name, result in content["structures"].items()
            },
            reliability=ReliabilityBins.from_dict(bins) if bins is not None else None,
            detection={
                name: ErrorDetection(
                    auroc=_number(detection["auroc"]),
                    auprc=_number(detection["auprc"]),
                    errors=detection["errors"],
                    voxels=detection["voxels"],
                )
                for name, detection in content["detection"].items()
            },
            intervals={
                name: IntervalResult(**{key: _number(value) for key, value in interval.items()})
                for name, interval in content.get("intervals", {}).items()
            },
            **numbers,
        )


_MEANS: Final = {
    ENTROPY_DETECTION: "mean_entropy",
    MUTUAL_INFORMATION_DETECTION: "mean_mutual_information",
}
CASE_NUMBERS: Final = (
    *("classwise_ece", "adaptive_ece", "nll", "brier"),
    *("mean_entropy", "mean_mutual_information", "distant_entropy", "failure_score"),
)
"""Numbers of a whole case that are stored, unlike those computed from other fields."""


def evaluate_case(
    *,
    case: str,
    patient: str,
    labels: LabelMap,
    reference: LabelMap,
    spacing: Sequence[float],
    structures: Mapping[str, int],
    probabilities: Probabilities | None = None,
    entropy: UncertaintyMap | None = None,
    mutual_information: UncertaintyMap | None = None,
    pairwise_dice: Mapping[str, float] | None = None,
    expected_dice: Mapping[str, float] | None = None,
    failure_score: float = math.nan,
    volume_intervals: Mapping[str, Mapping[str, float]] | None = None,
    groups: Mapping[str, str] | None = None,
    detects_errors: bool = True,
) -> CaseEvaluation:
    """Measure a prediction against its reference.

    ``labels`` and ``reference`` (Z, Y, X), both numbered as ``structures`` (name: label from 1);
    ``spacing`` (z, y, x) in mm; ``probabilities`` (C, Z, Y, X), class = label; ``entropy`` and
    ``mutual_information`` (Z, Y, X) in bit; ``pairwise_dice`` of the members and
    ``expected_dice``, per structure; ``volume_intervals``: structure → the ends ``low_80`` … of its
    intervals in mL. Measures that need a missing argument are NaN or empty, and so is
    ``detection`` without ``detects_errors``, which takes a third of the time.

    ``structures`` are those in the reference. Every other label or class counts as background:
    its voxels become 0 and its probability is added to that of the background. The maps are not
    changed, so uncertainty about such a structure still counts. A mutual information of 0
    everywhere, as from a single model, counts as missing.

    Raises InputError if the shapes do not match.
    """
    if mutual_information is not None and not mutual_information.any():
        mutual_information = None
    both = {ENTROPY_DETECTION: entropy, MUTUAL_INFORMATION_DETECTION: mutual_information}
    maps = {name: values for name, values in both.items() if values is not None}
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
    maps: Mapping[str, UncertaintyMap],
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
    maps: Mapping[str, UncertaintyMap], labels: LabelMap, spacing: Sequence[float]
) -> dict[str, float]:
    """Return the mean uncertainties of all voxels, bit; those without a map are left out.

    ``distant_entropy`` counts only the entropy more than 3 mm from every predicted contour. A box
    around the prediction would shrink with a failure, and the means in it would fall.
    """
    means = {_MEANS[name]: float(values.mean(dtype=np.float64)) for name, values in maps.items()}
    if (entropy := maps.get(ENTROPY_DETECTION)) is not None:
        distant = entropy[far_from_contours(labels, spacing)].sum(dtype=np.float64)
        means["distant_entropy"] = float(distant) / entropy.size
    return means


def _mean(values: Iterable[float]) -> float:
    known = [value for value in values if not math.isnan(value)]
    return math.fsum(known) / len(known) if known else math.nan


def _number(value: float | None) -> float:
    return math.nan if value is None else float(value)
