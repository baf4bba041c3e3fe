"""Prediction intervals of split conformal prediction."""

import numpy as np
import pytest

from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.core.metrics.conformal import IntervalRule, RemainingChange, fit_interval


def rule_of(residuals, *, patients=None, difficulties=None):
    """Return the rule for predictions of 100 and references that differ by the residuals."""
    names = patients or [f"p{number}" for number in range(len(residuals))]
    references = [100 + residual for residual in residuals]
    return fit_interval([100.0] * len(residuals), references, names, difficulties=difficulties)


def test_half_width_is_conformal_quantile_of_jackknife_residuals() -> None:
    residuals = np.arange(19.0)
    rule = rule_of(residuals)
    assert rule.bias == pytest.approx(9)
    sizes = sorted(abs(r - (residuals.sum() - r) / 18) for r in residuals)
    assert rule.half_width_80 == pytest.approx(sizes[16 - 1])  # of 20 · 0.8
    assert rule.half_width_90 == pytest.approx(sizes[18 - 1])  # of 20 · 0.9


@pytest.mark.parametrize(
    ("patients", "known"), [(3, ()), (4, (80,)), (8, (80,)), (9, (80, 90)), (18, (80, 90))]
)
def test_levels_need_patients(patients, known) -> None:
    rule = rule_of(np.arange(float(patients)))
    assert (rule is None) is (known == ())
    levels = () if rule is None else tuple(rule.intervals(100))
    assert levels == known
    if 90 in levels:
        assert rule.half_width_90 == pytest.approx(patients / 2)  # the largest error


def test_new_patients_are_covered_as_promised() -> None:
    random = np.random.default_rng(0)
    covered = []
    for _ in range(400):
        sizes = random.gamma(2, 5, 17)
        residuals = 4 + sizes * random.standard_normal(17)
        low, high = rule_of(residuals[:16]).interval(100, 90)
        covered.append(low <= 100 + residuals[16] <= high)
    assert 0.88 <= np.mean(covered) <= 0.98


def test_patient_with_many_volumes_counts_once() -> None:
    once = rule_of([*range(9), 50.0])
    often = rule_of([*range(9), *[50.0] * 5], patients=[*map(str, range(9)), *["last"] * 5])
    assert often == once


def test_width_follows_difficulties_that_explain_errors() -> None:
    difficulties = np.linspace(1, 20, 16)
    signs = np.resize([1, -1], 16)
    rule = rule_of(difficulties * signs, difficulties=difficulties)
    assert rule.difficulty_floor == pytest.approx(np.median(difficulties))
    (low, high), (lower, higher) = (rule.interval(100, 90, difficulty=d) for d in (1, 20))
    assert higher - lower > 2 * (high - low)
    assert rule.interval(100, 90) is None  # unknown difficulty
    constant = rule_of(np.resize([5, -5], 16), difficulties=difficulties)
    assert constant.difficulty_floor is None


@pytest.mark.parametrize(("hard", "is_scaled"), [(1.0, False), (1.4, False), (2.0, True)])
def test_width_is_scaled_if_tenth_is_gained(hard, is_scaled) -> None:
    """Errors are in proportion to half the patients' difficulty of 1, and half of ``hard``."""
    difficulties = np.resize([1, 1, hard, hard], 20)
    floor = np.median(difficulties)  # means of 2.4 and 3, instead of the widest 2.6 and 3.5
    rule = rule_of((floor + difficulties) * np.resize([1, -1], 20), difficulties=list(difficulties))
    assert (rule.difficulty_floor is not None) is is_scaled


def test_unknown_numbers_are_left_out() -> None:
    rule = rule_of([*range(9), np.nan])
    assert rule.patients == 9
    assert rule.interval(np.nan, 90) is None


@pytest.mark.parametrize("unknown", [slice(None), 0])
def test_unknown_difficulties_are_not_used(unknown) -> None:
    difficulties = np.linspace(1, 20, 16)
    residuals = difficulties * np.resize([1, -1], 16)
    difficulties[unknown] = np.nan
    assert rule_of(residuals, difficulties=difficulties) == rule_of(residuals)


def test_interval_starts_at_zero() -> None:
    rule = IntervalRule(bias=-1, half_width_80=3, half_width_90=5, patients=9)
    assert rule.intervals(2) == {80: (0, 4), 90: (0, 6)}


def test_interval_of_impossible_values_is_unknown() -> None:
    rule = IntervalRule(bias=-1, half_width_80=3, half_width_90=5, patients=9)
    assert rule.intervals(-3) == {}
    assert rule.intervals(99, most=100) == {80: (95, 100), 90: (93, 100)}
    assert rule.intervals(105, most=100) == {}


def test_interval_contains_the_number() -> None:
    """The rest of a review ends at the number, so a bias that is left there cannot exclude it."""
    rule = IntervalRule(bias=4, half_width_80=3, half_width_90=5, patients=9)
    assert rule.intervals(50) == {80: (50, 57), 90: (49, 59)}
    falling = IntervalRule(bias=-4, half_width_80=3, half_width_90=5, patients=9)
    assert falling.intervals(50) == {80: (43, 50), 90: (41, 51)}


def test_remaining_change_is_an_interval_within_the_limits() -> None:
    rule = RemainingChange(spreads=(1, 2), bounds_80=(2, 5), bounds_90=(3, 9), patients=9)
    assert rule.intervals(95, difficulty=1, most=100) == {80: (93, 97), 90: (92, 98)}
    assert rule.intervals(95, difficulty=7, most=100) == {80: (90, 100), 90: (86, 100)}
    assert rule.intervals(1, difficulty=2) == {80: (0, 6), 90: (0, 10)}
    assert rule.intervals(-1, difficulty=2) == rule.intervals(95) == {}


def test_interval_of_huge_numbers_is_unknown() -> None:
    huge = 1.7e308
    rule = IntervalRule(bias=huge, half_width_80=1, half_width_90=huge, patients=9)
    assert rule.intervals(0) == {80: (0, huge)}
    scaled = IntervalRule(
        bias=0, half_width_80=huge, half_width_90=huge, patients=9, difficulty_floor=huge
    )
    assert scaled.intervals(1, difficulty=1) == {}


@pytest.mark.parametrize(
    "wrong", [{"half_width_80": -1.0}, {"patients": 0}, {"difficulty_floor": 0.0}]
)
def test_impossible_rules_raise(wrong) -> None:
    fields = {"bias": 0.0, "half_width_80": 1.0, "half_width_90": None, "patients": 4}
    with pytest.raises(InputError):
        IntervalRule(**(fields | wrong))
