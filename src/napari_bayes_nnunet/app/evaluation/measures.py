"""Measures of an evaluation: key, title, unit, format and aggregation."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import chain
from operator import methodcaller
from typing import Final, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from ...core.ensemble.maps import ENTROPY, MAPS, MUTUAL_INFORMATION, UncertaintyMap
from ...core.metrics.conformal import COVERAGES, Coverage
from ...core.metrics.detection import (
    area_under_generalized_risk_coverage,
    area_under_risk_coverage,
    excess_area_under_risk_coverage,
    rank_correlation,
    worst_fifth_auroc,
)
from .aggregates import (
    Aggregation,
    OfCase,
    ScoreStatistic,
    aggregate_scores,
    mean_over_volumes,
    pooled_ece,
    share_of_volumes,
)
from .case import (
    GROSS,
    CaseEvaluation,
    IntervalResult,
)

Better: TypeAlias = Literal["higher", "lower", "nearer to 0", ""]


@dataclass(frozen=True, kw_only=True, eq=False)
class Measure:
    """A measure, written as value · ``scale`` with ``digits`` decimals, in ``unit``."""

    key: str
    title: str
    aggregate: Aggregation
    unit: str = ""
    scale: float = 1.0
    digits: int = 3
    better: Better = "higher"


@dataclass(frozen=True)
class CaseScore:
    """A number of a case that needs no reference; ``of`` is higher for a better expected result."""

    key: str
    title: str
    description: str
    of: OfCase


CASE_SCORES: Final = (
    CaseScore(
        "pairwise_dice", "Agreement", "Agreement of the members", lambda c: c.mean_pairwise_dice
    ),
    CaseScore("expected_dice", "Expected Dice", "Expected Dice", lambda c: c.mean_expected_dice),
    CaseScore("failure_score", "Failure score", "Failure score", lambda c: -c.failure_score),
    CaseScore("entropy", "Entropy", "Mean entropy", lambda c: -c.mean_of(ENTROPY)),
    CaseScore(
        "distant_entropy", "Distant entropy", "Entropy far from contours",
        lambda c: -c.distant_entropy,
    ),
    CaseScore(
        "mutual_information", "MI", "Mean mutual information",
        lambda c: -c.mean_of(MUTUAL_INFORMATION),
    ),
)  # fmt: skip
_UNITS: Final = {"EF": "points", "mass": "g"}
"""Units of the measurements that are not volumes in mL, by the end of their names."""
USUAL_MAPS: Final = [entry for entry in MAPS.values() if entry.is_streamed]
"""Maps with measures in every evaluation; others have them if they were saved."""


def _rank_with_quality(score: NDArray[np.float64], risks: NDArray[np.float64]) -> float:
    return rank_correlation(score, -risks)


_FAILURE_STATISTICS: Final[tuple[tuple[str, str, ScoreStatistic, Better], ...]] = (
    ("aurc", "AURC", area_under_risk_coverage, "lower"),
    ("e_aurc", "e-AURC", excess_area_under_risk_coverage, "lower"),
    ("augrc", "AUGRC", area_under_generalized_risk_coverage, "lower"),
    ("auroc_worst_fifth", "AUROC of the worst fifth", worst_fifth_auroc, "higher"),
    ("spearman", "Spearman", _rank_with_quality, "higher"),
)


def dice_measures(structures: Sequence[str]) -> list[Measure]:
    """Return the Dice of each structure, and their mean if there are several."""
    single = [_of_structure("dice", name) for name in structures]
    mean = Measure(key="dice_mean", title="Mean", aggregate=mean_over_volumes(_mean_dice))
    return [*single, mean] if len(single) > 1 else single


def distance_measures(structures: Sequence[str], attribute: str) -> list[Measure]:
    """Return ``hausdorff95_mm`` or ``average_distance_mm`` of each structure."""
    return [
        _of_structure(attribute, name, unit="mm", digits=2, better="lower") for name in structures
    ]


def volume_measures(structures: Sequence[str]) -> list[Measure]:
    """Return the signed volume error of each structure, which shows a bias."""
    return [
        _of_structure("volume_error_ml", name, unit="mL", digits=1, better="nearer to 0")
        for name in structures
    ]


def absolute_volume_measures(structures: Sequence[str]) -> list[Measure]:
    """Return the absolute volume error of each structure."""

    def size_of(name: str) -> OfCase:
        return lambda case: abs(_value(case, name, "volume_error_ml"))

    return [
        Measure(
            key=f"absolute_volume_error_ml_{name}",
            title=name,
            aggregate=mean_over_volumes(size_of(name)),
            unit="mL",
            digits=1,
            better="lower",
        )
        for name in structures
    ]


def agreement_measures(structures: Sequence[str]) -> list[Measure]:
    """Return the pairwise Dice of the members for each structure; higher is not always better."""
    return [_of_structure("pairwise_dice", name, better="") for name in structures]


def _percent(key: str, title: str, aggregate: Aggregation) -> Measure:
    return Measure(
        key=key, title=title, aggregate=aggregate, unit="%", scale=100, digits=2, better="lower"
    )


ECE: Final = (
    _percent("ece_pooled", "Pooled", pooled_ece),
    _percent("ece_volume_mean", "Mean of volumes", mean_over_volumes(lambda c: c.ece)),
)
FURTHER_CALIBRATION: Final = (
    _percent("classwise_ece", "Class-wise ECE", mean_over_volumes(lambda c: c.classwise_ece)),
    _percent("adaptive_ece", "Adaptive ECE", mean_over_volumes(lambda c: c.adaptive_ece)),
    Measure(
        key="nll",
        title="NLL",
        aggregate=mean_over_volumes(lambda c: c.nll),
        unit="nat",
        better="lower",
    ),
    Measure(
        key="brier", title="Brier", aggregate=mean_over_volumes(lambda c: c.brier), better="lower"
    ),
)


def uncertainty_measures(maps: Sequence[UncertaintyMap]) -> list[Measure]:
    """Return the mean of each map."""
    return [
        Measure(
            key=f"mean_{entry.key}",
            title=f"Mean {entry.short}",
            aggregate=mean_over_volumes(methodcaller("mean_of", entry)),
            unit=entry.unit,
            better="",
        )
        for entry in maps
    ]


def detection_measures(
    maps: Sequence[UncertaintyMap] = USUAL_MAPS, *, gross: bool
) -> list[Measure]:
    """Return how well each map detects all wrong voxels, or only the gross errors."""
    end, key_end = (GROSS, "_gross") if gross else ("", "")

    def of_map(name: str, attribute: str) -> OfCase:
        def value(case: CaseEvaluation) -> float:
            detection = case.detection.get(name + end)
            return math.nan if detection is None else float(getattr(detection, attribute))

        return value

    return [
        Measure(
            key=f"{attribute}_{entry.key}{key_end}",
            title=f"{attribute.upper()}, {entry.short}",
            aggregate=mean_over_volumes(of_map(entry.name, attribute)),
        )
        for attribute in ("auroc", "auprc")
        for entry in maps
    ]


def failure_measures() -> dict[str, list[Measure]]:
    """Return title → how well each score of a whole case detects the failed cases."""
    return {
        title: [
            Measure(
                key=f"{key}_{score.key}",
                title=score.title,
                aggregate=aggregate_scores(statistic, score.of),
                digits=2 if better == "higher" else 3,
                better=better,
            )
            for score in CASE_SCORES
        ]
        for key, title, statistic, better in _FAILURE_STATISTICS
    }


def interval_measures(names: Sequence[str], level: Coverage) -> dict[str, list[Measure]]:
    """Return title → coverage, or width, of the intervals of measurements with these names."""

    def of_name(name: str, number: Callable[[IntervalResult], float]) -> OfCase:
        def value(case: CaseEvaluation) -> float:
            interval = case.intervals.get(name)
            return math.nan if interval is None else number(interval)

        return value

    return {
        f"Coverage of the {level} % interval": [
            Measure(
                key=f"coverage_{level}_{name}",
                title=name,
                aggregate=share_of_volumes(of_name(name, lambda i: i.covers(level))),
                unit="%",
                scale=100,
                digits=0,
                better="",
            )
            for name in names
        ],
        f"Width of the {level} % interval": [
            Measure(
                key=f"width_{level}_{name}",
                title=name,
                aggregate=mean_over_volumes(of_name(name, lambda i: i.width(level))),
                unit=_UNITS.get(name.rpartition(" ")[2], "mL"),
                digits=1,
                better="lower",
            )
            for name in names
        ],
    }


def all_measures(
    structures: Sequence[str],
    intervals: Sequence[str] = (),
    maps: Sequence[UncertaintyMap] = USUAL_MAPS,
) -> list[Measure]:
    """Return all measures for the given structures, names of ``intervals`` and maps."""
    return [
        *dice_measures(structures),
        *distance_measures(structures, "hausdorff95_mm"),
        *distance_measures(structures, "average_distance_mm"),
        *volume_measures(structures),
        *absolute_volume_measures(structures),
        *agreement_measures(structures),
        *ECE,
        *FURTHER_CALIBRATION,
        *detection_measures(maps, gross=False),
        *detection_measures(maps, gross=True),
        *uncertainty_measures(maps),
        *chain.from_iterable(failure_measures().values()),
        *(
            measure
            for level in COVERAGES
            for measures in interval_measures(intervals, level).values()
            for measure in measures
        ),
    ]


def _of_structure(
    attribute: str, name: str, *, unit: str = "", digits: int = 3, better: Better = "higher"
) -> Measure:
    return Measure(
        key=f"{attribute}_{name}",
        title=name,
        aggregate=mean_over_volumes(lambda case: _value(case, name, attribute)),
        unit=unit,
        digits=digits,
        better=better,
    )


def _value(case: CaseEvaluation, structure: str, attribute: str) -> float:
    """Return a number of a structure, NaN if the structure is not judged in this case."""
    result = case.structures.get(structure)
    return math.nan if result is None else float(getattr(result, attribute))


def _mean_dice(case: CaseEvaluation) -> float:
    return case.mean_dice
