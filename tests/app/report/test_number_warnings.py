"""Numbers that no heart has."""

from __future__ import annotations

import pytest

from napari_bayes_nnunet.app.report.number_warnings import (
    NO_STROKE,
    SAME_PHASE,
    STROKES_DIFFER,
    number_warnings,
)

USUAL = {"LV EDV": 120.0, "LV ESV": 60.0, "RV EDV": 130.0, "RV ESV": 70.0}


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ({}, []),
        ({"RV ESV": 110.0}, []),  # a stroke volume of 20 mL, a third of that of the LV
        ({"RV ESV": 110.1}, [STROKES_DIFFER.format(LV=60.0, RV=19.9)]),
        ({"LV ESV": 100.1}, [STROKES_DIFFER.format(LV=19.9, RV=60.0)]),
        ({"LV ESV": 120.0}, [NO_STROKE.format(side="LV", edv=120.0, esv=120.0)]),
        ({"LV ESV": 137.3}, [NO_STROKE.format(side="LV", edv=120.0, esv=137.3)]),
        ({"RV ESV": 0.0}, [NO_STROKE.format(side="RV", edv=130.0, esv=0.0)]),
    ],
)
def test_numbers_that_no_heart_has_warn(numbers: dict[str, float], expected: list[str]) -> None:
    assert [*number_warnings(USUAL | numbers)] == expected


def test_unknown_numbers_do_not_warn() -> None:
    assert [*number_warnings({})] == []
    assert [*number_warnings({"LV EDV": 120.0, "RV ESV": 70.0})] == []


def test_one_phase_for_both_ends_warns() -> None:
    assert [*number_warnings({"LV EDV": 120.0}, same_phase=True)] == [SAME_PHASE]
