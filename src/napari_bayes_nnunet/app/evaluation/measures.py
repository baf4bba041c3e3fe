"""Figures of merit of a case: two tables of their columns, functions and formats.

A new one is a function and an entry of `OF_STRUCTURE` or `OF_CASE`. The columns of cases.csv, the
measures of summary.json and the tables of the report follow.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any, Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.maps import ENTROPY, MAPS, UncertaintyMap
from ...core.heart.function import Intervals
from ...core.heart.measurements import volumes_ml
from ...core.metrics.border import far_from_contours
from ...core.metrics.calibration import (
    ReliabilityBins,
    adaptive_ece,
    brier_score,
    classwise_ece,
    negative_log_likelihood,
    reliability_bins,
)
from ...core.metrics.conformal import COVERAGES
from ...core.metrics.detection import (
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    error_detection,
    excess_area_under_risk_coverage,
    gross_errors,
    rank_correlation,
    worst_fifth_auroc,
)
from ...core.metrics.overlap import dice
from ...core.metrics.surface_distance import SurfaceDistance, surface_distances
from ...core.types import LabelMap
from .aggregates import (
    Aggregation,
    CaseScore,
    ScoreStatistic,
    mean_over_volumes,
    pooled_ece,
    rank_cases,
    share_of_volumes,
)

Better: TypeAlias = Literal["higher", "lower", "nearer to 0", ""]
Probabilities: TypeAlias = NDArray[np.floating]


@dataclass(frozen=True, kw_only=True, eq=False)
class JudgedCase:
    """What a figure of merit can use of a case.

    ``labels`` and ``reference`` (Z, Y, X) have the numbers of the judged ``structures``, 1, 2 …;
    ``drawn`` (Z, Y, X) are the labels as predicted. ``spacing`` (z, y, x) in mm, ``probabilities``
    (C, Z, Y, X) by number, ``maps``: name → (Z, Y, X). ``pairwise_dice`` of the members and
    ``expected_dice`` by structure, ``failure_score``, ``detects_errors`` as in `evaluate_case`.
    """

    labels: LabelMap
    reference: LabelMap
    drawn: LabelMap
    spacing: Sequence[float]
    structures: Mapping[str, int]
    probabilities: Probabilities | None = None
    maps: Mapping[str, NDArray[np.floating]] = field(default_factory=dict)
    pairwise_dice: Mapping[str, float] = field(default_factory=dict)
    expected_dice: Mapping[str, float] = field(default_factory=dict)
    failure_score: float = math.nan
    detects_errors: bool = True

    @cached_property
    def distances(self) -> dict[str, SurfaceDistance]:
        """Distances of the contours of each structure, mm."""
        return surface_distances(self.labels, self.reference, self.spacing, self.structures)

    def volumes(self, labels: LabelMap) -> dict[str, float]:
        """Return the volume of each structure in the (Z, Y, X) labels, mL."""
        return volumes_ml(labels, self.spacing, self.structures)

    @cached_property
    def volume_errors(self) -> dict[str, float]:
        """Volume error of each structure, mL, above 0 if the prediction is larger."""
        true = self.volumes(self.reference)
        return {name: volume - true[name] for name, volume in self.volumes(self.labels).items()}

    @cached_property
    def reliability(self) -> ReliabilityBins | None:
        """Bins of confidence in the foreground box of the reference; None without probabilities."""
        if self.probabilities is None:
            return None
        return reliability_bins(self.probabilities, self.reference)


@dataclass(frozen=True, kw_only=True)
class Format:
    """Format of a number: value · ``scale`` with ``digits`` decimals, in ``unit``."""

    unit: str = ""
    scale: float = 1.0
    digits: int = 3
    better: Better = "higher"


@dataclass(frozen=True)
class Figure:
    """A figure of merit: its ``column`` in cases.csv, and its function ``of`` a case.

    The function of a figure of `OF_STRUCTURE` returns structure → number, NaN if it is not defined.
    ``table`` of the report has the mean over the volumes, in a block, or a column of a whole case,
    with this ``title``; none if it is "". Some numbers are not ``in_csv``.
    """

    column: str
    of: Callable[[JudgedCase], Any]
    table: str = ""
    title: str = ""
    format: Format = Format()
    in_csv: bool = True


def _of_probabilities(
    number: Callable[[Probabilities, LabelMap], float],
) -> Callable[[JudgedCase], float]:
    """Return the function of a case, NaN without probabilities."""
    return lambda case: (
        math.nan if case.probabilities is None else number(case.probabilities, case.reference)
    )


def _distant_entropy(case: JudgedCase) -> float:
    """Return the sum of the entropy more than 3 mm from every predicted contour, per voxel, bit.

    A box around the prediction would shrink with a failure, and a mean in it would fall.
    """
    if (entropy := case.maps.get(ENTROPY.name)) is None:
        return math.nan
    far = far_from_contours(case.drawn, case.spacing)
    return float(entropy[far].sum(dtype=np.float64)) / entropy.size


def _mean_of_map(name: str) -> Callable[[JudgedCase], float]:
    """Return the mean of a map over all voxels, NaN without the map."""
    return lambda case: (
        float(case.maps[name].mean(dtype=np.float64)) if name in case.maps else math.nan
    )


_DISTANCE: Final = Format(unit="mm", digits=2, better="lower")
_VOLUME: Final = Format(unit="mL", digits=1, better="lower")
_PERCENT: Final = Format(unit="%", scale=100, digits=2, better="lower")
OF_STRUCTURE: Final = (
    Figure("dice", lambda c: dice(c.labels, c.reference, c.structures), "dice"),
    Figure(
        "hausdorff95_mm", lambda c: {name: d.hausdorff95 for name, d in c.distances.items()},
        "contours", "95 % Hausdorff distance", _DISTANCE,
    ),
    Figure(
        "average_distance_mm", lambda c: {name: d.average for name, d in c.distances.items()},
        "contours", "Average distance", _DISTANCE,
    ),
    Figure("volume_ml", lambda c: c.volumes(c.labels)),
    Figure("reference_ml", lambda c: c.volumes(c.reference)),
    Figure(
        "volume_error_ml", lambda c: c.volume_errors, "volumes", "Prediction − reference",
        Format(unit="mL", digits=1, better="nearer to 0"),
    ),
    Figure(
        "absolute_volume_error_ml", lambda c: {n: abs(v) for n, v in c.volume_errors.items()},
        "volumes", "Absolute error", _VOLUME, in_csv=False,
    ),
    Figure("pairwise_dice", lambda c: c.pairwise_dice, "agreement", "", Format(better="")),
    Figure("expected_dice", lambda c: c.expected_dice),
)  # fmt: skip
"""Numbers of each structure; distances and volumes in mm and mL, all others 0 … 1."""
OF_CASE: Final = (
    Figure("ece", lambda c: c.reliability.ece if c.reliability else math.nan),
    Figure(
        "classwise_ece", _of_probabilities(classwise_ece), "calibration", "Class-wise ECE",
        _PERCENT,
    ),
    Figure(
        "adaptive_ece", _of_probabilities(adaptive_ece), "calibration", "Adaptive ECE", _PERCENT
    ),
    Figure(
        "nll", _of_probabilities(negative_log_likelihood), "calibration", "NLL",
        Format(unit="nat", better="lower"),
    ),
    Figure(
        "brier", _of_probabilities(brier_score), "calibration", "Brier", Format(better="lower")
    ),
    *(
        Figure(
            f"mean_{entry.key}", _mean_of_map(entry.name), "maps", f"Mean {entry.short}",
            Format(unit=entry.unit, better=""),
        )
        for entry in MAPS.values()
    ),
    Figure("distant_entropy", _distant_entropy),
    Figure("failure_score", lambda c: c.failure_score),
)  # fmt: skip
"""Numbers of a whole case: calibration errors as fractions, entropy in bit."""
GROSS: Final = ", gross"
"""End of the column of a detection of gross errors only."""
AREAS: Final = ("auroc", "auprc")


def detection_numbers(case: JudgedCase) -> dict[str, float]:
    """Return the column of each area → how well a map detects wrong voxels among all voxels.

    {} if the reference is empty.
    """
    if not case.detects_errors or not case.reference.any():
        return {}
    wrong = {
        "": case.labels != case.reference,
        GROSS: gross_errors(case.labels, case.reference, case.spacing),
    }
    return {
        f"{area} {name}{kind}": value
        for kind, errors in wrong.items()
        for name, values in case.maps.items()
        for area, value in zip(AREAS, error_detection(values, errors), strict=True)
    }


def interval_numbers(name: str, reference: float, intervals: Intervals) -> dict[str, float]:
    """Return coverage (1 or 0) and width of the prediction intervals of a measurement.

    ``reference`` is its true value. A number is NaN if a value that it needs is unknown.
    """
    numbers = {}
    for level in COVERAGES:
        low, high = intervals.get(level, (math.nan, math.nan))
        known = math.isfinite(low + high + reference)
        numbers[f"coverage_{level}_{name}"] = float(low <= reference <= high) if known else math.nan
        numbers[f"width_{level}_{name}"] = high - low
    return numbers


@dataclass(frozen=True, eq=False)
class Measure:
    """A number over the volumes: its ``key`` in summary.json, and its ``title`` in a table."""

    key: str
    title: str
    aggregate: Aggregation
    format: Format = Format()


MEAN_ENTROPY: Final = CaseScore("entropy", "Entropy", "Mean entropy", "mean_entropy")
CASE_SCORES: Final = (
    CaseScore("pairwise_dice", "Agreement", "Agreement of the members", "pairwise_dice", 1),
    CaseScore("expected_dice", "Expected Dice", "Expected Dice", "mean_expected_dice", 1),
    CaseScore("failure_score", "Failure score", "Failure score", "failure_score"),
    MEAN_ENTROPY,
    CaseScore("distant_entropy", "Distant entropy", "Entropy far from contours", "distant_entropy"),
    CaseScore("mutual_information", "MI", "Mean mutual information", "mean_mutual_information"),
)
_UNITS: Final = {"EF": "points", "mass": "g"}
"""Units of the measurements that are not volumes in mL, by the end of their names."""
USUAL_MAPS: Final = [entry for entry in MAPS.values() if entry.in_every_study]
"""Maps with measures in every evaluation; others have them if they were saved."""


_COVERAGE: Final = Format(unit="%", scale=100, digits=0, better="")
_FAILURE_STATISTICS: Final[tuple[tuple[str, str, ScoreStatistic, Better], ...]] = (
    ("aurc", "AURC", area_under_risk_coverage, "lower"),
    ("e_aurc", "e-AURC", excess_area_under_risk_coverage, "lower"),
    ("augrc", "AUGRC", area_under_generalized_risk_coverage, "lower"),
    ("auroc_worst_fifth", "AUROC of the worst fifth", worst_fifth_auroc, "higher"),
    ("spearman", "Spearman", lambda score, risks: rank_correlation(score, -risks), "higher"),
)
ECE: Final = (
    Measure("ece_pooled", "Pooled", pooled_ece, _PERCENT),
    Measure("ece_volume_mean", "Mean of volumes", mean_over_volumes("ece"), _PERCENT),
)


def structure_measures(figure: Figure, structures: Sequence[str]) -> list[Measure]:
    """Return the mean over the volumes of a figure of each structure."""
    column, form = figure.column, figure.format
    return [
        Measure(f"{column}_{name}", name, mean_over_volumes(column, name), form)
        for name in structures
    ]


def dice_measures(structures: Sequence[str]) -> list[Measure]:
    """Return the Dice of each structure, and their mean if there are several."""
    single = structure_measures(OF_STRUCTURE[0], structures)
    mean = Measure("dice_mean", "Mean", mean_over_volumes("dice"))
    return [*single, mean] if len(single) > 1 else single


def case_measures(table: str) -> list[Measure]:
    """Return the means over the volumes of the figures of whole cases in a table."""
    return [
        Measure(figure.column, figure.title, mean_over_volumes(figure.column), figure.format)
        for figure in OF_CASE
        if figure.table == table
    ]


def detection_measures(
    maps: Sequence[UncertaintyMap] = USUAL_MAPS, *, gross: bool
) -> list[Measure]:
    """Return how well each map detects all wrong voxels, or only the gross errors."""
    end, key_end = (GROSS, "_gross") if gross else ("", "")
    return [
        Measure(
            f"{area}_{entry.key}{key_end}",
            f"{area.upper()}, {entry.short}",
            mean_over_volumes(f"{area} {entry.name}{end}"),
        )
        for area in AREAS
        for entry in maps
    ]


def failure_measures() -> dict[str, list[Measure]]:
    """Return title → how well each score of a whole case detects the failed cases."""
    forms = {"lower": Format(better="lower"), "higher": Format(digits=2)}
    return {
        title: [
            Measure(f"{key}_{score.key}", score.title, rank_cases(statistic, score), forms[better])
            for score in CASE_SCORES
        ]
        for key, title, statistic, better in _FAILURE_STATISTICS
    }


def interval_measures(names: Sequence[str]) -> dict[str, list[Measure]]:
    """Return title → coverage, or width, of the intervals of measurements with these names."""
    blocks: dict[str, list[Measure]] = {}
    for level in reversed(COVERAGES):  # the wider ones first
        covered, wide = f"coverage_{level}", f"width_{level}"
        blocks[f"Coverage of the {level} % interval"] = [
            Measure(f"{covered}_{name}", name, share_of_volumes(f"{covered}_{name}"), _COVERAGE)
            for name in names
        ]
        blocks[f"Width of the {level} % interval"] = [
            Measure(f"{wide}_{name}", name, mean_over_volumes(f"{wide}_{name}"), _width(name))
            for name in names
        ]
    return blocks


def _width(name: str) -> Format:
    return Format(unit=_UNITS.get(name.rpartition(" ")[2], "mL"), digits=1, better="lower")
