"""Corrected studies: reviewed phases, training cases and errors."""

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
from napari_bayes_nnunet.app.review.accepted_slices import count_open_slices
from napari_bayes_nnunet.app.review.corrected_studies import (
    DUPLICATE,
    AddedStudies,
    CorrectedStudy,
    add_studies,
    add_study,
    find_corrected,
    ready_phases,
)
from napari_bayes_nnunet.app.review.session import ReviewSession
from napari_bayes_nnunet.core.problems import statement
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
from napari_bayes_nnunet.io.study.info import CHANGED_IMAGE
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, State
from napari_bayes_nnunet.io.study.study import read_study, save_work

from ...helpers.checks.problems import says, says_only
from ...helpers.data.hearts import make_dataset
from ...helpers.data.studies import STRUCTURES, make_study

QUEUED = (0, 1, 2)
"""Slices in the queue of the made study; the last one is empty."""


@pytest.fixture
def data(tmp_path: Path) -> Path:
    """Write a dataset of patients 001 to 003, two frames each."""
    return make_dataset(tmp_path / "data", patients=3)


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    folder = tmp_path / "studies"
    folder.mkdir()
    return folder


def decide(folder: Path, places: Iterable[Place], state: State = "accepted", **setup: Any) -> None:
    """Save decisions on slices and the review settings."""
    study = read_study(folder)
    decisions = {place: Decision(state=state) for place in places}
    review = replace(study.review, decisions={**study.review.decisions, **decisions}, **setup)
    save_work(folder, study.edited, study.info.geometry, review)


def reviewed(folder: Path, **about: Any) -> Path:
    """Write a study of a volume with all queued slices accepted."""
    make_study(folder, case=folder.name, **about)
    decide(folder, [(None, z) for z in QUEUED])
    return folder


def session(folder: Path) -> ReviewSession:
    return ReviewSession(read_study(folder))


def open_slices(folder: Path) -> dict[Any, int]:
    return count_open_slices(session(folder))


def added(*folders: Path, data: Path) -> AddedStudies:
    result: AddedStudies = drain(add_studies(folders, data))
    return result


# Ready phases


def test_phase_with_accepted_queue_is_ready(tmp_path) -> None:
    folder = make_study(tmp_path / "heart", phases=(2, 4), ed=4, es=2)
    assert open_slices(folder) == {4: 3, 2: 3}
    decide(folder, [(4, z) for z in QUEUED] + [(2, 0)])
    assert open_slices(folder) == {4: 0, 2: 2}
    assert ready_phases(open_slices(folder)) == (4,)


def test_flagged_slice_outside_queue_keeps_phase_open(tmp_path) -> None:
    folder = reviewed(tmp_path / "heart")
    assert open_slices(folder) == {None: 0}
    decide(folder, [(None, 3)], "flagged")
    assert open_slices(folder) == {None: 1}
    decide(folder, [(None, 3)])
    assert open_slices(folder) == {None: 0}


def test_queue_of_one_structure_leaves_others_open(tmp_path) -> None:
    """Slices in which only other structures are uncertain stay open."""
    folder = make_study(tmp_path / "heart")
    decide(folder, [], structure="RV", score="mutual-information")
    review = session(folder)
    shown = review.queue(review.scores())
    decide(folder, [(item.phase, item.z) for item in shown])
    assert len(shown) < len(QUEUED)
    assert open_slices(folder) == {None: len(QUEUED) - len(shown)}


def test_phase_without_posterior_needs_all_slices_accepted(tmp_path) -> None:
    folder = reviewed(tmp_path / "heart")
    (folder / "posterior" / "volume.npz").unlink()
    assert open_slices(folder) == {None: 1}
    decide(folder, [(None, 3)])
    assert open_slices(folder) == {None: 0}


# Find studies


def test_ready_studies_of_a_folder_come_first(studies) -> None:
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


def test_damaged_study_has_a_problem_and_comes_last(studies) -> None:
    reviewed(studies / "good")
    cut = reviewed(studies / "cut")
    (cut / "edited.nii.gz").write_bytes(b"cut")
    damaged = reviewed(studies / "damaged")
    (damaged / "review.json").write_text("{")
    found = drain(find_corrected(studies))
    assert [study.case for study in found] == ["good", "cut", "damaged"]
    assert "edited.nii.gz" in str(found[1].problem)
    assert found[2].problem.values["file"] == damaged / "review.json"
    assert drain(find_corrected(studies / "good" / "posterior")) == []


