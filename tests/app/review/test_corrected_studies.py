"""Only what a reader has looked at is trained on, and one bad study does not stop the others."""

from __future__ import annotations

import json
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.review import corrected_studies as module
from napari_bayes_nnunet.app.review.corrected_studies import (
    AddedStudies,
    CorrectedStudy,
    add_studies,
    add_study,
    find_corrected,
    open_slices,
    ready_phases,
    whole_queue,
)
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.core.types import Place
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dataset.raw_dataset import (
    patient_splits,
    read_dataset,
    read_splits,
    splits_to_json,
)
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, State
from napari_bayes_nnunet.io.study.study import read_study, save_work

from ...helpers.hearts import make_dataset
from ...helpers.studies import STRUCTURES, make_study

QUEUED = (0, 1, 2)
"""Slices on which the made models disagree; there is nothing in the last one."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Patients 001 to 003, two frames each."""
    return make_dataset(tmp_path / "data", patients=3)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


def decide(folder: Path, places: Iterable[Place], state: State = "accepted", **setup: Any) -> None:
    """Save decisions on slices, and how the review is set up."""
    study = read_study(folder)
    decisions = {place: Decision(state=state) for place in places}
    review = replace(study.review, decisions={**study.review.decisions, **decisions}, **setup)
    save_work(folder, study.edited, study.info.geometry, review)


def reviewed(folder: Path, **about: Any) -> Path:
    """A study of a volume in which all slices of the queue are accepted."""
    make_study(folder, case=folder.name, **about)
    decide(folder, [(None, z) for z in QUEUED])
    return folder


def session(folder: Path) -> ReviewSession:
    return ReviewSession(read_study(folder))


def left(folder: Path) -> dict[Any, int]:
    one = session(folder)
    return open_slices(one, whole_queue(one))


def added(*folders: Path, data: Path) -> AddedStudies:
    result: AddedStudies = drain(add_studies(folders, data))
    return result


# What is ready


def test_a_phase_is_ready_when_its_slices_in_the_queue_are_accepted(tmp_path) -> None:
    folder = make_study(tmp_path / "heart", phases=(2, 4), ed=4, es=2)
    assert left(folder) == {4: 3, 2: 3}
    decide(folder, [(4, z) for z in QUEUED] + [(2, 0)])
    assert left(folder) == {4: 0, 2: 2}
    assert ready_phases(left(folder)) == (4,)


def test_a_flagged_slice_keeps_its_phase_open_wherever_it_is(tmp_path) -> None:
    folder = reviewed(tmp_path / "heart")
    assert left(folder) == {None: 0}
    decide(folder, [(None, 3)], "flagged")
    assert left(folder) == {None: 1}
    decide(folder, [(None, 3)])
    assert left(folder) == {None: 0}


def test_phases_out_of_the_queue_are_not_looked_at(tmp_path) -> None:
    folder = make_study(tmp_path / "heart", phases=(1, 2, 4), ed=4, es=2)
    assert set(left(folder)) == {4, 2}
    decide(folder, [], all_phases=True)
    assert set(left(folder)) == {1, 2, 4}


def test_a_queue_that_was_narrowed_to_one_structure_does_not_count(tmp_path) -> None:
    """The slices in which only others are unsure were not looked at."""
    folder = make_study(tmp_path / "heart")
    decide(folder, [], structure="RV", score="mutual-information")
    one = session(folder)
    shown = one.queue(one.scores())
    decide(folder, [(item.phase, item.z) for item in shown])
    assert len(shown) < len(QUEUED)
    assert left(folder) == {None: len(QUEUED) - len(shown)}


def test_where_the_queue_names_nothing_every_slice_must_be_accepted(tmp_path) -> None:
    folder = reviewed(tmp_path / "heart")
    (folder / "posterior" / "volume.npz").unlink()
    assert left(folder) == {None: 1}
    decide(folder, [(None, 3)])
    assert left(folder) == {None: 0}


# Finding them


