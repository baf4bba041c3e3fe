"""Evaluation on request: arguments, preview, run and report files."""

from __future__ import annotations

from pathlib import Path

import click
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.evaluation.request import (
    DRAWING,
    MAKING,
    WRITING,
    EvaluationRequest,
    existing_files,
    preview_evaluation,
    run_evaluation,
)
from napari_bayes_nnunet.cli.evaluate import evaluate_command
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError

from ...helpers.data.evaluations import answer, heart, name_labels, write_answer, write_reference


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


def test_arguments_are_those_of_the_command(request_, tmp_path):
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


def test_preview_counts_cases_labels_and_patients(request_, tmp_path):
    write_answer(tmp_path / "other", "p1_frame01", answer(1))
    write_answer(tmp_path / "other", "p3_frame01", answer(1))
    found = preview_evaluation(request_)
    assert (found.cases, found.labelled, found.patients) == (("p1_frame01", "p2_frame01"), 2, 2)
    both = {"multi": tmp_path / "multi", "other": tmp_path / "other"}
    assert preview_evaluation(changed(request_, methods=both)).cases == ("p1_frame01",)
    assert preview_evaluation(changed(request_, patient="^(p)")).patients == 1


def test_preview_refuses_what_would_fail(request_, tmp_path):
    write_answer(tmp_path / "other", "q", answer(1))
    (tmp_path / "file").write_text("")
    two = {"multi": tmp_path / "multi", "other": tmp_path / "other"}
    same = {"multi": tmp_path / "multi", "again": tmp_path / "other" / ".." / "multi"}
    gone, empty = tmp_path / "gone", tmp_path / "new_labels"
    empty.mkdir()
    scored = tmp_path / "scored"
    scored.mkdir()
    (scored / "summary.json").write_text('{"foreground_mean": {}}')  # of nnUNetv2_evaluate_folder
    for changes, values in (
        ({"labels": gone}, {"folder": gone, "contents": "reference labels"}),
        ({"images": gone}, {"folder": gone, "contents": "images"}),
        ({"methods": two}, {"methods": "multi and other"}),
        ({"methods": same}, {"first": "multi", "second": "again"}),
        ({"labels": empty}, {"labels": empty, "case": "p1_frame01"}),
        ({"report": tmp_path / "file"}, {"folder": tmp_path / "file"}),
        ({"report": tmp_path / "labels"}, {"contents": "reference labels"}),
        ({"report": tmp_path, "images": tmp_path}, {"contents": "images"}),
        ({"report": scored}, {"file": "summary.json", "folder": scored}),
    ):
        with pytest.raises((AppError, DataError)) as caught:
            preview_evaluation(changed(request_, **changes))
        assert caught.value.values.items() >= values.items()
    assert caught.value.remedies == (Remedy(Action.OTHER_OUTPUT),)
    with pytest.raises(DataError, match="gone"):
        preview_evaluation(changed(request_, methods={"gone": gone}))


def test_nothing_is_written_before_the_end(request_):
    words = []

    def note(stage):
        words.append(stage.case)
        assert not request_.report.exists()

    outcome = drain(run_evaluation(request_), note)
    assert words == [
        *("p1_frame01", "p2_frame01"),
        *(DRAWING, MAKING, WRITING),
    ]
    assert outcome.page == request_.report / "report.html"
    assert {file.name for file in request_.report.iterdir()} == {
        *("report.html", "cases.csv", "summary.json"),
    }
    assert existing_files(request_.report)[0] == outcome.page
    assert existing_files(request_.labels) == []
    preview_evaluation(request_)  # an earlier report may be replaced


def test_report_that_cannot_be_written_is_refused(request_, tmp_path):
    steps = run_evaluation(request_)
    for stage in steps:
        if stage.case == WRITING:
            (tmp_path / "new").write_text("")
            break
    with pytest.raises(DataError) as caught:
        next(steps)
    assert caught.value.values["file"] == request_.report / "cases.csv"
