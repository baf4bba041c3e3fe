"""Formatted numbers before and after review."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.review.report_numbers import (
    REVIEWED,
    all_names,
    format_number,
    format_with_spread,
    number_rows,
    write_numbers,
    write_or_refuse,
)
from napari_bayes_nnunet.app.review.report_page import report_page
from napari_bayes_nnunet.core.heart.normal_ranges import Comparison
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io import DataError

from ...helpers.data.reviews import (
    AFTER,
    BEFORE,
    CALIBRATED,
    NORMAL,
    OPEN,
    measured,
    numbers,
    review,
)

WRITTEN = (
    "ventricle", "title", "name", "before", "after", "spread_before", "spread_after", "change",
)  # fmt: skip


def written(row: dict[str, str]) -> tuple[str, ...]:
    return tuple(row[name] for name in WRITTEN)


def test_before_and_after_have_their_spread() -> None:
    rows = number_rows(BEFORE, AFTER, OPEN)
    left = ("Left ventricle", "End-diastolic volume", "LV EDV", "120.0", "118.0")
    assert [written(row) for row in rows] == [
        (*left, "± 3.2", "± 1.0", "−2.0"),
        ("Left ventricle", "Ejection fraction", "LV EF", "55.5", "57.8", "± 2.5", "± 1.2", "+2.2"),
        ("Right ventricle", "Cardiac output", "RV CO", "5.13", "5.13", "± 0.25", "", "0"),
    ]
    assert [row["open_slices"] for row in rows] == ["4", "9", REVIEWED]
    assert [row["unit"] for row in rows] == ["mL", "%", "L/min"]


def test_prediction_has_its_interval() -> None:
    rows = number_rows(CALIBRATED, AFTER, OPEN)
    assert [row["interval_before"] for row in rows] == ["", "90 %: 50.5 to 60.5", ""]


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


def test_names_after_review_come_first() -> None:
    before = numbers(measured("LV EDV", 1), measured("RV EDV", 1))
    assert all_names(before, numbers(measured("LV EF", 1), measured("LV EDV", 1))) == [
        "LV EF", "LV EDV", "RV EDV",
    ]  # fmt: skip


def test_numbers_are_written_as_csv(tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    write_numbers(file, CALIBRATED, AFTER, OPEN)
    with file.open(encoding="ascii", newline="") as stream:
        rows = list(csv.DictReader(stream))
    assert [row["name"] for row in rows] == ["LV EDV", "LV EF", "RV CO"]
    assert rows[1] == {
        "name": "LV EF",
        "title": "Left ventricle, ejection fraction",
        "unit": "%",
        "prediction": "55.5",
        "prediction_spread": "2.5",
        "reviewed": "57.75",
        "reviewed_spread": "1.25",
        "open_slices": "9",
        "prediction_low_80": "52",
        "prediction_high_80": "59",
        "prediction_low_90": "50.5",
        "prediction_high_90": "60.5",
        "among_phases": "",
        "compared_with": "",
        "verdict": "",
        "papillary_as_muscle": "",
    }
    assert rows[0]["prediction_low_80"] == ""


def test_ranges_and_the_second_rule_are_written_in_ascii(tmp_path: Path) -> None:
    file, lines = tmp_path / "numbers.csv", ("Men: 35.4 to 70.6 g/m² (mean ± 1.96 SD).",)
    beside = (
        replace(NORMAL, lines=lines, verdict="▲ high"),
        Comparison(title="Muscle", text="24.3", lines=("In words.",), value=24.26),
    )
    names = ("LV mass index", "LV EF")
    values = [replace(measured(n, 80), comparison=b) for n, b in zip(names, beside, strict=True)]
    write_numbers(file, {}, numbers(*values), {})
    with file.open(encoding="ascii", newline="") as stream:
        mass, ef = csv.DictReader(stream)
    assert mass["compared_with"] == "Men: 35.4 to 70.6 g/m2 (mean +- 1.96 SD)."
    assert (mass["verdict"], mass["papillary_as_muscle"]) == ("high", "")
    assert (ef["verdict"], ef["papillary_as_muscle"]) == ("", "24.26")


def test_unknown_numbers_are_empty_fields(tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    write_numbers(file, {}, numbers(measured("LV EDVi", 60, unit="mL/m²")), {})
    assert file.read_text(encoding="ascii").splitlines()[1] == (
        'LV EDVi,"Left ventricle, end-diastolic volume",mL/m2,,,60,,,,,,,,,,'
    )


def test_report_is_one_file(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    write_or_refuse(file, report_page(review()))
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [file]


def test_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (
        lambda file: write_numbers(file, BEFORE, AFTER, OPEN),
        lambda file: write_or_refuse(file, report_page(review())),
    ):
        with pytest.raises(DataError) as caught:
            write(tmp_path / "file" / "out")
        assert caught.value.values["file"] == tmp_path / "file" / "out"
        assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)
