"""Intervals are judged on patients that they were not fitted on."""

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.app.segmentation.calibrate import (
    CalibrationCase,
    HeldOut,
    coverage_elsewhere,
    coverage_table,
    dice_rules,
    function_rules,
    held_out_coverage,
    measure_pair,
)
from napari_bayes_nnunet.core.heart.measurements import measure_spread
from napari_bayes_nnunet.core.review.stop_rule import (
    ReferencedVolume,
    fit_remaining_change,
    numbers_during_review,
)

PATIENTS = 12


def made_case(patient: int, phase: str, error: float, rng) -> CalibrationCase:
    truth = 150.0 + 5 * patient if phase == "ED" else 60.0 + 3 * patient
    members = tuple(truth + error + rng.normal(0, 2, size=3))
    return CalibrationCase(
        name=f"p{patient:02}_{phase}",
        patient=f"p{patient:02}",
        probabilities=np.zeros((2, 0), np.float32),
        labels=np.zeros(0, np.uint8),
        volumes={"LV": truth + error},
        spreads={"LV": measure_spread(members)},
        member_volumes={"LV": members},
        references={"LV": truth},
        agreement={"LV": 0.9 + 0.005 * patient},
        dice={"LV": 0.85 + 0.005 * patient + 0.001 * error},
    )


@pytest.fixture
def cases() -> list[CalibrationCase]:
    rng = np.random.default_rng(4)
    return [
        made_case(patient, phase, rng.normal(0, 6), rng)
        for patient in range(PATIENTS)
        for phase in ("ED", "ES")
    ]


def test_the_rule_of_a_patient_does_not_know_the_patient(cases) -> None:
    rows = {(row.name, row.level): row for row in held_out_coverage(cases)}
    held, widths = 0, []
    for patient in range(PATIENTS):
        end_diastole, end_systole = cases[2 * patient : 2 * patient + 2]
        rules = function_rules([c for c in cases if c.patient != end_diastole.patient])
        predicted, truth = measure_pair(end_diastole, end_systole, rules=rules)
        low, high = predicted["LV EF"].intervals[80]
        held += low <= truth["LV EF"].value <= high
        widths.append(high - low)
    row = rows["LV EF", 80]
    assert (row.held, row.patients, row.unit) == (held, PATIENTS, "%")
    assert row.width == pytest.approx(np.mean(widths))
    assert rows["Dice of LV at ES", 90].patients == PATIENTS
    assert set(dice_rules(cases)) == {"any", "ED", "ES"}


def test_intervals_are_those_of_a_review_that_has_not_begun(cases) -> None:
    known = [
        replace(
            case,
            slices=ReferencedVolume(
                predicted={"LV": np.array([case.volumes["LV"]])},
                members={"LV": np.array(case.member_volumes["LV"])[:, None]},
                reference={"LV": np.array([case.references["LV"]])},
                scores={"LV": np.ones(1)},
            ),
        )
        for case in cases
    ]
    rows = {(row.name, row.level): row for row in held_out_coverage(known)}
    paths = [
        numbers_during_review({1: ed.slices, 2: es.slices}, ed=1, es=2)["LV ESV"]
        for ed, es in zip(known[::2], known[1::2], strict=True)
    ]
    rules = [fit_remaining_change([p for p in paths if p is not path]) for path in paths]
    widths = [2 * rule.bound(math.inf) for rule in rules if rule]
    assert rows["LV ESV", 90].width == pytest.approx(np.mean(widths))


def test_one_gross_error_is_not_held(cases) -> None:
    cases[0] = made_case(0, "ED", 90.0, np.random.default_rng(1))
    rows = {(row.name, row.level): row for row in held_out_coverage(cases)}
    assert rows["LV EDV", 90].held == PATIENTS - 1  # that of others holds with the largest residual


def test_intervals_of_other_patients_may_hold_none(cases) -> None:
    """Unlike intervals that are fitted on all but one patient."""
    rng = np.random.default_rng(2)
    other = [made_case(n, phase, -90.0, rng) for n in range(PATIENTS) for phase in ("ED", "ES")]
    held = {(row.name, row.level): row.held for row in held_out_coverage(other)}
    rows = {(row.name, row.level): row for row in coverage_elsewhere(cases, other)}
    assert held["LV EDV", 90] >= PATIENTS - 1
    assert rows["LV EDV", 90].held == 0
    own = {(row.name, row.level): row for row in held_out_coverage(cases)}
    assert rows["LV EDV", 90].width == pytest.approx(own["LV EDV", 90].width, rel=0.3)


def test_share_is_the_exact_binomial_interval() -> None:
    row = HeldOut(name="LV EF", level=90, held=15, patients=16, width=10.5, unit="%")
    assert row.share == pytest.approx((0.6977, 0.9984), abs=1e-4)
    _, line = coverage_table([row]).splitlines()
    assert line.split() == ["LV", "EF", "90", "%", "15", "16", "70", "to", "100", "%", "10.5", "%"]


def test_too_few_patients_have_no_coverage(cases) -> None:
    assert held_out_coverage(cases[:8]) == []
    assert coverage_table([]) == ""