@pytest.mark.parametrize("name", ["heart", "HEART"])
def test_two_reviews_of_one_case_are_refused(name: str, studies: Path) -> None:
    first, second = studies / "A" / "heart", studies / "B" / name
    for folder in (first, second):
        folder.parent.mkdir()
        reviewed(folder)
    found = {study.folder: study for study in drain(find_corrected(studies))}
    assert found[first].ready == found[second].ready == ()
    assert found[first].problem == statement(DUPLICATE, case="heart", other=second)
    assert found[second].problem == statement(DUPLICATE, case=name, other=first)


def test_review_that_has_not_started_is_no_duplicate(studies) -> None:
    (studies / "A").mkdir()
    make_study(studies / "A" / "heart", case="heart")
    reviewed(studies / "heart")
    first, second = drain(find_corrected(studies))
    assert (first.ready, first.problem) == ((None,), None)
    assert (second.ready, second.problem) == ((), None)


# Add studies


def test_ready_phase_becomes_a_training_case(studies, data) -> None:
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


def test_joined_phases_become_cases_with_the_names_of_their_files(studies, data) -> None:
    names = ("p_frame01", "p_frame07", "p_frame08", "p_frame09", "p_frame12")
    folder = make_study(studies / "p", phases=(2, 5), ed=2, es=5, phase_cases=names)
    decide(folder, [(phase, z) for phase in (2, 5) for z in QUEUED])
    assert add_study(folder, data) == ["p_frame07", "p_frame12"]


def test_study_added_again_is_replaced(studies, data) -> None:
    folder = reviewed(studies / "heart")
    assert add_study(folder, data) == ["heart"]
    study = read_study(folder)
    labels = study.edited.copy()
    labels[0] = 0
    save_work(folder, labels, study.info.geometry, study.review)
    assert add_study(folder, data) == ["heart"]
    assert not read_labels(data / "labelsTr" / "heart.nii.gz").voxels[0].any()


def test_study_with_open_slices_is_refused(studies, data) -> None:
    folder = make_study(studies / "heart", phases=(2, 4), ed=4, es=2)
    decide(folder, [(2, 0)])
    with pytest.raises(AppError, check=says_only(open="3 in phase 4, 2 in phase 2")):
        add_study(folder, data)
    volume = make_study(studies / "volume")
    with pytest.raises(AppError, check=says_only(open="3 in the image")):
        add_study(volume, data)
    assert len(read_dataset(data).cases) == 6


def test_study_without_its_image_is_refused(studies, data, tmp_path) -> None:
    folder = reviewed(studies / "heart")
    image = studies / "heart_image.nii.gz"
    image.rename(tmp_path / "elsewhere.nii.gz")
    with pytest.raises(AppError, check=says_only(case="heart", image=image.name)):
        add_study(folder, data)
    image.write_bytes(b"another")
    with pytest.raises(DataError, check=says(CHANGED_IMAGE)):
        add_study(folder, data)
    (tmp_path / "elsewhere.nii.gz").rename(image)
    assert add_study(folder, data) == ["heart"]


def test_image_on_another_grid_is_refused(studies, data, monkeypatch) -> None:
    folder = reviewed(studies / "heart")
    cine = make_study(studies / "cine", phases=(1,))
    other = cine.parent / "cine_image.nii.gz"
    monkeypatch.setattr(module, "find_image", lambda *_: other)
    with pytest.raises(DataError) as caught:
        add_study(folder, data)
    assert caught.value.values["file"] == other.name
    assert caught.value.values["expected"] == read_study(folder).info.geometry


def test_failed_studies_do_not_stop_the_others(studies, data) -> None:
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
    assert result.failed[lost].values["image"] == "lost_image.nii.gz"
    assert "9" in str(result.failed[painted])
    assert result.dataset == read_dataset(data)
    assert set(result.dataset.corrections) == {"good", "zz good"}


def test_missing_dataset_is_refused_first(studies, tmp_path) -> None:
    with pytest.raises(DataError, match=r"dataset\.json"):
        next(add_studies([studies / "nowhere"], tmp_path))


def test_decisions_are_never_newer_than_labels(studies, monkeypatch) -> None:
    """A window saves labels and decisions between our two reads."""
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
