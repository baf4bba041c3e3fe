"""Formatted numbers before and after review."""

from __future__ import annotations

import math

from napari_bayes_nnunet.app.review.report_numbers import (
    REVIEWED,
    NumberRow,
    format_number,
    format_with_spread,
    number_rows,
)

from ...helpers.data.reviews import AFTER, BEFORE, CALIBRATED, OPEN, measured, numbers


def written(row: NumberRow) -> tuple[str, ...]:
    spreads = (row.spread_before, row.spread_after)
    return (row.ventricle, row.title, row.name, row.before, row.after, *spreads, row.change)


def test_before_and_after_have_their_spread() -> None:
    rows = number_rows(BEFORE, AFTER, OPEN)
    left = ("Left ventricle", "End-diastolic volume", "LV EDV", "120.0", "118.0")
    assert [written(row) for row in rows] == [
        (*left, "± 3.2", "± 1.0", "−2.0"),
        ("Left ventricle", "Ejection fraction", "LV EF", "55.5", "57.8", "± 2.5", "± 1.2", "+2.2"),
        ("Right ventricle", "Cardiac output", "RV CO", "5.13", "5.13", "± 0.25", "", "0"),
    ]
    assert [row.open_slices for row in rows] == ["4", "9", REVIEWED]
    assert [row.unit for row in rows] == ["mL", "%", "L/min"]


def test_prediction_has_its_interval() -> None:
    rows = number_rows(CALIBRATED, AFTER, OPEN)
    assert [row.interval_before for row in rows] == ["", "90 %: 50.5 to 60.5", ""]


def test_number_of_one_side_has_no_change() -> None:
    rows = number_rows(numbers(measured("RV EDV", 90)), numbers(measured("LV EDV", 120, 2)), {})
    assert [written(row)[2:] for row in rows] == [
        ("LV EDV", "–", "120.0", "–", "± 2.0", "–"),
        ("RV EDV", "90.0", "–", "–", "–", "–"),
    ]


def test_number_is_formatted_with_spread() -> None:
    assert format_with_spread(AFTER["LV EF"], 9) == ("57.8", "± 1.2 %, 9 open")
    assert format_with_spread(AFTER["LV EF"], 0) == ("57.8", f"%, {REVIEWED}")
    assert format_with_spread(measured("LV EDV", 120), None) == ("120.0", "mL")
    assert format_number(None) == format_number(measured("LV EDV", math.nan)) == "–"
