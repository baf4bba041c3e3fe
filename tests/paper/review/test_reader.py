"""Tests of a whole review by a simulated reader, and of its report."""

from __future__ import annotations

import csv
import gc
import io
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.evaluation.references import REFERENCE_GRID
from napari_bayes_nnunet.paper.review.queue import SLICES, evaluate_queue, queue_text
from napari_bayes_nnunet.paper.review.reader import (
    ACTIONS,
    ERRORS,
    MOST_FIRST,
    ORACLE,
    ORDERS,
    QUEUE,
    REVIEWED_NUMBERS,
    ReaderEvaluation,
    check_reader_report,
    curves_csv,
    evaluate_reader,
    reader_text,
    tools_csv,
    write_reader_report,
)
from napari_bayes_nnunet.paper.review.simulated_reader import Tool

from ...helpers.checks.problems import says
from .test_queue import STRUCTURES, doubtful, reference, write, write_reference


def whole(labels: np.ndarray) -> np.ndarray:
    """Return labels with a myocardium next to the LV, so that there is a mass."""
    labels[:, 4:10, 11] = STRUCTURES["MYO"]
    labels[:, 4:10, 2:5] = STRUCTURES["RV"]
    return labels


@pytest.fixture(scope="module")
def folders(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Two patients with ED and ES; what the references have, some members see."""
    folder = tmp_path_factory.mktemp("reader")
    for patient in ("p1", "p2"):
        for case, (place, top) in {"frame01": (4, None), "frame09": (2, 6)}.items():
            members = [whole(m) for m in doubtful(place)]
            right = whole(reference(place))
            for labels in (*members, right):
                if top is not None:  # a smaller LV at end-systole
                    labels[:, 4:top, 5:11] = 0
            write(folder / "studies", f"{patient}_{case}", {None: members})
            write_reference(folder / "labels" / f"{patient}_{case}.nii.gz", right)
    return folder / "studies", folder / "labels"


@pytest.fixture(scope="module")
def evaluation(folders: tuple[Path, Path]) -> ReaderEvaluation:
    return drain(evaluate_reader(*folders))


def curves(evaluation: ReaderEvaluation, order: str):
    return evaluation.curves[order]


def test_studies_of_other_patients_are_not_kept_in_memory(folders):
    of_one_patient_and_the_next_study = 3
    gc.collect()
    before = posteriors_in_memory()
    kept = [posteriors_in_memory() - before for _ in evaluate_reader(*folders)]
    assert max(kept) <= of_one_patient_and_the_next_study


def posteriors_in_memory() -> int:
    return sum(type(thing) is StoredPosterior for thing in gc.get_objects())


def test_wrong_reference_is_refused_before_the_first_patient(tmp_path):
    for patient in ("p1", "p2"):
        write(tmp_path / "studies", f"{patient}_frame01", {None: doubtful(4)})
    write_reference(tmp_path / "labels" / "p1_frame01.nii.gz", reference(4))
    write_reference(tmp_path / "labels" / "p2_frame01.nii.gz", reference(4)[1:])
    with pytest.raises(DataError, check=says(REFERENCE_GRID)):
        next(evaluate_reader(tmp_path / "studies", tmp_path / "labels"))


def test_studies_of_a_patient_need_not_be_neighbours(tmp_path):
    for case in ("a_1", "b_1", "c_1"):
        write(tmp_path / "studies", case, {None: doubtful(4)})
        write_reference(tmp_path / "labels" / f"{case}.nii.gz", reference(4))
    table = "case,patient\na_1,p\nb_1,q\nc_1,p\n"
    (tmp_path / "labels" / "groups.csv").write_text(table)
    steps = [*evaluate_reader(tmp_path / "studies", tmp_path / "labels")]
    assert [(step.done, step.total, step.case) for step in steps] == [(1, 2, "p"), (2, 2, "q")]


def test_volumes_of_a_patient_are_reviewed_together(evaluation):
    assert (evaluation.patients, evaluation.volumes, evaluation.slices) == (2, 4, 24)
    assert evaluation.gross > 0
    assert evaluation.notes == ()


def test_errors_fall_with_actions_until_none_is_left(evaluation):
    for order in ORDERS:
        shares = [estimate.value for estimate in curves(evaluation, order)["gross_left"]]
        assert shares[0] == 1
        assert shares[-1] == 0
        assert shares == sorted(shares, reverse=True)
        dice = [estimate.value for estimate in curves(evaluation, order)["dice"]]
        assert dice[-1] == 1 > dice[0]
    assert evaluation.actions.value == 12 + 2  # every slice accepted, two corrected


def test_queue_finds_the_errors_before_slice_order(evaluation):
    after_five = {order: curves(evaluation, order)["gross_left"][1].value for order in ORDERS}
    assert after_five[QUEUE] == after_five[MOST_FIRST] == 0
    assert after_five[SLICES] > 0


def test_numbers_of_ed_and_es_become_right(evaluation):
    for name in REVIEWED_NUMBERS:
        errors = [estimate.value for estimate in curves(evaluation, QUEUE)[ERRORS[name]]]
        assert errors[-1] == pytest.approx(0)
    assert curves(evaluation, QUEUE)[ERRORS["LV EF"]][0].value > 0


def test_one_action_in_the_first_slices_removes_all(evaluation):
    assert evaluation.one_action.value == 1
    use = {use.tool: use for use in evaluation.tools}
    assert sum(u.removed for u in use.values()) == evaluation.gross
    assert sum(u.actions for u in use.values()) == 4
    assert use[Tool.LEVEL].alone is not None
    assert use[Tool.REDRAW].alone is None


def test_tables_have_all_points_and_tools(evaluation):
    rows = list(csv.DictReader(io.StringIO(curves_csv(evaluation))))
    assert [(row["order"], int(row["actions"])) for row in rows] == [
        (order, actions) for order in ORDERS for actions in ACTIONS
    ]
    assert float(rows[0]["gross_left"]) == 1
    assert float(rows[0]["LV EF error, points"]) >= 0
    assert rows[0]["LV EF error, points_low"] == "nan"  # two patients
    tools = list(csv.DictReader(io.StringIO(tools_csv(evaluation))))
    assert [row["tool"] for row in tools] == [tool.value for tool in Tool]
    assert tools[-1]["one_action"] == ""


def test_report_is_written_and_replaced_only_by_itself(evaluation, tmp_path):
    check_reader_report(tmp_path / "reader.csv")
    files = write_reader_report(evaluation, tmp_path / "reader.csv")
    tables = ["reader.csv", "reader_tools.csv", "reader_stop.csv", "reader_intervals.csv"]
    assert [file.name for file in files] == [*tables, "reader.png"]
    assert all(file.stat().st_size > 0 for file in files)
    check_reader_report(tmp_path / "reader")
    (tmp_path / "reader_tools.csv").write_text("mine")
    with pytest.raises(AppError):
        check_reader_report(tmp_path / "reader")


def test_report_that_cannot_be_written_is_refused(evaluation, tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(DataError, check=says(file=tmp_path / "file" / "report.csv")):
        write_reader_report(evaluation, tmp_path / "file" / "report")
    with pytest.raises(AppError, check=says(folder=tmp_path / "file")):
        check_reader_report(tmp_path / "file" / "new" / "report")


def test_summary_says_that_the_reader_is_an_oracle(evaluation):
    lines = reader_text(evaluation).splitlines()
    assert ORACLE in lines
    assert str(evaluation.gross) in lines[0]


def test_patient_with_one_volume_has_no_ejection_fraction(tmp_path):
    write(tmp_path / "studies", "p1_frame01", {None: doubtful(4)})
    write_reference(tmp_path / "labels" / "p1_frame01.nii.gz", reference(4))
    alone = drain(evaluate_reader(tmp_path / "studies", tmp_path / "labels"))
    assert np.isnan(curves(alone, QUEUE)[ERRORS["LV EF"]][0].value)
    assert curves(alone, QUEUE)["gross_left"][-1].value == 0
    assert "nan" not in reader_text(alone)


def test_summary_without_gross_errors_has_no_shares(tmp_path):
    write(tmp_path / "studies", "p1_frame01", {None: [reference(4)] * 2})
    write_reference(tmp_path / "labels" / "p1_frame01.nii.gz", reference(4))
    right = drain(evaluate_reader(tmp_path / "studies", tmp_path / "labels"))
    assert right.gross == 0
    assert "nan" not in reader_text(right)
    assert "nan" not in queue_text(evaluate_queue(tmp_path / "studies", tmp_path / "labels"))


def test_patient_without_any_structure_has_no_dice(tmp_path):
    empty = np.zeros_like(reference(4))
    write(tmp_path / "studies", "p1_frame01", {None: [empty, empty]})
    write_reference(tmp_path / "labels" / "p1_frame01.nii.gz", empty)
    alone = drain(evaluate_reader(tmp_path / "studies", tmp_path / "labels"))
    assert np.isnan(curves(alone, QUEUE)["dice"][0].value)
