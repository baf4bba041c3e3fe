"""Files of a review."""

from __future__ import annotations

import csv
from pathlib import Path

import pytest

from napari_bayes_nnunet.app.review.report_files import write_numbers, write_review_report
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io import DataError

from ...helpers.data.reviews import AFTER, BEFORE, CALIBRATED, OPEN, measured, numbers, review


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
    }
    assert rows[0]["prediction_low_80"] == ""


def test_unknown_numbers_are_empty_fields(tmp_path: Path) -> None:
    file = tmp_path / "numbers.csv"
    write_numbers(file, {}, numbers(measured("LV EDVi", 60, unit="mL/m²")), {})
    assert file.read_text(encoding="ascii").splitlines()[1] == (
        'LV EDVi,"Left ventricle, end-diastolic volume",mL/m2,,,60,,,,,,,'
    )


def test_report_is_one_file(tmp_path: Path) -> None:
    file = tmp_path / "report.html"
    file.write_text("old")
    write_review_report(file, review())
    assert file.read_text(encoding="utf-8").startswith("<!DOCTYPE html>")
    assert list(tmp_path.iterdir()) == [file]


def test_file_that_cannot_be_written_is_refused(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    for write in (
        lambda file: write_numbers(file, BEFORE, AFTER, OPEN),
        lambda file: write_review_report(file, review()),
    ):
        with pytest.raises(DataError) as caught:
            write(tmp_path / "file" / "out")
        assert caught.value.values["file"] == tmp_path / "file" / "out"
        assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)
