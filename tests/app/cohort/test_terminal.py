"""Sentences on a cohort in a terminal."""

from pathlib import Path
from typing import Any

from napari_bayes_nnunet.app.cohort.terminal import describe_cohort, ending
from napari_bayes_nnunet.app.messages import StudyDone
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


def test_the_ending_counts_the_studies():
    assert "1 of 3 studies." in str(ending([done()], 3, stopped=False))
    both = [done(), done("failed", done=2)]
    assert "1 of 3 studies, 1 failed." in str(ending(both, 3, stopped=False))
    stopped = ending(both, 3, stopped=True)
    assert stopped.values == {"summary": ending(both, 3, stopped=False)}
    assert stopped.remedies == (Remedy(Action.CONTINUE),)
