"""Formatted numbers before and after review."""

from __future__ import annotations

import csv
import math
from dataclasses import replace

import pytest

from napari_bayes_nnunet.app.review.report_numbers import (
    REVIEWED,
    format_interval,
    format_large,
    format_number,
    interval_level,
    number_rows,
    write_numbers,
)
from napari_bayes_nnunet.core.heart.function import Comparison
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io import DataError

from ...helpers.data.reviews import AFTER, BEFORE, NORMAL, OPEN, measured, numbers

WRITTEN = ("ventricle", "title", "name", "before", "after", "interval", "change")


def written(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in WRITTEN)


def test_row_has_both_values_and_one_interval() -> None:
    rows = number_rows(BEFORE, AFTER, OPEN)
    left = ("Left ventricle", "End-diastolic volume", "LV EDV", "120.0", "118.0")
    assert [written(row) for row in rows] == [
        (*left, "", "−2.0"),
        ("Left ventricle", "Ejection fraction", "LV EF", "55.5", "57.8", "49.5 to 66.0", "+2.3"),
        ("Right ventricle", "Cardiac output", "RV CO", "5.13", "5.13", "", "0"),
    ]
    assert [row["open_slices"] for row in rows] == ["4", "9", REVIEWED]
    assert [row["unit"] for row in rows] == ["mL", "%", "L/min"]


def test_number_of_one_side_has_no_change() -> None:
    rows = number_rows(numbers(measured("RV EDV", 90)), numbers(measured("LV EDV", 120, 2)), {})
    assert [written(row)[2:] for row in rows] == [
        ("LV EDV", "–", "120.0", "", "–"),
        ("RV EDV", "90.0", "–", "", "–"),
    ]


def test_large_number_has_its_interval_or_is_reviewed() -> None:
    assert format_large(AFTER["LV EF"], 9) == ("57.8", "%, 49.5 to 66.0")
    assert format_large(AFTER["LV EF"], 0) == ("57.8", f"%, {REVIEWED}")
    assert format_large(measured("LV EDV", 120, 3.0), None) == ("120.0", "mL")
    assert format_number(None) == format_number(measured("LV EDV", math.nan)) == "–"


@pytest.mark.parametrize(
    ("unit", "ends", "text"),
    [("%", (8.64, 29.6), "8.6–29.6"), ("L/min", (0.691, 3.57), "0.69–3.57")],
)
def test_interval_has_decimals_of_its_number(unit, ends, text) -> None:
    number = replace(measured("RV CO", 20), unit=unit, intervals={80: (0, 1), 90: ends})
    assert format_interval(number, interval_level([number]), to="–") == text
    assert format_interval(number, None) == format_interval(None, 90) == ""


def test_numbers_are_written_as_csv(tmp_path) -> None:
    file = tmp_path / "numbers.csv"
    write_numbers(file, BEFORE, AFTER, OPEN, state="DRAFT")
    with file.open(encoding="ascii", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["LV EDV", "LV EF", "RV CO"]
    assert rows[1] == {
        "name": "LV EF",
        "title": "Left ventricle, ejection fraction",
        "unit": "%",
        "prediction": "55.5",
        "value": "57.75",
        "low": "49.5",
        "high": "66",
        "interval_percent": "90",
        "state": "DRAFT",
        "open_slices": "9",
        "prediction_members_sd": "2.5",
        "members_sd": "1.25",
        "among_phases": "",
        "compared_with": "",
        "verdict": "",
        "papillary_as_muscle": "",
        "by_valve_plane": "",
        "interval_profile": "",
    }
    assert rows[0]["low"] == rows[0]["interval_percent"] == ""


def test_ranges_and_the_second_rule_are_written_in_ascii(tmp_path) -> None:
    file, lines = tmp_path / "numbers.csv", ("Men: 35.4 to 70.6 g/m² (mean ± 1.96 SD).",)
    beside = (
        replace(NORMAL, lines=lines, verdict="▲ high"),
        Comparison(title="Muscle", text="24.3", lines=("In words.",), value=24.26),
    )
    names = ("LV mass index", "LV EF")
    values = [replace(measured(n, 80), comparison=b) for n, b in zip(names, beside, strict=True)]
    write_numbers(file, {}, numbers(*values), {}, state="DRAFT")
    with file.open(encoding="ascii", newline="") as stream:
        mass, ef = csv.DictReader(stream)
    assert mass["compared_with"] == "Men: 35.4 to 70.6 g/m2 (mean +- 1.96 SD)."
    assert (mass["verdict"], mass["papillary_as_muscle"]) == ("high", "")
    assert (ef["verdict"], ef["papillary_as_muscle"], ef["by_valve_plane"]) == ("", "24.26", "")


def test_unknown_numbers_are_empty_fields(tmp_path) -> None:
    file = tmp_path / "numbers.csv"
    write_numbers(file, {}, numbers(measured("LV EDVi", 60, unit="mL/m²")), {}, state="reviewed")
    assert file.read_text(encoding="ascii").splitlines()[1] == (
        'LV EDVi,"Left ventricle, end-diastolic volume",mL/m2,,60,,,,reviewed,,,,,,,,,'
    )


def test_file_that_cannot_be_written_is_refused(tmp_path) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError) as caught:
        write_numbers(tmp_path / "file" / "out", BEFORE, AFTER, OPEN, state="")
    assert caught.value.values["file"] == tmp_path / "file" / "out"
    assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)
