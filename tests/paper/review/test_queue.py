"""Evaluation of the queue with made studies: yields, notes and errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.evaluation.evaluate import (
    COMPARED_BY_VOXEL,
    IDENTICAL,
    REFERENCE_UNNAMED,
)
from napari_bayes_nnunet.core.review.queue import REVIEW_SCORES
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.evaluation.references import SHARED_REFERENCE
from napari_bayes_nnunet.io.files.json_files import DAMAGED_JSON
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_labels
from napari_bayes_nnunet.io.study.info import StudyInfo
from napari_bayes_nnunet.io.study.study import write_study
from napari_bayes_nnunet.paper.review.queue import (
    BEST,
    RANDOM,
    SLICES,
    QueueEvaluation,
    evaluate_queue,
    queue_text,
)
from napari_bayes_nnunet.paper.review.referenced_studies import (
    PHASES_LEFT_OUT,
    SAME_CASE,
    UNDRAWN,
    WITHOUT_STUDIES,
)

from ...helpers.checks.problems import says, says_only
from ...helpers.data.posteriors import posterior_of

SHAPE = (6, 16, 16)
SPACING = (8.0, 1.5, 1.5)
POSITION = np.diag([1.5, 1.5, 8.0, 1.0])
STRUCTURES = {"RV": 1, "MYO": 2, "LV": 3}


def heart(top: int = 4, *, label: int = 3) -> np.ndarray:
    """Return (Z, Y, X) labels with a square LV in every slice."""
    labels = np.zeros(SHAPE, np.uint8)
    labels[:, top : top + 6, 5:11] = label
    return labels


def doubtful(*slices: int) -> list[np.ndarray]:
    """Return the labels of three members, one with a second LV in some slices."""
    members = [heart() for _ in range(3)]
    for z in slices:
        members[2][z, 12:16, 12:16] = 3
    return members


def reference(*slices: int) -> np.ndarray:
    """Return the heart, with a second LV in some slices."""
    labels = heart()
    for z in slices:
        labels[z, 12:16, 12:16] = 3
    return labels


def write(
    folder: Path, case: str, members: dict[int | None, list[np.ndarray]], **about: Any
) -> None:
    """Write a study; a cine has all phases up to the last one given."""
    is_cine = None not in members
    shape = (max(members), *SHAPE) if is_cine else SHAPE
    geometry = make_geometry(shape, SPACING, affine=POSITION)
    info = StudyInfo(
        case=case,
        image=None,
        geometry=geometry,
        structures=STRUCTURES,
        classes=4,
        phases=tuple(members),
        reports={phase: {} for phase in members},
        **about,
    )
    posteriors = {phase: posterior_of(labels) for phase, labels in members.items()}
    write_study(folder / case, info, posteriors, image=np.ones(shape, np.int16))


def write_reference(file: Path, labels: np.ndarray, affine: np.ndarray | None = POSITION) -> None:
    """Write a reference and the names of its labels."""
    file.parent.mkdir(exist_ok=True)
    names = {"labels": {"background": 0, **STRUCTURES}}
    (file.parent / "dataset.json").write_text(json.dumps(names), encoding="utf-8")
    write_labels(file, labels, make_geometry(labels.shape, SPACING, affine=affine))


@pytest.fixture
def studies(tmp_path: Path) -> Path:
    """Write two volumes of patient 1 and one of patient 2; all errors but one are uncertain."""
    write(tmp_path / "studies", "p1_frame01", {None: doubtful(4)})
    write(tmp_path / "studies", "p1_frame09", {None: doubtful(2)})
    write(tmp_path / "studies", "p2_frame01", {None: doubtful(5, 3)})
    return tmp_path / "studies"


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    write_reference(tmp_path / "labels" / "p1_frame01.nii.gz", reference(4))
    write_reference(tmp_path / "labels" / "p1_frame09_gt.nii.gz", reference(2))
    wrong_at_0 = reference(5)
    wrong_at_0[0, 4, 4] = 1
    write_reference(tmp_path / "labels" / "p2_frame01.nii.gz", wrong_at_0)
    return tmp_path / "labels"


@pytest.fixture
def evaluation(studies: Path, labels: Path) -> QueueEvaluation:
    return evaluate_queue(studies, labels)


def test_evaluation_counts_studies_patients_and_errors(evaluation):
    assert (evaluation.studies, evaluation.patients, evaluation.slices) == (3, 2, 18)
    assert evaluation.errors == {"all": 3 * 16 + 1, "gross": evaluation.errors["gross"]}
    assert 0 < evaluation.errors["gross"] < 3 * 16
    assert evaluation.notes == ()


@pytest.mark.parametrize("errors", ["all", "gross"])
def test_every_order_has_a_result(evaluation, errors):
    orders = [(r.order, r.leaves_out_border) for r in evaluation.results if r.errors == errors]
    by_score = [(name, border) for name in REVIEW_SCORES for border in (False, True)]
    assert orders == [(BEST, False), *by_score, (SLICES, False), (RANDOM, False)]


@pytest.mark.parametrize("score", REVIEW_SCORES)
def test_queue_by_score_finds_the_errors_early(evaluation, score):
    """Both uncertain slices are among the first 30 % and contain all gross errors."""
    result = evaluation.find_result("gross", score)
    assert result.queue_yield.curve[34] == pytest.approx(1)
    assert result.times_random.value > 2
    assert 0.8 < result.of_best.value <= 1


def test_intervals_are_over_patients(studies, labels):
    every_study = evaluate_queue(studies, labels, patient="(.+)")
    one_patient = evaluate_queue(studies, labels, patient="(p)")
    assert (every_study.patients, one_patient.patients) == (3, 1)
    for few in (every_study, one_patient):
        assert np.isnan(few.find_result("all", SLICES).queue_yield.area.interval).all()
        assert "nan" not in queue_text(few)


def test_patients_are_those_of_the_table(tmp_path):
    """The table lists volumes by their names, and a cine by one of its phases."""
    for case in ("A1", "A2", "A3"):
        write(tmp_path / "studies", case, {None: doubtful(4)})
        write_reference(tmp_path / "labels" / f"{case}.nii.gz", reference(4))
    write(tmp_path / "studies", "A4", {1: doubtful(4), 2: doubtful(4)})
    write_reference(tmp_path / "labels" / "A4_frame02.nii.gz", reference(4))
    rows = ("case,patient", "A1,A", "A2,A", "A3,", "A4_frame02,A")
    (tmp_path / "groups.csv").write_text("\n".join(rows))
    found = evaluate_queue(tmp_path / "studies", tmp_path / "labels")
    assert (found.studies, found.patients) == (4, 2)
    by_pattern = evaluate_queue(tmp_path / "studies", tmp_path / "labels", patient="(.+)")
    assert by_pattern.patients == 4


def test_cine_is_evaluated_on_labelled_phases(tmp_path):
    phases = {1: doubtful(0), 2: doubtful(1), 4: doubtful(5)}
    write(tmp_path / "studies", "p1_4d", phases)
    write_reference(tmp_path / "labels" / "p1_frame01_gt.nii.gz", reference())
    write_reference(tmp_path / "labels" / "p1_frame04_gt.nii.gz", reference(5))
    found = evaluate_queue(tmp_path / "studies", tmp_path / "labels")
    assert (found.studies, found.slices, found.errors["all"]) == (1, 12, 16)
    left_out = PHASES_LEFT_OUT.format(case="p1_4d", phases="2")
    assert found.notes == (left_out, f"{IDENTICAL}: p1_4d.")
    # The first of the two uncertain slices is correct, and comes first among equals.
    np.testing.assert_allclose(
        found.find_result("all", "entropy").queue_yield.curve[[8, 17]], [0, 1], atol=0.05
    )


def test_structure_that_the_reference_lacks_is_noted(studies, labels):
    without_lv = np.where(heart() == STRUCTURES["LV"], STRUCTURES["MYO"], 0).astype(np.uint8)
    write_reference(labels / "p1_frame01.nii.gz", without_lv)
    note = UNDRAWN.format(structures="LV")
    assert evaluate_queue(studies, labels).notes == (f"{note}: p1_frame01.",)


def test_comparison_without_positions_is_noted(studies, labels):
    write_reference(labels / "p1_frame01.nii.gz", reference(4), affine=None)
    write_reference(labels / "p2_frame01.nii.gz", heart())
    found = evaluate_queue(studies, labels)
    assert found.notes == (f"{COMPARED_BY_VOXEL}: p1_frame01.", f"{IDENTICAL}: p2_frame01.")
    (labels / "dataset.json").unlink()
    cases = "p1_frame01, p1_frame09, p2_frame01"
    assert f"{REFERENCE_UNNAMED}: {cases}." in evaluate_queue(studies, labels).notes


def test_missing_posterior_is_noted(studies, labels):
    (studies / "p1_frame01" / "posterior" / "volume.npz").unlink()
    found = evaluate_queue(studies, labels)
    assert found.studies == 2
    assert "volume.npz" in found.notes[0]


def test_folder_without_studies_is_refused(labels, tmp_path):
    with pytest.raises(AppError) as caught:
        evaluate_queue(tmp_path, labels)
    assert caught.value.values == {"studies": tmp_path, "setting": "save"}
    assert caught.value.statement.template == WITHOUT_STUDIES


def test_folder_without_references_is_refused(studies, tmp_path):
    (tmp_path / "empty").mkdir()
    with pytest.raises(AppError, check=says_only(labels=tmp_path / "empty", studies=studies)):
        evaluate_queue(studies, tmp_path / "empty")


def test_damaged_study_is_refused(studies, labels):
    (studies / "p1_frame09" / "study.json").write_text("{")
    with pytest.raises(
        AppError, check=says(DAMAGED_JSON, file=studies / "p1_frame09" / "study.json")
    ):
        evaluate_queue(studies, labels)


def test_two_studies_of_one_case_are_refused(studies, labels):
    write(studies / "again", "p1_frame01", {None: doubtful(4)})
    with pytest.raises(DataError) as caught:
        evaluate_queue(studies, labels)
    assert caught.value.statement.template == SHARED_REFERENCE
    cases = {"p1_frame01", "again/p1_frame01"}
    assert {caught.value.values["first"], caught.value.values["second"]} == cases


def test_neighbouring_studies_of_one_case_are_refused(studies, labels):
    write(studies / "again", "p1_frame01", {None: doubtful(4)})
    again = (studies / "again" / "p1_frame01").rename(studies / "p1_again")
    with pytest.raises(AppError) as caught:
        evaluate_queue(studies, labels)
    assert caught.value.statement.template == SAME_CASE
    found = {caught.value.values["first"], caught.value.values["second"]}
    assert found == {again, studies / "p1_frame01"}


def test_tree_of_a_cohort_equals_a_flat_folder(studies, labels, evaluation, tmp_path):
    for case in ("p1_frame01", "p1_frame09", "p2_frame01"):
        patient, frame = case.split("_")
        (tmp_path / "cohort" / patient).mkdir(parents=True, exist_ok=True)
        moved = (studies / case).rename(tmp_path / "cohort" / patient / frame)
        info = json.loads((moved / "study.json").read_text())
        (moved / "study.json").write_text(json.dumps(info | {"case": frame}))
        (file,) = labels.glob(f"{case}*")
        name = file.name.replace(case, frame)
        (tmp_path / "references" / patient).mkdir(parents=True, exist_ok=True)
        file.rename(tmp_path / "references" / patient / name)
    found = evaluate_queue(tmp_path / "cohort", tmp_path / "references")
    assert (found.studies, found.patients, found.errors) == (3, 2, evaluation.errors)


def test_joined_phases_are_compared_with_the_labels_of_their_files(tmp_path):
    members = {1: doubtful(4), 2: doubtful(2)}
    write(tmp_path / "studies", "p1", members, phase_cases=("p1_frame01", "p1_frame12"))
    write_reference(tmp_path / "labels" / "p1_frame01_gt.nii.gz", reference(4))
    write_reference(tmp_path / "labels" / "p1_frame12_gt.nii.gz", reference(2))
    evaluation = evaluate_queue(tmp_path / "studies", tmp_path / "labels")
    assert (evaluation.studies, evaluation.patients, evaluation.notes) == (1, 1, ())
    assert evaluation.errors["all"] == 2 * 16
