"""Dice expected from the agreement of the members."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.metrics.expected_dice import fit_dice

PATIENTS = [f"p{number}" for number in range(16)]


def test_line_through_the_agreements_is_found() -> None:
    agreements = np.linspace(0.8, 0.98, 16)
    errors = np.resize([0.01, -0.01], 16)
    rule = fit_dice(agreements, 0.5 * agreements + 0.4 + errors, PATIENTS)
    expected = rule.expect(0.9)
    assert expected.value == pytest.approx(0.85, abs=0.003)
    low, high = expected.intervals[90]
    assert low < expected.value - 0.01 < expected.value + 0.01 < high
    assert high - low < 0.04


def test_errors_are_those_of_other_patients() -> None:
    agreements = [*np.linspace(0.9, 0.95, 15), 0.5]  # one patient pulls the line to itself
    dices = [*np.full(15, 0.92), 0.2]
    rule = fit_dice(agreements, dices, PATIENTS)
    assert rule.expect(0.5).value == pytest.approx(0.2, abs=0.05)
    assert rule.interval.half_width_90 > 0.3


def test_equal_agreements_explain_nothing() -> None:
    rule = fit_dice([0.9] * 16, np.linspace(0.8, 0.95, 16), PATIENTS)
    assert rule.slope == 0
    assert rule.expect(0.1).value == pytest.approx(0.875)


def test_dice_stays_between_0_and_1() -> None:
    agreements = np.linspace(0.5, 0.9, 16)
    rule = fit_dice(agreements, agreements + 0.1, PATIENTS)
    assert rule.expect(1.0).value == 1
    assert rule.expect(-1.0).value == 0
    assert max(rule.expect(1.0).intervals[90]) <= 1


def test_unknown_agreement_has_no_expected_dice() -> None:
    rule = fit_dice([*np.linspace(0.8, 0.9, 15), np.nan], np.linspace(0.8, 0.9, 16), PATIENTS)
    assert rule.interval.patients == 15
    assert rule.expect(float("nan")) is None
    assert fit_dice([0.9] * 3, [0.8] * 3, PATIENTS[:3]) is None
