"""Evaluation of the rule for the end of a review."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.core.review.stop_rule import ReviewPath
from napari_bayes_nnunet.paper.review.stopping import (
    CORRECTED,
    WITH_TOOLS,
    ReadPatient,
    StopResult,
    evaluate_intervals,
    evaluate_stopping,
)


def patient(number: int, error: float = 1.0, *, slices: int = 4, basal: int = 0) -> ReadPatient:
    """Return a patient whose LV EF is wrong by ``error`` points until two slices are corrected."""
    read = np.array([50 + error] * 2 + [50.0] * (slices - 1))
    return ReadPatient(
        patient=f"p{number}",
        numbers={
            "LV EF": ReviewPath(
                values=np.append(read, 50.0), spreads=np.arange(len(read), 0, -1.0) - 1
            )
        },
        with_tools={"LV EF": read + 0.5},
        basal=basal,
    )


def result_of(patients: list[ReadPatient], target: float, reader: str = CORRECTED) -> StopResult:
    results = evaluate_stopping(patients)
    return next(r for r in results if (r.target, r.level, r.reader) == (target, 90, reader))


def test_rule_is_fitted_on_the_other_patients():
    others = [patient(n, 2.0) for n in range(9)]
    outlier = patient(9, 6.0)
    result = result_of([*others, outlier], 3.0)
    # The outlier alone is judged without it, and stops at once; for the others it counts.
    assert (result.covered, result.patients, result.largest) == (9, 10, 6.0)
    assert result.slices == pytest.approx(9 * 2 / 10)
    assert result.low < 0.9 < result.high
    assert result_of([*others, outlier], 3.0, WITH_TOOLS).covered == 9


def test_urgent_basal_slices_are_read_before_the_end():
    patients = [patient(n, basal=3 if n == 0 else 0) for n in range(10)]
    assert result_of(patients, 3.0).slices == pytest.approx(0.3)


def test_rule_that_never_reaches_the_target_reads_all():
    never = ReviewPath(values=np.array([59.0, 58.0, 57.0, 50.0]), spreads=np.array([2.0, 1.0, 0.0]))
    patients = [
        ReadPatient(
            patient=f"p{n}",
            numbers={"LV EF": never},
            with_tools={"LV EF": never.values[:-1]},
            basal=0,
        )
        for n in range(10)
    ]
    result = result_of(patients, 3.0)
    assert (result.slices, result.of_slices) == (2, 2)
    assert result.covered == 0


def test_intervals_are_judged_by_the_rule_of_the_others():
    """Each is wrong until two slices are corrected: nine by 2 points, the last one by 6."""
    patients = [*(patient(n, 2.0, slices=7) for n in range(9)), patient(9, 6.0, slices=7)]
    results = {(r.slices, r.level): r for r in evaluate_intervals(patients)}
    assert {slices for slices, _ in results} == {0, 5}  # none has a slice open after 10
    first, later = results[0, 90], results[5, 90]
    assert (first.number, first.held, first.patients) == ("LV EF", 9, 10)
    assert first.half_width == pytest.approx((9 * 6 + 2) / 10)
    assert (later.held, later.half_width) == (10, 0)
    assert first.low < 0.9 < first.high
    assert evaluate_intervals(patients[:9]) == []
