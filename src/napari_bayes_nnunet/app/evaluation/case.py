"""Numbers of one segmented 3D image against its reference, and the table of all cases."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from ...core import InputError
from ...core.ensemble.maps import MAPS
from ...core.heart.function import Intervals
from ...core.metrics.calibration import ReliabilityBins
from ...core.types import LabelMap
from .aggregates import ALL, PATIENT_COLUMN, RELIABILITY_COLUMN
from .measures import (
    OF_CASE,
    OF_STRUCTURE,
    JudgedCase,
    Probabilities,
    detection_numbers,
    interval_numbers,
)

if TYPE_CHECKING:
    from pandas import DataFrame

MapValues = NDArray[np.floating]
GROUP = "group"


@dataclass(frozen=True, kw_only=True, eq=False)
class CaseEvaluation:
    """All numbers of one image: ``numbers`` of each structure, and of `ALL`, by column.

    A number that is not defined is NaN or missing. `OF_STRUCTURE` and `OF_CASE` have the columns.
    The whole case also has the means of Dice, pairwise Dice and expected Dice over the structures,
    and the numbers of `detection_numbers` and `interval_numbers`. ``reliability``: bins of
    confidence in the foreground box of the reference, None without probabilities.
    """

    case: str
    patient: str
    groups: dict[str, str] = field(default_factory=dict)
    numbers: dict[str, dict[str, float]]
    reliability: ReliabilityBins | None = None

    def number(self, column: str, structure: str = ALL) -> float:
        """Return a number of a structure or of the whole case, NaN if it is not defined."""
        return self.numbers.get(structure, {}).get(column, math.nan)

    @property
    def structures(self) -> list[str]:
        """Names of the judged structures."""
        return [name for name in self.numbers if name != ALL]


def case_table(cases: Iterable[CaseEvaluation]) -> DataFrame:
    """Return the table of cases: a row each, and a column for each (name, structure) of a number.

    Other columns are `PATIENT_COLUMN`, `RELIABILITY_COLUMN` and (`GROUP`, name) of each group.
    """
    from pandas import DataFrame, MultiIndex

    rows = [
        {
            PATIENT_COLUMN: case.patient,
            RELIABILITY_COLUMN: case.reliability,
            **{(GROUP, name): value for name, value in case.groups.items()},
            **{(n, s): v for s, numbers in case.numbers.items() for n, v in numbers.items()},
        }
        for case in cases
    ]
    columns = dict.fromkeys(column for row in rows for column in row) or (
        PATIENT_COLUMN,
        RELIABILITY_COLUMN,
    )
    data = {column: [row.get(column, math.nan) for row in rows] for column in columns}
    return DataFrame(data, columns=MultiIndex.from_tuples(columns))


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
    volume_intervals: Mapping[str, Intervals] | None = None,
    groups: Mapping[str, str] | None = None,
    **scores: Any,
) -> CaseEvaluation:
    """Measure a prediction against its reference.

    ``labels`` and ``reference`` (Z, Y, X), both numbered as ``structures`` (name: label from 1);
    ``spacing`` (z, y, x) in mm; ``probabilities`` (C, Z, Y, X), class = label; ``maps``: name →
    (Z, Y, X) values; ``volume_intervals``: structure → level → the interval of its volume in mL.
    ``scores`` are ``pairwise_dice`` of the members and ``expected_dice``, per structure, and
    the ``failure_score``. Numbers that need a missing argument are NaN or missing, and so are those
    of the detection of errors without ``detects_errors``, which takes a third of the time.

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
    judged = JudgedCase(
        labels=number_labels(labels, structures.values()),
        reference=number_labels(reference, structures.values()),
        drawn=labels,
        spacing=spacing,
        structures={name: number for number, name in enumerate(structures, start=1)},
        probabilities=_merged(probabilities, structures, reference.shape),
        maps=maps,
        **{name: score for name, score in scores.items() if score is not None},
    )
    numbers = _numbers(judged)
    for name, intervals in (volume_intervals or {}).items():
        if name in structures:
            reference_ml = numbers[name]["reference_ml"]
            numbers[ALL] |= interval_numbers(f"{name} volume", reference_ml, intervals)
    return CaseEvaluation(
        case=case,
        patient=patient,
        groups=dict(groups or {}),
        numbers=numbers,
        reliability=judged.reliability,
    )


def _numbers(judged: JudgedCase) -> dict[str, dict[str, float]]:
    """Return the numbers of each structure and of the whole case."""
    numbers: dict[str, dict[str, float]] = {name: {} for name in judged.structures}
    for figure in OF_STRUCTURE:
        values = figure.of(judged)
        for name in numbers:
            numbers[name][figure.column] = float(values.get(name, math.nan))
    whole = {figure.column: float(figure.of(judged)) for figure in OF_CASE}
    return {**numbers, ALL: whole | structure_means(numbers) | detection_numbers(judged)}


def structure_means(numbers: Mapping[str, Mapping[str, float]]) -> dict[str, float]:
    """Return the means of Dice, pairwise Dice and expected Dice of the structures that have one."""
    means = {}
    for column in ("dice", "pairwise_dice", "expected_dice"):
        every = (of_structure.get(column, math.nan) for of_structure in numbers.values())
        known = [number for number in every if not math.isnan(number)]
        name = f"mean_{column}" if column == "expected_dice" else column  # not in cases.csv
        means[name] = math.fsum(known) / len(known) if known else math.nan
    return means


def _check_shapes(reference: LabelMap, others: Mapping[str, NDArray[Any]]) -> None:
    for name, values in others.items():
        if values.shape != reference.shape:
            raise InputError(
                "Expected {name} of shape {expected} (z, y, x) like the reference, found {found}.",
                name=name,
                expected=reference.shape,
                found=values.shape,
            )


def number_labels(labels: LabelMap, values: Iterable[int | None]) -> NDArray[np.uint8]:
    """Return (Z, Y, X) labels with these values numbered 1, 2 … in their order, 0 for the rest.

    None stands for a structure without a label.
    """
    numbered = np.zeros(labels.shape, np.uint8)
    for number, label in enumerate(values, start=1):
        numbered[labels == label] = number
    return numbered


def _merged(
    probabilities: Probabilities | None, structures: Mapping[str, int], shape: tuple[int, ...]
) -> Probabilities | None:
    """Return (1 + structures, Z, Y, X) probabilities in their order; the rest is background."""
    if probabilities is None:
        return None
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
