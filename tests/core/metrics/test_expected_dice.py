"""Dice expected from the agreement of the members."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.metrics.expected_dice import fit_dice

PATIENTS = [f"p{number}" for number in range(16)]


def test_equal_agreements_explain_nothing():
    rule = fit_dice([0.9] * 16, np.linspace(0.8, 0.95, 16), PATIENTS)
    assert rule.slope == 0
    assert rule.expect(0.1).value == pytest.approx(0.875)


def test_dice_stays_between_0_and_1():
    agreements = np.linspace(0.5, 0.9, 16)
    rule = fit_dice(agreements, agreements + 0.1, PATIENTS)
    assert rule.expect(1.0).value == 1
    assert rule.expect(-1.0).value == 0
    assert max(rule.expect(1.0).intervals[90]) <= 1


def test_unknown_agreement_has_no_expected_dice():
    rule = fit_dice([*np.linspace(0.8, 0.9, 15), np.nan], np.linspace(0.8, 0.9, 16), PATIENTS)
    assert rule.interval.patients == 15
    assert rule.expect(float("nan")) is None
    assert fit_dice([0.9] * 3, [0.8] * 3, PATIENTS[:3]) is None
