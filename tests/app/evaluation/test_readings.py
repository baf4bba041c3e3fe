"""Comparison of readings, checked against another way of counting."""

from __future__ import annotations

import csv
import math
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.evaluation.readings import (
    NOTHING_TO_COMPARE,
    PREDICTION_READING,
    compare_readings,
    compare_study,
)
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.io.study.readings import READINGS, keep_finished, open_reading
from napari_bayes_nnunet.io.study.study import read_study, save_work

from ...helpers.checks.pages import Page
from ...helpers.checks.problems import says
from ...helpers.data.cines import CINE, ED, ES, LV, MYO, SPACING, make_cine

pytestmark = pytest.mark.usefixtures("blank_figures")
ML = math.prod(SPACING) / 1000


def read(
    folder: Path, reader: str, added: int, *, finished: bool = True, ed: int = ED
) -> np.ndarray:
    """Read as ``reader``, who takes columns of the wall of the slice 1 of ED into the LV."""
    open_reading(folder, reader)
    study = read_study(folder)
    labels = study.prediction.copy()
    plane = labels[ED - 1, 1]
    plane[:, 26 - added : 26 + added][plane[:, 26 - added : 26 + added] == MYO] = LV
    review = replace(study.review, ed=ed, es=ES, finished=finished, all_phases=bool(added % 2))
    keep_finished(folder)
    save_work(folder, labels, CINE, review)
    keep_finished(folder)
    return labels


def dice_of(a: np.ndarray, b: np.ndarray) -> float:
    return 2 * int((a & b).sum()) / int(a.sum() + b.sum())


def test_differences_are_those_of_the_voxels(folder: Path) -> None:
    anna, ben = read(folder, "Anna", 1), read(folder, "Ben", 4)
    found = {d[1:7]: d for d in compare_readings(folder).differences}
    counts = [int((labels[ED - 1] == LV).sum()) for labels in (anna, ben)]
    edv = found["Anna", "Ben", "number", "LV EDV", "", ""]
    assert edv.first_value == pytest.approx(counts[0] * ML)
    assert edv.value == pytest.approx((counts[1] - counts[0]) * ML)
    es = int((anna[ES - 1] == LV).sum())
    ef = [100 * (count - es) / count for count in counts]
    assert found["Anna", "Ben", "number", "LV EF", "", ""].value == pytest.approx(ef[1] - ef[0])
    a, b = (labels[ED - 1] == LV for labels in (anna, ben))
    of_lv = "Anna", "Ben", "dice", "LV", "ED"
    assert found[*of_lv, "whole"].value == pytest.approx(dice_of(a, b))
    parts = {"base": slice(0, 1), "middle": slice(1, 3), "apex": slice(3, 4)}
    for part, slices in parts.items():
        assert found[*of_lv, part].value == pytest.approx(dice_of(a[slices], b[slices]))
    assert found["Anna", "Ben", "distance_mm", "LV", "ES", "whole"].value == 0
    assert found["Anna", "Ben", "distance_mm", "LV", "ED", "apex"].value == 0
    assert found["Anna", "Ben", "distance_mm", "LV", "ED", "middle"].value > 0
    predicted = int((read_study(folder).prediction[ED - 1] == LV).sum())
    assert (
        found[PREDICTION_READING, "Anna", "number", "LV EDV", "", ""].first_value == predicted * ML
    )


def test_earlier_version_is_compared_with_the_latest(folder: Path) -> None:
    for added in (1, 2):
        read(folder, "Anna", added)
    pairs = compare_readings(folder).pairs
    assert pairs == [("Anna, version 1", "Anna"), (PREDICTION_READING, "Anna")]


def test_unfinished_reader_keeps_the_study_out(tmp_path: Path) -> None:
    for name in ("one", "two"):
        read(make_cine(tmp_path / name, case=name), "Anna", 1)
    read(tmp_path / "two", "Ben", 2, finished=False)
    for _ in range(2):
        comparison = compare_readings(tmp_path)
        assert {d.study for d in comparison.differences} == {"one"}
        (note,) = comparison.notes
        assert "two" in note
        assert "Ben" in note
        with pytest.raises(AppError, check=says(NOTHING_TO_COMPARE, folder=tmp_path / "two")):
            compare_readings(tmp_path / "two")
        open_reading(tmp_path / "two", "Anna")  # Ben's reading is parked


def test_contours_of_other_phases_are_not_compared(folder: Path) -> None:
    read(folder, "Anna", 1)
    read(folder, "Ben", 2, ed=ES)
    comparison = compare_readings(folder)
    phases = {d.phase for d in comparison.of(("Anna", "Ben")) if d.measure == "dice"}
    assert phases == {"ES"}
    assert any("ED" in note for note in comparison.notes)


def test_command_summarises_a_cohort(tmp_path: Path) -> None:
    for number, added in enumerate([(2, 1), (1, 9), (2, 6)]):
        folder = make_cine(tmp_path / "studies" / f"p{number}", case=f"p{number}")
        for reader, columns in zip(("Anna", "Ben <b>"), added, strict=True):
            read(folder, reader, columns)
    report = tmp_path / "report"
    call = ["compare-readings", str(tmp_path / "studies"), "-o", str(report)]
    for _ in range(2):
        done = CliRunner().invoke(main, call)
        assert done.exit_code == 0, done.output
    rows = [*csv.DictReader((tmp_path / "report.csv").read_text(encoding="utf-8").splitlines())]
    edv = [float(r["value"]) for r in rows if (r["first"], r["name"]) == ("Anna", "LV EDV")]
    limits = [np.mean(edv) + sign * 1.96 * np.std(edv, ddof=1) for sign in (-1, 1)]
    text = Page((tmp_path / "report.html").read_text(encoding="utf-8")).text
    assert f"{np.mean(edv):+.1f}" in text
    for limit in limits:
        assert f"{limit:+.1f}".replace("-", "−") in text
    assert "Ben <b>" in text
    (tmp_path / "report.csv").write_text("mine")
    done = CliRunner().invoke(main, call)
    assert done.exit_code == 1
    assert (tmp_path / "report.csv").read_text() == "mine"


def test_page_of_a_study_lies_next_to_its_readings(folder: Path) -> None:
    read(folder, "Anna", 1)
    page = compare_study(folder)
    assert page.parent == folder / READINGS
    assert "LV EF" in page.read_text(encoding="utf-8")
    assert compare_study(folder) == page


def test_volume_without_phases_is_compared(tmp_path: Path) -> None:
    folder = make_cine(tmp_path / "still", phases=(None,))
    open_reading(folder, "Anna")
    study = read_study(folder)
    labels = np.where(study.prediction == MYO, LV, study.prediction)
    save_work(folder, labels, study.info.geometry, replace(study.review, finished=True))
    keep_finished(folder)
    found = {d[3:7]: d.value for d in compare_readings(folder).differences}
    added = int((study.prediction == MYO).sum()) * ML
    assert found["number", "LV volume", "", ""] == pytest.approx(added)
    assert found["dice", "RV", "", "whole"] == 1
    assert found["dice", "MYO", "", "whole"] == 0


def test_patients_with_one_case_name_are_told_apart(tmp_path: Path) -> None:
    for number, patient in enumerate(("a", "b"), start=1):
        folder = make_cine(tmp_path / patient / "heart")
        read(folder, "Anna", number)
    assert {d.study for d in compare_readings(tmp_path).differences} == {"a/heart", "b/heart"}
