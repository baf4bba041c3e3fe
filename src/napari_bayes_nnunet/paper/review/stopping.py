"""Evaluation of the intervals and the end of a review, by a rule fitted on all other patients."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from typing import Final, NamedTuple

import numpy as np

from ...core.heart.slice_volumes import Values
from ...core.metrics.bootstrap import exact_interval
from ...core.metrics.conformal import COVERAGES, Coverage, RemainingChange
from ...core.review.stop_rule import ReviewPath, fit_remaining_change

TARGETS: Final[Mapping[str, tuple[float, ...]]] = {
    "LV EF": (3, 4, 5),
    "RV EF": (5, 10),
    "LV EDV": (5, 10),
    "LV ESV": (5, 10),
    "LV mass": (5, 10),
}
"""Targets of each number, in points, mL or g."""
SLICES_ACCEPTED: Final = (0, 5, 10, 15)
"""Accepted slices after which the intervals are judged."""
CORRECTED, WITH_TOOLS = "corrects all", "leaves up to 3 mm"
"""Readers: one who draws the reference, and one who uses the tools and leaves small errors."""


@dataclass(frozen=True, kw_only=True)
class ReadPatient:
    """A patient under review in the order of the queue.

    ``numbers`` are those of the reader who corrects all, by name, ``with_tools`` (K + 1,) those of
    the other one after 0 … K slices, with all corrected last. ``basal`` is the number of slices
    until no urgent basal one is open.
    """

    patient: str
    numbers: Mapping[str, ReviewPath]
    with_tools: Mapping[str, Values]
    basal: int


class StopResult(NamedTuple):
    """Patients of one reader whose ``number`` was within the ``target`` when the rule said stop.

    The rule is that for ``level`` % of the patients.

    ``slices`` and ``of_slices`` are the mean numbers of slices until then and in the queue.
    ``largest`` is the largest change after it, ``low`` and ``high`` bound the exact 95 % interval
    of the share covered.
    """

    number: str
    target: float
    level: Coverage
    reader: str
    slices: float
    of_slices: float
    covered: int
    patients: int
    low: float
    high: float
    largest: float


def evaluate_stopping(patients: Sequence[ReadPatient]) -> list[StopResult]:
    """Return the results of every target and reader; none for fewer than ten patients."""
    return [
        result
        for number, targets in TARGETS.items()
        for target in targets
        for level in COVERAGES
        for reader in (CORRECTED, WITH_TOOLS)
        for result in _result(patients, number, target, level, reader)
    ]


class IntervalResult(NamedTuple):
    """Coverage of the intervals of a ``number`` at a ``level``, %, after some accepted ``slices``.

    ``held`` counts the ``patients``, each with open slices left, whose number after all slices lay
    in the interval. ``half_width`` is the mean one, ``low`` and ``high`` bound the exact 95 %
    interval of the share.
    """

    number: str
    slices: int
    level: Coverage
    held: int
    patients: int
    low: float
    high: float
    half_width: float


def evaluate_intervals(patients: Sequence[ReadPatient]) -> list[IntervalResult]:
    """Return the coverage of all numbers; none for fewer than ten patients."""
    results = []
    for number in sorted({name for patient in patients for name in patient.numbers}):
        paths = [patient.numbers[number] for patient in patients if number in patient.numbers]
        rules = [fit_remaining_change([p for p in paths if p is not path]) for path in paths]
        known = [(path, rule) for path, rule in zip(paths, rules, strict=True) if rule]
        for slices, level in product(SLICES_ACCEPTED, COVERAGES):
            results += interval_result(number, known, slices=slices, level=level)
    return results


def interval_result(
    number: str,
    patients: Iterable[tuple[ReviewPath, RemainingChange]],
    *,
    slices: int,
    level: Coverage,
) -> list[IntervalResult]:
    """Return the coverage by the rule of each patient; [] if none has more slices to review."""
    reviewed = [(path, rule) for path, rule in patients if slices < len(path.spreads) - 1]
    # A bound that was reached once holds for all later slices, too.
    widths = [
        rule.bound(min(path.spreads[1 : slices + 1], default=math.inf), level)
        for path, rule in reviewed
    ]
    left = [abs(path.values[slices] - path.values[-1]) for path, _ in reviewed]
    held = sum(change <= width for change, width in zip(left, widths, strict=True))
    if not reviewed:
        return []
    count, half_width = len(reviewed), float(np.mean(widths))
    share = exact_interval(held, count)
    return [IntervalResult(number, slices, level, held, count, *share, half_width)]


def _result(
    patients: Sequence[ReadPatient], number: str, target: float, level: Coverage, reader: str
) -> Iterator[StopResult]:
    known = [patient for patient in patients if number in patient.numbers]
    stops, lengths, errors = [], [], []
    for patient in known:
        # A rule that has seen the patient would look better than it is.
        others = [other for other in known if other.patient != patient.patient]
        rule = fit_remaining_change([other.numbers[number] for other in others])
        if rule is None:
            return
        path = patient.numbers[number]
        read = path.values if reader == CORRECTED else patient.with_tools[number]
        length = len(path.spreads) - 1
        spread = rule.spread_for(target, level)
        # The dock does not offer the end while an urgent basal slice is open.
        stop = length if spread is None else max(path.first_step(spread), patient.basal)
        stops.append(stop)
        lengths.append(length)
        errors.append(abs(float(read[stop] - read[-1])))
    covered = sum(error <= target for error in errors)
    if known:
        means = float(np.mean(stops)), float(np.mean(lengths))
        share = exact_interval(covered, len(known))
        start = number, target, level, reader, *means
        yield StopResult(*start, covered, len(known), *share, max(errors))
