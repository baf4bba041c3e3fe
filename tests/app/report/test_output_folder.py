"""Folders that results and reports are not written into."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.report.output_folder import (
    FOREIGN_FILE,
    OUTPUT_IS_INPUT,
    refuse_folder_of_inputs,
    refuse_foreign_files,
    removing_if_empty,
    report_files,
)
from napari_bayes_nnunet.core.problems import Action, Remedy

from ...helpers.small_disk import second_path

TABLES = {"cases.csv": "method,case", "summary.json": "{"}


def test_folder_of_the_inputs_is_refused(tmp_path: Path) -> None:
    inputs = {"images": tmp_path / "a", "reference labels": None}
    refuse_folder_of_inputs(tmp_path / "a" / "report", inputs)
    (tmp_path / "link").symlink_to(tmp_path / "a")
    for output in (tmp_path / "a", tmp_path / "b" / ".." / "a", tmp_path / "link"):
        with pytest.raises(AppError) as caught:
            refuse_folder_of_inputs(output, inputs)
        assert caught.value.statement.template == OUTPUT_IS_INPUT
        assert caught.value.values == {"folder": output, "contents": "images"}
        assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)


def test_cases_of_a_dataset_are_refused(tmp_path: Path) -> None:
    refuse_folder_of_inputs(tmp_path / "labelsTr", {})
    (tmp_path / "dataset.json").write_text("{}")
    refuse_folder_of_inputs(tmp_path / "predictions", {})
    for name in ("imagesTr", "labelsTr", "imagesTs", "labelsTs"):
        with pytest.raises(AppError):
            refuse_folder_of_inputs(tmp_path / name, {})


def test_inputs_at_another_path_are_refused(tmp_path: Path) -> None:
    (tmp_path / "labelsTr").mkdir()
    (tmp_path / "dataset.json").write_text("{}")
    with second_path(tmp_path / "labelsTr") as output:
        for inputs in ({"images": tmp_path / "labelsTr"}, {}):
            with pytest.raises(AppError) as caught:
                refuse_folder_of_inputs(output, inputs)
            assert caught.value.statement.template == OUTPUT_IS_INPUT


@pytest.mark.parametrize("has_content", [False, True])
@pytest.mark.parametrize("exists", [False, True])
def test_new_folder_left_empty_is_removed(tmp_path: Path, exists: bool, has_content: bool) -> None:
    output = tmp_path / "results" / "out"
    lock = output / "lock"
    if exists:
        output.mkdir(parents=True)
    with pytest.raises(KeyError), removing_if_empty(output, lock):
        output.mkdir(parents=True, exist_ok=True)
        lock.touch()
        if has_content:
            (output / "file").touch()
        raise KeyError
    assert output.exists() == lock.exists() == (exists or has_content)
    assert output.parent.exists() == (exists or has_content)
    assert tmp_path.exists()


def test_files_of_others_are_not_replaced(tmp_path: Path) -> None:
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


def test_report_written_on_windows_is_replaced(tmp_path: Path) -> None:
    (tmp_path / "summary.json").write_bytes(b'{\r\n "interval": 0.95\r\n}\r\n')
    refuse_foreign_files(tmp_path, {"summary.json": '{\n "interval": '}, [])


@pytest.mark.parametrize("report", [".", "..", "/", "results/.."])
def test_report_needs_a_name(report: str) -> None:
    with pytest.raises(AppError) as caught:
        report_files(Path(report), ".csv", ".png")
    assert caught.value.values["folder"] == Path(report)
    assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)
