"""Failure scores, fitted on made validation cases."""

from __future__ import annotations

import math
from dataclasses import replace

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.failure import (
    FAILED_DICE,
    LARGEST_EXCESS,
    FailureRule,
    SignRange,
    fit_failure,
    fit_least_dice,
)

PATIENTS = [f"p{n // 2}" for n in range(40)]


def made(seed: int = 0) -> list[dict[str, float]]:
    rng = np.random.default_rng(seed)
    return [{"disagreement": a, "fragments": b, "flat": 1.0} for a, b in rng.random((40, 2))]


def test_one_in_ten_good_cases_exceeds_the_threshold():
    rule = fit_failure(made(), [0.9] * 40, PATIENTS)
    assert rule is not None
    assert set(rule.ranges) == {"disagreement", "fragments"}  # a constant tells nothing
    assert rule.patients == 20
    warned = [rule.assess(case).warned for case in made()]
    assert 0.05 < np.mean(warned) <= 0.1
    scores = sorted(rule.score(case) for case in made())
    assert rule.threshold == pytest.approx((scores[35] + scores[36]) / 2)
    far = [rule.assess(case).warned for case in made(seed=1)]
    assert np.mean(far) < 0.2


def rare(values: dict[int, float]) -> list[dict[str, float]]:
    """Return cases with a sign that is 0 but in the cases with these numbers."""
    return [{**case, "open_wall": values.get(n, 0.0)} for n, case in enumerate(made())]


def test_sign_of_failed_cases_alone_counts():
    dices = [0.5, 0.5, *[0.9] * 38]
    rule = fit_failure(rare({0: 0.3, 1: 0.2}), dices, PATIENTS)
    assert rule is not None
    assert rule.ranges["open_wall"] == SignRange(median=0.0, reach=0.2)
    assert "open_wall" not in fit_failure(rare({0: -0.3}), dices, PATIENTS).ranges


def test_score_rises_with_every_sign():
    ranges = {"a": SignRange(median=1.0, reach=2.0), "b": SignRange(median=0.0, reach=0.5)}
    rule = FailureRule(ranges=ranges, threshold=1.0, patients=16)
    assert rule.score({"a": 1.0, "b": -5.0}) == 0
    assert rule.score({"a": 3.0, "b": 1.0}) == pytest.approx(((1 + 2**2) / 2) ** 0.5)
    assert rule.score({"a": 1e9, "b": 1e9}) == LARGEST_EXCESS
    assert rule.assess({"a": 3.0, "b": 1.0}).warned
    assert not replace(rule, threshold=1.6).assess({"a": 3.0, "b": 1.0}).warned


def test_unknown_sign_gives_no_score():
    rule = FailureRule(ranges={"a": SignRange(median=0, reach=1)}, threshold=1.0, patients=16)
    assert rule.assess({"a": math.nan}) is None
    assert rule.assess({}) is None
    # A single member has no disagreement.
    cases = [{**case, "disagreement": math.nan} for case in made()]
    assert set(fit_failure(cases, [0.9] * 40, PATIENTS).ranges) == {"fragments"}


@pytest.mark.parametrize("patients", [1, 4])
def test_few_patients_give_no_rule(patients):
    names = [f"p{n % patients}" for n in range(40)]
    assert fit_failure(made(), [0.9] * 40, names) is None


def test_a_range_is_above_0():
    with pytest.raises(InputError):
        SignRange(median=0.0, reach=0.0)


def test_a_rule_has_signs():
    with pytest.raises(InputError):
        FailureRule(ranges={}, threshold=1.0, patients=16)


def test_least_dice_is_never_above_that_of_a_failure():
    assert fit_least_dice([0.95] * 40, [0.95] * 40, PATIENTS) == FAILED_DICE
    assert fit_least_dice([], [], []) == FAILED_DICE
    assert fit_least_dice([0.5] * 40, [0.6] * 40, PATIENTS) == FAILED_DICE
