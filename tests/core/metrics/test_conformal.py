"""Prediction intervals of split conformal prediction."""

import math

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.conformal import (
    IntervalRule,
    RemainingChange,
    chance_of_misses,
    fit_interval,
)


def rule_of(residuals, *, patients=None, difficulties=None):
    """Return the rule for predictions of 100 and references that differ by the residuals."""
    names = patients or [f"p{number}" for number in range(len(residuals))]
    references = [100 + residual for residual in residuals]
    return fit_interval([100.0] * len(residuals), references, names, difficulties=difficulties)


@pytest.mark.parametrize(
    ("patients", "known"), [(3, ()), (4, (80,)), (8, (80,)), (9, (80, 90)), (18, (80, 90))]
)
def test_levels_need_patients(patients, known):
    rule = rule_of(np.arange(float(patients)))
    assert (rule is None) is (known == ())
    levels = () if rule is None else tuple(rule.intervals(100))
    assert levels == known
    if 90 in levels:
        assert rule.half_width_90 == pytest.approx(patients / 2)  # the largest error


def test_new_patients_are_covered_as_promised():
    random = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        sizes = random.gamma(2, 5, 17)
        residuals = 4 + sizes * random.standard_normal(17)
        low, high = rule_of(residuals[:16]).intervals(100)[90]
        covered.append(low <= 100 + residuals[16] <= high)
    assert 0.88 <= np.mean(covered) <= 0.98


def test_patient_with_many_volumes_counts_once():
    once = rule_of([*range(9), 50.0])
    often = rule_of([*range(9), *[50.0] * 5], patients=[*map(str, range(9)), *["last"] * 5])
    assert often == once


@pytest.mark.parametrize(("hard", "is_scaled"), [(1.0, False), (1.4, False), (2.0, True)])
def test_width_is_scaled_if_tenth_is_gained(hard, is_scaled):
    """Errors are in proportion to half the patients' difficulty of 1, and half of ``hard``."""
    difficulties = np.resize([1, 1, hard, hard], 20)
    floor = np.median(difficulties)  # means of 2.4 and 3, instead of the widest 2.6 and 3.5
    rule = rule_of((floor + difficulties) * np.resize([1, -1], 20), difficulties=list(difficulties))
    assert (rule.difficulty_floor is not None) is is_scaled


def test_remaining_change_is_an_interval_within_the_limits():
    rule = RemainingChange(spreads=(1, 2), bounds_80=(2, 5), bounds_90=(3, 9), patients=9)
    assert rule.intervals(95, difficulty=1, most=100) == {80: (93, 97), 90: (92, 98)}
    assert rule.intervals(95, difficulty=7, most=100) == {80: (90, 100), 90: (86, 100)}
    assert rule.intervals(1, difficulty=2) == {80: (0, 6), 90: (0, 10)}
    assert rule.intervals(-1, difficulty=2) == rule.intervals(95) == {}


def test_scaled_change_has_multiples_of_its_bounds_at_90():
    rule = RemainingChange(spreads=(1, 2), bounds_80=(2, 5), bounds_90=(3, 9), patients=9)
    scaled = rule.scaled((0.5, 2.0))
    assert (scaled.bounds_80, scaled.bounds_90) == ((1.5, 4.5), (6, 18))
    assert scaled.spreads == rule.spreads


@pytest.mark.parametrize("patients", [9, 16])
def test_misses_of_exchangeable_cases_have_their_chance(patients):
    random = np.random.default_rng(0)
    residuals = random.exponential(size=(20_000, patients + 12))
    rank = math.ceil((patients + 1) * 0.9)
    bounds = np.sort(residuals[:, :patients])[:, rank - 1 : rank]
    missed = (residuals[:, patients:] > bounds).sum(axis=1)
    for least in range(5):
        chance = chance_of_misses(least, 12, patients, 90)
        assert (missed >= least).mean() == pytest.approx(chance, abs=0.01)


@pytest.mark.parametrize(
    "wrong", [{"half_width_80": -1.0}, {"patients": 0}, {"difficulty_floor": 0.0}]
)
def test_impossible_rules_raise(wrong):
    fields = {"bias": 0.0, "half_width_80": 1.0, "half_width_90": None, "patients": 4}
    with pytest.raises(InputError):
        IntervalRule(**(fields | wrong))