def test_the_studies_of_a_folder_are_found_the_ready_ones_first(studies) -> None:
    make_study(studies / "a new", case="a new")
    begun = make_study(studies / "deep" / "begun", case="begun", phases=(2, 4), ed=4, es=2)
    decide(begun, [(4, z) for z in QUEUED] + [(2, 1)])
    waiting = make_study(studies / "waiting", case="waiting")
    decide(waiting, [(None, 0)])
    reviewed(studies / "done")
    steps = find_corrected(studies)
    assert next(steps) == (0, 4)
    assert drain(steps) == [
        CorrectedStudy(folder=begun, case="begun", ready=(4,), open_slices={2: 2}),
        CorrectedStudy(folder=studies / "done", case="done", ready=(None,)),
        CorrectedStudy(folder=studies / "a new", case="a new"),
        CorrectedStudy(folder=waiting, case="waiting", open_slices={None: 2}),
    ]


def test_a_study_that_cannot_be_used_says_why_and_is_last(studies) -> None:
    reviewed(studies / "good")
    cut = reviewed(studies / "cut")
    (cut / "edited.nii.gz").write_bytes(b"cut")
    damaged = reviewed(studies / "damaged")
    (damaged / "review.json").write_text("{")
    found = drain(find_corrected(studies))
    assert [study.case for study in found] == ["good", "cut", "damaged"]
    assert "edited.nii.gz" in found[1].problem
    assert "review.json" in found[2].problem
    assert drain(find_corrected(studies / "good" / "posterior")) == []


def test_two_readings_of_one_case_are_not_taken(studies) -> None:
    one, other = studies / "A" / "heart", studies / "B" / "heart"
    for folder in (one, other):
        folder.parent.mkdir()
        reviewed(folder)
    found = {study.folder: study for study in drain(find_corrected(studies))}
    assert found[one].ready == found[other].ready == ()
    assert f"heart is also in {other}" in found[one].problem
    assert f"heart is also in {one}" in found[other].problem


def test_a_reading_that_was_not_begun_is_in_nobodys_way(studies) -> None:
    (studies / "A").mkdir()
    make_study(studies / "A" / "heart", case="heart")
    reviewed(studies / "heart")
    first, second = drain(find_corrected(studies))
    assert (first.ready, first.problem) == ((None,), "")
    assert (second.ready, second.problem) == ((), "")


# Adding them


def test_every_ready_phase_becomes_a_case_to_train_on(studies, data) -> None:
    splits = patient_splits([case.name for case in read_dataset(data).cases])
    (data / "splits_final.json").write_text(json.dumps(splits_to_json(splits)))
    folder = make_study(studies / "heart", phases=(1, 2, 4), ed=4, es=2)
    study = read_study(folder)
    labels = study.edited.copy()
    labels[3, 1, 3:6, 3:6] = STRUCTURES["RV"]
    accepted = Decision(state="accepted")
    review = ReviewState(ed=4, es=2, decisions={(4, z): accepted for z in QUEUED})
    save_work(folder, labels, study.info.geometry, review)
    assert add_study(folder, data) == ["heart_frame04"]
    dataset = read_dataset(data)
    case = next(c for c in dataset.cases if c.name == "heart_frame04")
    np.testing.assert_array_equal(read_labels(case.label).voxels, labels[3])
    image = read_volume(folder.parent / "heart_image.nii.gz")
    np.testing.assert_array_equal(read_volume(case.images[0]).voxels, image.voxels[3])
    (origin,) = dataset.corrections.values()
    assert origin.pop("added")
    assert origin == {"study": "heart", "phase": 4, "ensemble": "made", "method": "multi"}
    frozen = read_splits(data / "splits_final.json", [c.name for c in dataset.cases])
    assert all("heart_frame04" in split.train for split in frozen)
    assert not any("heart_frame04" in split.validation for split in frozen)


def test_labels_are_numbered_as_in_the_dataset(studies, tmp_path) -> None:
    other = {"background": 0, "LV": 1, "RV": 2, "MYO": 3}
    data = make_dataset(tmp_path / "other", patients=2, labels=other)
    folder = reviewed(studies / "heart")
    add_study(folder, data)
    there = read_labels(data / "labelsTr" / "heart.nii.gz").voxels
    edited = read_study(folder).edited
    for name, label in STRUCTURES.items():
        np.testing.assert_array_equal(there == other[name], edited == label)


