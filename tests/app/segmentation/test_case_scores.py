"""Warnings about cases unlike the validation cases of an ensemble."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_bayes_nnunet.app.segmentation.case_scores import (
    HIGH_SPREAD,
    LOW_AGREEMENT,
    UNUSUAL_VOLUME,
    mean_scores,
    validation_warnings,
)
from napari_bayes_nnunet.core.heart.measurements import measure_spread

RANGES = {
    "volume_ml": (126.6, 166.2),
    "pairwise_dice": (0.9004, 1.0),
    "volume_standard_deviation_ml": (0.0, 2.04),
}
FOLDER = SimpleNamespace(validation_range=lambda name, score: RANGES[score])


def warnings(*, ml: float = 150, dice: float = 0.95, deviation: float = 1) -> tuple[str, ...]:
    members = measure_spread([ml - deviation, ml, ml + deviation])
    return validation_warnings(FOLDER, {"LV": ml}, {"LV": members}, {"LV": dice})


@pytest.mark.parametrize("inside", [{"ml": 126.55}, {"ml": 166.4}, {"dice": 0.9002}])
def test_difference_below_the_shown_digits_is_ignored(inside) -> None:
    assert warnings(**inside) == ()


def test_scores_outside_the_range_give_warnings() -> None:
    assert warnings(ml=126.4) == (UNUSUAL_VOLUME.format(name="LV", value=126, low=127, high=166),)
    assert warnings(dice=0.8994) == (LOW_AGREEMENT.format(name="LV", value=0.899, low=0.9),)
    assert warnings(deviation=2.2) == (HIGH_SPREAD.format(name="LV", value=2.2, high=2),)


def test_mean_scores_leave_unknown_values_out() -> None:
    cases = [{"RV": 0.8, "LV": 0.9}, {"RV": float("nan"), "LV": 0.7}]
    assert mean_scores(cases) == pytest.approx({"RV": 0.8, "LV": 0.8})
