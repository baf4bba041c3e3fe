"""Warnings where a case is unlike those an ensemble was validated on."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from napari_bayes_nnunet.app.segmentation.case_scores import validation_warnings
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
def test_what_the_printed_digits_do_not_show_is_no_warning(inside) -> None:
    assert warnings(**inside) == ()


def test_what_lies_outside_is_told() -> None:
    assert warnings(ml=126.4) == (
        "LV: the volume of 126 mL is outside the validation cases' 127 to 166 mL.",
    )
    assert warnings(dice=0.8994) == (
        "LV: the models agree less (Dice 0.899) than on any validation case (lowest 0.900).",
    )
    (only,) = warnings(deviation=2.2)
    assert only.endswith("than on any validation case (highest 2.0 mL).")
