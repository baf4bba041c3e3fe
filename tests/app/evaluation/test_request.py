"""An evaluation from its folders: what is asked for, looked at before, and left behind."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.evaluation.request import (
    EvaluationRequest,
    files_there,
    main_table,
    preview,
    reliability_pictures,
    run,
)
from napari_bayes_nnunet.cli.evaluate import evaluate_command
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError

from ...helpers.evaluations import (
    answer,
    heart,
    made_method,
    name_labels,
    other_method,
    write_answer,
    write_reference,
)


@pytest.fixture
def request_(tmp_path: Path) -> EvaluationRequest:
    for n in (1, 2):
        write_answer(tmp_path / "multi", f"p{n}_frame01", answer(n))
        write_reference(tmp_path / "labels", f"p{n}_frame01", heart())
    name_labels(tmp_path / "labels")
    return EvaluationRequest(
        methods={"multi": tmp_path / "multi"},
        labels=tmp_path / "labels",
        report=tmp_path / "new" / "report",
    )


def changed(request: EvaluationRequest, **changes: object) -> EvaluationRequest:
    return EvaluationRequest(**(request.__dict__ | changes))


def test_the_arguments_are_those_of_the_command_line(request_, tmp_path):
    both = {"A = b": tmp_path / "multi", "-x": tmp_path / "other"}
    request = changed(request_, methods=both, images=tmp_path, patient="^(p)")
    found = evaluate_command.make_context("evaluate", request.arguments).params
    assert found == {
        "predictions": tmp_path / "multi",
        "labels": request.labels,
        "output": request.report,
        "name": "A = b",
        "compare": (f"-x={tmp_path}/other",),
        "patient": "^(p)",
        "images": tmp_path,
    }
    plain = evaluate_command.make_context("evaluate", request_.arguments).params
    assert (plain["compare"], plain["patient"], plain["images"]) == ((), None, None)
    assert isinstance(evaluate_command, click.Command)


def test_a_preview_counts_cases_labels_and_patients(request_, tmp_path):
    write_answer(tmp_path / "other", "p1_frame01", answer(1))
    write_answer(tmp_path / "other", "p3_frame01", answer(1))
    found = preview(request_)
    assert (found.cases, found.labelled, found.patients) == (("p1_frame01", "p2_frame01"), 2, 2)
    both = {"multi": tmp_path / "multi", "other": tmp_path / "other"}
    assert preview(changed(request_, methods=both)).cases == ("p1_frame01",)
    assert preview(changed(request_, patient="^(p)")).patients == 1


@pytest.mark.parametrize("name", ["p1_gt", "p1", "p1_frame01_gt"])
def test_references_are_found_as_the_evaluation_finds_them(request_, tmp_path, name):
    write_reference(tmp_path / "refs", name, heart())
    assert preview(changed(request_, labels=tmp_path / "refs")).labelled == 1


def test_what_would_fail_is_said_at_once(request_, tmp_path):
    write_answer(tmp_path / "other", "q", answer(1))
    (tmp_path / "file").write_text("")
    two = {"multi": tmp_path / "multi", "other": tmp_path / "other"}
    same = {"multi": tmp_path / "multi", "again": tmp_path / "other" / ".." / "multi"}
    for changes, sentence in (
        ({"methods": {"gone": tmp_path / "gone"}}, "gone is no folder"),
        ({"labels": tmp_path / "gone"}, "should hold the reference labels"),
        ({"images": tmp_path / "gone"}, "should hold the images"),
        ({"methods": two}, "multi and other have no case in common"),
        ({"methods": same}, "multi and again are the same folder"),
        ({"labels": tmp_path / "multi"}, "are the same folder"),
        ({"labels": tmp_path / "new_labels"}, "No labels in"),
        ({"report": tmp_path / "file"}, "file is no folder: choose another one for the report."),
    ):
        (tmp_path / "new_labels").mkdir(exist_ok=True)
        with pytest.raises((AppError, DataError), match=sentence):
            preview(changed(request_, **changes))


def test_nothing_is_written_before_the_end(request_):
    words = []

    def note(stage):
        words.append(stage.words)
        assert not request_.report.exists()

    outcome = drain(run(request_), note)
    assert words == [
        *("1 of 2: p1_frame01", "2 of 2: p2_frame01"),
        *("Drawing the pictures", "Making the report", "Writing the report"),
    ]
    assert outcome.page == request_.report / "report.html"
    assert {file.name for file in request_.report.iterdir()} == {
        *("report.html", "cases.csv", "summary.json"),
    }
    assert files_there(request_.report)[0] == outcome.page
    assert files_there(request_.labels) == []


def test_a_report_that_cannot_be_written_is_one_sentence(request_, tmp_path):
    steps = run(request_)
    for stage in steps:
        if stage.words == "Writing the report":
            (tmp_path / "new").write_text("")
            break
    with pytest.raises(AppError, match="report cannot be used as a folder for the report"):
        next(steps)


def test_the_main_table_is_dice_and_the_pooled_error():
    table = main_table([made_method(), other_method()])
    assert table.heads == (("Dice", ("RV", "MYO", "LV")), ("Calibration error", ("ECE, %",)))
    assert [name for name, _ in table.rows] == ["multi", "vanilla"]


def test_each_diagram_has_the_colour_of_its_method():
    methods = [made_method(), other_method()]
    first, second = reliability_pictures(methods)
    (alone,) = reliability_pictures(methods[:1])
    (other,) = reliability_pictures(methods[1:])
    assert first == alone
    assert second != other  # alone it has the first colour
    assert int.from_bytes(first[16:20]) == int.from_bytes(second[16:20])
    bare = made_method(probabilities=None)
    assert len(list(reliability_pictures([bare, *methods]))) == 2
