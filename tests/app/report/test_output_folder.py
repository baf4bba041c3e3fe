"""Folders that results and reports are not written into."""

from __future__ import annotations

from functools import partial
from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.evaluation.output_files import check_report_folder
from napari_bayes_nnunet.app.report.output_folder import (
    FOREIGN_FILE,
    FOREIGN_SETTINGS,
    OUTPUT_IS_INPUT,
    refuse_folder_of_inputs,
    refuse_foreign_files,
    report_files,
)
from napari_bayes_nnunet.app.training.job import prepare_job
from napari_bayes_nnunet.app.training.request import TrainingRequest
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.paper.review.queue import check_queue_report
from napari_bayes_nnunet.paper.review.reader import check_reader_report
from napari_bayes_nnunet.paper.trajectory.output_files import check_trajectory_report

from ...helpers.checks.problems import says
from ...helpers.processes.small_disk import second_path

TABLES = {"cases.csv": "method,case", "summary.json": "{"}


def test_folder_of_the_inputs_is_refused(tmp_path) -> None:
    inputs = {"images": tmp_path / "a", "reference labels": None}
    refuse_folder_of_inputs(tmp_path / "a" / "report", inputs)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for output in (tmp_path / "a", tmp_path / "b" / ".." / "a", tmp_path / "link"):
        with pytest.raises(AppError) as caught:
            refuse_folder_of_inputs(output, inputs)
        assert caught.value.statement.template == OUTPUT_IS_INPUT
        assert caught.value.values == {"folder": output, "contents": "images"}
        assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)


def test_cases_of_a_dataset_are_refused(tmp_path) -> None:
    refuse_folder_of_inputs(tmp_path / "labelsTr", {})
    (tmp_path / "dataset.json").write_text("{}")
    refuse_folder_of_inputs(tmp_path / "predictions", {})
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        with pytest.raises(AppError):
            refuse_folder_of_inputs(tmp_path / name, {})


@pytest.mark.parametrize(
    "check",
    [
        partial(check_report_folder, labels=Path("labels"), images=None),
        check_queue_report,
        check_reader_report,
        check_trajectory_report,
        lambda report: prepare_job(
            TrainingRequest(dataset=Path("dataset"), output=report)
        ).__enter__(),
    ],
)
def test_settings_in_the_current_folder_are_refused(check, tmp_path, monkeypatch) -> None:
    (tmp_path / "matplotlibrc").write_text("text.usetex: True")
    monkeypatch.chdir(tmp_path)
    with pytest.raises(AppError, check=says(FOREIGN_SETTINGS)):
        check(Path("report"))


def test_inputs_at_another_path_are_refused(tmp_path) -> None:
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "dataset.json").write_text("{}")
    with second_path(tmp_path / "labelsTr") as output:
        for inputs in ({"images": tmp_path / "labelsTr"}, {}):
            with pytest.raises(AppError, check=says(OUTPUT_IS_INPUT)):
                refuse_folder_of_inputs(output, inputs)


def test_files_of_others_are_not_replaced(tmp_path) -> None:
    def refused() -> str:
        with pytest.raises(AppError) as caught:
            refuse_foreign_files(tmp_path, TABLES, ["report.html"])
        assert caught.value.statement.template == FOREIGN_FILE
        return str(caught.value.values["file"])

    refuse_foreign_files(tmp_path / "new", TABLES, ["report.html"])
    (tmp_path / "report.html").touch()
    assert refused() == "report.html"  # ours is written after the tables
    (tmp_path / "cases.csv").write_text("case,age\n")
    assert refused() == "report.html"
    (tmp_path / "summary.json").write_text("{}")
    assert refused() == "cases.csv"
    (tmp_path / "cases.csv").write_text("method,case,patient\n")
    refuse_foreign_files(tmp_path, TABLES, ["report.html"])
    (tmp_path / "summary.json").unlink()
    (tmp_path / "summary.json").mkdir()
    assert refused() == "summary.json"


def test_report_written_on_windows_is_replaced(tmp_path) -> None:
    (tmp_path / "summary.json").write_bytes(b'{\r\n "interval": 0.95\r\n}\r\n')
    refuse_foreign_files(tmp_path, {"summary.json": '{\n "interval": '}, [])


@pytest.mark.parametrize("report", [".", "..", "/", "results/.."])
def test_report_needs_a_name(report) -> None:
    with pytest.raises(AppError) as caught:
        report_files(Path(report), ".csv", ".png")
    assert caught.value.values["folder"] == Path(report)
    assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)
