"""What a run over many studies says before it begins."""

from pathlib import Path

from napari_bayes_nnunet.app.cohort.terminal_output import CohortLines, found_text
from napari_bayes_nnunet.app.messages import JobEnded, StudyDone, from_line
from napari_bayes_nnunet.io.search.studies import FoundStudies, StudyInput


def study(number: int, kind: str = "NIfTI") -> StudyInput:
    return StudyInput(kind=kind, paths=(Path("p"),), folder="a", case=f"heart{number}")


def test_some_are_named_and_all_are_counted():
    inputs = (*map(study, range(1, 23)), study(23, "DICOM"))
    lines = found_text(FoundStudies(inputs, ("Labels: 7",))).splitlines()
    assert lines[0] == "Found 23 studies: 22 NIfTI, 1 DICOM"
    assert lines[1] == "   1  NIfTI  a/heart1"
    assert lines[20] == "  20  NIfTI  a/heart20"
    assert lines[21:] == ["  … and 3 more", "Left out: Labels: 7"]


def test_one_study():
    assert found_text(FoundStudies((study(1),))) == "Found 1 study: 1 NIfTI\n  1  NIfTI  a/heart1"


def test_a_stopped_run_says_how_it_goes_on(capsys):
    view = CohortLines()
    view.show_found(FoundStudies((study(1), study(2), study(3))))
    view.show_study(StudyDone(case="a", outcome="done", done=1, total=3))
    view.show_study(StudyDone(case="b", outcome="failed", done=2, total=3))
    view.show_stopped()
    last = from_line(capsys.readouterr().out.splitlines()[-1])
    assert last == JobEnded(
        outcome="stopped",
        text="Stopped: 1 of 3 studies are segmented, 1 failed. The same command with --continue "
        "goes on.",
    )
