"""Messages of a cohort in a terminal."""

from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.app.cohort.terminal_output import (
    CohortText,
    StudyCounts,
    describe_cohort,
)
from napari_bayes_nnunet.app.messages import JobEnded, StageStarted, StudyDone
from napari_bayes_nnunet.core.problems import Action, Remedy
from napari_bayes_nnunet.io.search.studies import FoundStudies, StudyInput


def study(number: int, kind: str = "NIfTI") -> StudyInput:
    return StudyInput(kind=kind, paths=(Path("p"),), folder="a", case=f"heart{number}")


def test_list_names_some_and_counts_all_studies():
    inputs = (*map(study, range(1, 23)), study(23, "DICOM"))
    lines = describe_cohort(FoundStudies(inputs, ("Labels: 7",))).splitlines()
    assert lines[0].endswith("23 studies: 22 NIfTI, 1 DICOM")
    assert lines[1] == "   1  NIfTI  a/heart1"
    assert lines[20] == "  20  NIfTI  a/heart20"
    assert lines[21:] == ["  … and 3 more", "Left out: Labels: 7"]


def test_single_study_is_listed():
    first, second = describe_cohort(FoundStudies((study(1),))).splitlines()
    assert first.endswith("1 study: 1 NIfTI")
    assert second == "  1  NIfTI  a/heart1"


def done(outcome: str = "done", **changes: Any) -> StudyDone:
    return StudyDone(**{"case": "a", "outcome": outcome, "done": 1, "total": 3} | changes)


def test_counts_say_how_a_run_ended():
    counts = StudyCounts()
    counts.total = 3
    counts.add(done())
    assert "1 of 3 studies." in counts.finished
    counts.add(done("failed", done=2))
    assert "1 of 3 studies, 1 failed." in counts.finished
    assert counts.stopped.values == {"summary": counts.finished}
    assert counts.stopped.remedies == (Remedy(Action.CONTINUE),)


def test_without_a_terminal_each_study_is_a_line(capsys, tmp_path):
    view = CohortText(tmp_path)
    view.show(StageStarted(text="Starting"))
    view.show(done(eta_seconds=120.0))
    view.show(done("failed", text="It is broken.", done=2))
    view.show(JobEnded(outcome="finished", text="All."))
    said = capsys.readouterr()
    assert said.err.splitlines() == [
        "Starting…", "1 of 3 studies, 2 min left", "a: It is broken.", "2 of 3 studies",
    ]  # fmt: skip
    assert said.out == f"All. Summary: {tmp_path / 'cohort.html'}\n"


@pytest.mark.parametrize(("outcome", "said"), [("stopped", "Text.\n"), ("failed", "")])
def test_an_error_is_left_to_the_command_line(capsys, tmp_path, outcome, said):
    CohortText(tmp_path).show(JobEnded(outcome=outcome, text="Text."))
    assert capsys.readouterr() == ("", said)