def test_a_study_that_was_added_before_is_replaced(studies, data) -> None:
    folder = reviewed(studies / "heart")
    assert add_study(folder, data) == ["heart"]
    study = read_study(folder)
    labels = study.edited.copy()
    labels[0] = 0
    save_work(folder, labels, study.info.geometry, study.review)
    assert add_study(folder, data) == ["heart"]
    assert not read_labels(data / "labelsTr" / "heart.nii.gz").voxels[0].any()
    assert len(read_dataset(data).cases) == 7


def test_a_study_that_is_not_reviewed_is_not_taken(studies, data) -> None:
    folder = make_study(studies / "heart", phases=(2, 4), ed=4, es=2)
    decide(folder, [(2, 0)])
    with pytest.raises(AppError, match="phase 4 has 3 left, phase 2 has 2 left"):
        add_study(folder, data)
    volume = make_study(studies / "volume")
    with pytest.raises(AppError, match=r"^Accept all slices .*: the image has 3 left\.$"):
        add_study(volume, data)
    assert len(read_dataset(data).cases) == 6


def test_a_study_needs_its_image(studies, data, tmp_path) -> None:
    folder = reviewed(studies / "heart")
    image = studies / "heart_image.nii.gz"
    image.rename(tmp_path / "elsewhere.nii.gz")
    with pytest.raises(AppError, match=r"heart_image\.nii\.gz was not found"):
        add_study(folder, data)
    image.write_bytes(b"another")
    with pytest.raises(DataError, match="has changed since this study was made"):
        add_study(folder, data)
    (tmp_path / "elsewhere.nii.gz").rename(image)
    assert add_study(folder, data) == ["heart"]


def test_the_image_of_another_grid_is_refused(studies, data, monkeypatch) -> None:
    folder = reviewed(studies / "heart")
    cine = make_study(studies / "cine", phases=(1,))
    other = cine.parent / "cine_image.nii.gz"
    monkeypatch.setattr(module, "find_image", lambda *_: other)
    with pytest.raises(DataError, match=r"cine_image\.nii\.gz has another grid"):
        add_study(folder, data)


def test_studies_that_fail_do_not_keep_the_others(studies, data) -> None:
    good, also = reviewed(studies / "good"), reviewed(studies / "zz good")
    lost = reviewed(studies / "lost")
    (studies / "lost_image.nii.gz").unlink()
    painted = reviewed(studies / "painted")
    study = read_study(painted)
    save_work(painted, np.full_like(study.edited, 9), study.info.geometry, study.review)
    steps = add_studies([good, lost, painted, also], data)
    assert next(steps) == (0, 4)
    result = drain(steps)
    assert result.added == {good: ["good"], also: ["zz good"]}
    assert set(result.failed) == {lost, painted}
    assert "was not found" in result.failed[lost]
    assert "The labels hold the value 9" in result.failed[painted]
    assert result.dataset == read_dataset(data)
    assert set(result.dataset.corrections) == {"good", "zz good"}


def test_a_case_of_the_dataset_is_never_replaced(studies, data) -> None:
    """It may be validated with."""
    folder = make_study(studies / "patient001", case="patient001", phases=(1, 2), ed=1, es=2)
    decide(folder, [(1, z) for z in QUEUED])
    before = (data / "labelsTr" / "patient001_frame01.nii.gz").read_bytes()
    result = added(folder, data=data)
    assert "has a case patient001_frame01 of its own" in result.failed[folder]
    assert (data / "labelsTr" / "patient001_frame01.nii.gz").read_bytes() == before


def test_what_is_no_dataset_is_refused_before_anything_is_read(studies, tmp_path) -> None:
    with pytest.raises(DataError, match=r"dataset\.json is missing"):
        next(add_studies([studies / "nowhere"], tmp_path))


def test_decisions_are_never_newer_than_the_labels(studies, monkeypatch) -> None:
    """A window saves labels, then decisions, between our reading of the one and the other."""
    folder = make_study(studies / "heart")
    study = read_study(folder)
    labels = np.ones_like(study.edited)

    def read(path: Path) -> Any:
        found = read_study(path)
        if not found.edited.all():
            review = ReviewState(decisions={(None, z): Decision(state="accepted") for z in QUEUED})
            save_work(folder, labels, study.info.geometry, review)
            return replace(found, review=review)
        return found

    monkeypatch.setattr(module, "read_study", read)
    read_again = module._read(folder)
    assert read_again.review.count("accepted") == 3
    assert read_again.edited.all()
