"""Coverage of prediction intervals in patients that they were not fitted on."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

from ...core.heart.function import Intervals
from ...core.metrics.bootstrap import exact_interval
from ...core.metrics.conformal import Coverage
from ..text_table import align_columns
from .calibrate import CalibrationCase, dice_rules, function_rules, measure_pair, paired

TOO_FEW = "There are too few validation patients for prediction intervals."
COVERAGE = "Prediction intervals of each patient, fitted on the others"
_HEADS = ("", "level", "held", "of", "95 %", "mean width")


@dataclass(frozen=True, kw_only=True)
class HeldOut:
    """Intervals of a measurement at a ``level`` (%), each fitted on the other patients.

    ``held`` counts the ``patients`` whose true value lies in their interval; ``width`` is the mean
    width in ``unit``.
    """

    name: str
    level: Coverage
    held: int
    patients: int
    width: float
    unit: str

    @property
    def share(self) -> tuple[float, float]:
        """Exact binomial 95 % interval of the share of patients (Clopper and Pearson 1934)."""
        return exact_interval(self.held, self.patients)


def held_out_coverage(cases: Sequence[CalibrationCase]) -> list[HeldOut]:
    """Return the coverage of the intervals of function and expected Dice, patient by patient.

    A patient with end-diastole and end-systole counts once. All that is fitted, also the bias and
    whether the width is scaled, is fitted without the patient. Empty with too few patients.
    """
    return _coverage(cases, lambda patient: [c for c in cases if c.patient != patient])


def coverage_elsewhere(
    fitted: Sequence[CalibrationCase], tested: Sequence[CalibrationCase]
) -> list[HeldOut]:
    """Return the coverage, in the patients of ``tested``, of intervals fitted on other patients.

    The number of held patients is free, whereas that of `held_out_coverage` hardly varies.
    """
    return _coverage(tested, lambda patient: fitted)


def _coverage(
    cases: Sequence[CalibrationCase], fitted_for: Callable[[str], Sequence[CalibrationCase]]
) -> list[HeldOut]:
    found: dict[tuple[str, str, Coverage], list[tuple[float, tuple[float, float]]]] = {}
    for end_diastole, end_systole in paired(cases):
        fitted = fitted_for(end_diastole.patient)
        for name, unit, truth, intervals in _numbers(end_diastole, end_systole, fitted):
            for level, interval in intervals.items():
                found.setdefault((name, unit, level), []).append((truth, interval))
    return [
        HeldOut(
            name=name,
            level=level,
            held=sum(low <= truth <= high for truth, (low, high) in rows),
            patients=len(rows),
            width=sum(high - low for _, (low, high) in rows) / len(rows),
            unit=unit,
        )
        for (name, unit, level), rows in sorted(found.items())
    ]


def coverage_table(rows: Sequence[HeldOut]) -> str:
    """Return the coverage as a text table; one without rows is empty."""
    cells = []
    for row in rows:
        low, high = row.share
        width = f"{row.width:.3f}" if not row.unit else f"{row.width:.1f} {row.unit}"
        held = f"{100 * low:.0f} to {100 * high:.0f} %"
        cells.append((row.name, f"{row.level} %", f"{row.held}", f"{row.patients}", held, width))
    return "\n".join(align_columns([_HEADS, *cells])) if cells else ""


def _numbers(
    end_diastole: CalibrationCase,
    end_systole: CalibrationCase,
    fitted: Sequence[CalibrationCase],
) -> Iterator[tuple[str, str, float, Intervals]]:
    """Yield name, unit, truth and intervals of each number of a patient."""
    predicted, truth = measure_pair(end_diastole, end_systole, rules=function_rules(fitted))
    for name, measured in predicted.items():
        if name in truth:
            yield name, measured.unit, truth[name].value, measured.intervals
    of_phase = dice_rules(fitted)
    for phase, case in (("ED", end_diastole), ("ES", end_systole)):
        for structure, rule in of_phase.get(phase, {}).items():
            expected = rule.expect(case.agreement[structure])
            if expected is not None:
                name = f"Dice of {structure} at {phase}"
                yield name, "", case.dice[structure], expected.intervals
