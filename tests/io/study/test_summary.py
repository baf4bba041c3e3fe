"""List of the studies in a folder, worst first."""

from __future__ import annotations

import os
from pathlib import Path
from typing import Any

import pytest

from napari_bayes_nnunet.io.images.nifti import write_labels
from napari_bayes_nnunet.io.study.info import write_study_info
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, write_review
from napari_bayes_nnunet.io.study.study import read_study, save_work
from napari_bayes_nnunet.io.study.summary import list_studies, summarise_study

from ...helpers.data.studies import VOLUME, made_info, made_report, make_study
from ...helpers.processes.small_disk import hide_files


def make(folder: Path, dice: float | None, **changes: Any) -> Path:
    """Write only the JSON file of a study, as no other file is read."""
    folder.mkdir(parents=True)
    info = made_info(None, case=folder.name, reports={None: made_report(dice, **changes)})
    write_study_info(folder, info)
    return folder


def test_the_worst_comes_first_in_all_folders(tmp_path):
    make(tmp_path / "good", 0.95)
    make(tmp_path / "clinic" / "bad", 0.4)
    make(tmp_path / "clinic" / "day 2" / "fair", 0.7)
    make(tmp_path / "unknown", None)
    make(tmp_path / "fair too", 0.7)
    (tmp_path / "empty").mkdir()
    studies = list_studies(tmp_path)
    assert [s.case for s in studies] == ["bad", "fair", "fair too", "good", "unknown"]
    assert [s.quality for s in studies][::3] == [pytest.approx(0.4), pytest.approx(0.95)]
    assert studies[0].folder == tmp_path / "clinic" / "bad"


def test_studies_and_hidden_folders_are_not_searched(tmp_path):
    make(tmp_path / "one", 0.9)
    make(tmp_path / "one" / "posterior" / "inner", 0.9)
    make(tmp_path / ".trash" / "old", 0.9)
    for folder in (tmp_path, tmp_path / "one"):
        assert [s.case for s in list_studies(folder)] == ["one"]


def test_a_summary_has_progress_and_warnings(tmp_path):
    folder = make(tmp_path / "one", 0.9, warnings=["LV: 400 mL"])
    accepted, flagged = Decision(state="accepted"), Decision(state="flagged")
    decisions = {(None, 0): accepted, (None, 2): flagged, (None, 3): accepted}
    (folder / "edited.nii.gz").touch()
    write_review(folder, ReviewState(decisions=decisions, finished=True))
    summary = summarise_study(folder)
    assert (summary.reviewed, summary.flagged, summary.slices) == (3, 1, 4)
    assert summary.finished
    assert summary.warnings == ("LV: 400 mL",)
    assert summary.problem is None


def test_list_says_no_more_than_the_opened_study(tmp_path):
    """After a kill between labels and decisions, and without the labels."""
    folder = make_study(tmp_path / "cut")
    decisions = dict.fromkeys([(None, z) for z in range(3)], Decision(state="accepted"))
    decisions[None, 0] = Decision(state="accepted", edited=True)
    labels = read_study(folder).edited
    save_work(folder, labels, VOLUME, ReviewState(decisions=decisions, finished=True))
    assert (summarise_study(folder).flagged, summarise_study(folder).finished) == (0, True)
    labels[1] = 3
    write_labels(folder / "edited.nii.gz", labels, VOLUME)
    os.utime(folder / "review.json", ns=(0, 0))
    assert (summarise_study(folder).flagged, summarise_study(folder).finished) == (1, False)
    (folder / "edited.nii.gz").unlink()
    summary, review = summarise_study(folder), read_study(folder).review
    assert summary.flagged == review.count("flagged") > 0
    assert not summary.finished


def test_unreadable_studies_come_first_with_reasons(tmp_path):
    make(tmp_path / "good", 0.9)
    (make(tmp_path / "cut", 0.9) / "study.json").write_text('{"format"')
    (make(tmp_path / "damaged", 0.9) / "review.json").write_text("")
    cut, damaged, good = list_studies(tmp_path)
    assert cut.case == "cut"
    for study, file in ((cut, "study.json"), (damaged, "review.json")):
        assert study.problem.values.keys() == {"file", "repair"}  # not unreadable, not newer
        assert study.problem.values["file"] == study.folder / file
    assert good.problem is None


def test_a_folder_that_cannot_be_entered(tmp_path, monkeypatch):
    closed = make(tmp_path / "closed", 0.9)
    make(tmp_path / "open", 0.9)
    hide_files(monkeypatch, closed / "study.json")
    first, second = list_studies(tmp_path)
    assert "Permission denied" in str(first.problem)
    assert second.problem is None


def test_empty_and_missing_folders_have_no_studies(tmp_path):
    assert list_studies(tmp_path) == []
    assert list_studies(tmp_path / "gone") == []
