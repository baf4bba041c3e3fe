"""Evaluation of folders: measures, matching of structures, notes and errors."""

from __future__ import annotations

import gzip
import json
import math
import shutil
from dataclasses import asdict
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.evaluation.evaluate import (
    EMPTY_REFERENCE,
    EMPTY_REFERENCES,
    IDENTICAL,
    NO_COMMON_STRUCTURE,
    NO_SHARED_PATIENT,
    NOT_IN_COMMON,
    NOT_IN_GROUPS,
    NOT_IN_OTHER_METHOD,
    NOT_IN_PREDICTION,
    NOT_IN_REFERENCE,
    PREDICTION_UNNAMED,
    REFERENCE_UNNAMED,
    MethodEvaluation,
    evaluate,
    evaluate_methods,
    judged_structures,
    keep_common_cases,
)
from napari_bayes_nnunet.app.evaluation.output_files import evaluation_summary
from napari_bayes_nnunet.app.prediction.predict import predict
from napari_bayes_nnunet.app.prediction.request import PredictionRequest
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.core import InputError
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.evaluation.references import TWO_ENDINGS
from napari_bayes_nnunet.io.images.nifti import read_labels, write_labels
from napari_bayes_nnunet.sample_data import CINE, ED_LABELS, ES_LABELS

from ...helpers.checks.problems import says, says_only
from ...helpers.data.evaluations import (
    STRUCTURES,
    answer,
    heart,
    made_case,
    name_labels,
    plain_dice,
    plain_ece,
    plain_nll,
    write_answer,
    write_reference,
)
from ...helpers.data.folders import finish
from ...test_demo_ensemble import FOLDER as DEMO_ENSEMBLE

CLOSE = {"rel": 0, "abs": 1e-6}
CASES = ("p1_frame01", "p1_frame09", "p2_frame01")


def run(*args, **kwargs) -> MethodEvaluation:
    return finish(evaluate(*args, name="multi", **kwargs))[1]


@pytest.fixture
def labels(tmp_path: Path) -> Path:
    folder = tmp_path / "data" / "labelsTr"
    for case in CASES:
        write_reference(folder, case, heart())
    name_labels(tmp_path / "data")
    return folder


@pytest.fixture
def predictions(tmp_path: Path) -> Path:
    for seed, case in enumerate(CASES, start=1):
        write_answer(tmp_path / "multi", case, answer(seed))
    return tmp_path / "multi"


def without(folder: Path, *patterns: str) -> None:
    for pattern in patterns:
        for file in folder.glob(pattern):
            file.unlink()


def test_case_of_a_folder_equals_its_arrays(predictions, labels):
    method = run(predictions, labels)
    assert (method.name, method.folder, method.notes) == ("multi", predictions, ())
    assert [case.case for case in method.cases] == list(CASES)
    assert [case.patient for case in method.cases] == ["p1", "p1", "p2"]
    assert method.patients == 2
    for seed, case in enumerate(method.cases, start=1):
        expected = made_case(seed, case=case.case, patient=case.patient)
        np.testing.assert_equal(asdict(case), asdict(expected))


def test_methods_know_what_made_them(predictions, labels):
    assert run(predictions, labels).made_by == ()
    made_by = {"ensemble": "ACDC", "members": [{"epoch": 399, "sha256": "6a"}], "temperature": 1.2}
    made_by |= {"mirroring": "full", "window": "heart", "largest_component": "on"}
    for case, temperature in zip(CASES, (1.2, 1.2, 1.0), strict=True):
        file = predictions / f"{case}.json"
        report = json.loads(file.read_text()) | made_by | {"temperature": temperature}
        report["calibration"] = {"cases": 16, "temperature": 1.2}
        file.write_text(json.dumps(report))
    method = run(predictions, labels)
    assert method.made_by == (made_by | {"fitted": True}, made_by | {"temperature": 1.0})
    summary = evaluation_summary([method])
    assert summary["methods"]["multi"]["made_by"] == [*method.made_by]


def test_tree_of_a_cohort_equals_a_flat_folder(predictions, labels, tmp_path):
    tree, references = tmp_path / "cohort", tmp_path / "references"
    for case in CASES:
        patient = case[:2]
        write_reference(references / patient, f"heart{case[2:]}", heart())
        for file in predictions.glob(f"{case}*"):
            (tree / patient).mkdir(parents=True, exist_ok=True)
            shutil.copy(file, tree / patient / file.name.replace(patient, "heart"))
    name_labels(references)
    (tree / "p1" / "heart").mkdir()
    (tree / "p1" / "heart" / "study.json").touch()
    shutil.copy(predictions / f"{CASES[0]}.nii.gz", tree / "p1" / "heart" / "prediction.nii.gz")
    found, expected = run(tree, references), run(predictions, labels)
    assert [case.case for case in found.cases] == [f"{c[:2]}/heart{c[2:]}" for c in CASES]
    assert [case.patient for case in found.cases] == ["p1/heart", "p1/heart", "p2/heart"]
    assert found.notes == ()
    for case, same in zip(found.cases, expected.cases, strict=True):
        for name in STRUCTURES:
            np.testing.assert_equal(case.numbers[name], same.numbers[name])
        assert case.number("ece") == same.number("ece")


@pytest.mark.parametrize(
    ("names", "patients"), [(("x_ED", "x_ES"), 1), (("sub-1_ses-1", "sub-1_ses-2"), 1)]
)
def test_phases_and_sessions_are_of_one_patient(labels, tmp_path, names, patients):
    for seed, case in enumerate(names, start=1):
        write_answer(tmp_path / "ours", case, answer(seed))
        write_reference(labels, case, heart())
    found = run(tmp_path / "ours", labels)
    assert (found.patients, found.notes) == (patients, ())


def test_cases_without_shared_names_are_noted(labels, tmp_path):
    for seed, case in enumerate(("x", "y"), start=1):
        write_answer(tmp_path / "ours", case, answer(seed))
        write_reference(labels, case, heart())
    assert run(tmp_path / "ours", labels).notes == (f"{NO_SHARED_PATIENT}: x, y (2 of 2).",)
    assert run(tmp_path / "ours", labels, patient="^(.+)$").notes == ()


def test_unnamed_prediction_is_numbered_like_reference(predictions, labels):
    without(predictions, "*.json")
    method = run(predictions, labels)
    assert judged_structures([method]) == ["RV", "MYO", "LV"]
    assert method.notes == (f"{PREDICTION_UNNAMED}: p1_frame01, p1_frame09, p2_frame01 (3 of 3).",)


def test_labels_without_any_names_are_refused(predictions, labels):
    without(predictions, "*.json")
    (labels.parent / "dataset.json").unlink()
    with pytest.raises(AppError, check=says_only(predictions=predictions, labels=labels)):
        run(predictions, labels)


def test_reference_without_rv_evaluates_other_structures(tmp_path, predictions):
    folder = tmp_path / "sunnybrook"
    shown = heart()
    shown[shown == 1] = 0
    for case in CASES:
        write_reference(folder, case, shown)
    method = run(predictions, folder)
    assert judged_structures([method]) == ["MYO", "LV"]
    assert method.notes[0].startswith(f"{NOT_IN_REFERENCE.format(structures='RV')}: p1_frame01")
    assert method.notes[1].startswith(f"{REFERENCE_UNNAMED}: p1_frame01")
    expected = made_case(1, reference=shown, structures={"MYO": 2, "LV": 3})
    assert method.cases[0].number("ece") == expected.number("ece")
    for name in ("MYO", "LV"):
        np.testing.assert_equal(method.cases[0].numbers[name], expected.numbers[name])


def test_a_copy_of_the_reference_is_noted(tmp_path, labels):
    for case in CASES:
        write_answer(tmp_path / "copy", case, {"labels": heart()})
    assert run(tmp_path / "copy", labels).notes[-1].startswith(f"{IDENTICAL}: p1_frame01")


def test_an_empty_reference_is_noted(predictions, labels):
    file = labels / f"{CASES[0]}.nii.gz"
    reference = read_labels(file)
    write_labels(file, np.zeros_like(reference.voxels), reference)
    notes = run(predictions, labels).notes
    assert [note for note in notes if note.startswith(f"{EMPTY_REFERENCE}: {CASES[0]} ")]
    (labels.parent / "dataset.json").unlink()  # now it is not known which structures it has
    notes = run(predictions, labels).notes
    none = NOT_IN_REFERENCE.format(structures="RV and MYO and LV")
    assert [note for note in notes if note.startswith(f"{none}: {CASES[0]} ")]
    assert not [note for note in notes if note.startswith(EMPTY_REFERENCE)]


@pytest.mark.parametrize("which", ["predictions", "labels"])
def test_two_files_of_one_name_are_refused(predictions, labels, which):
    folder = {"predictions": predictions, "labels": labels}[which]
    twin = folder / f"{CASES[1]}.nii"
    twin.write_bytes(gzip.decompress((folder / f"{CASES[1]}.nii.gz").read_bytes()))
    with pytest.raises(DataError, check=says(TWO_ENDINGS, folder=folder)):
        run(predictions, labels)


def test_references_that_are_all_empty_are_refused(predictions, labels):
    for file in labels.iterdir():
        reference = read_labels(file)
        write_labels(file, np.zeros_like(reference.voxels), reference)
    (labels.parent / "dataset.json").unlink()
    with pytest.raises(AppError, check=says(EMPTY_REFERENCES)):
        run(predictions, labels)
    name_labels(labels, {"atrium": 1})
    with pytest.raises(AppError, check=says(NO_COMMON_STRUCTURE)):
        run(predictions, labels)


@pytest.mark.parametrize("link", [False, True])
def test_a_prediction_is_never_compared_with_itself(tmp_path, predictions, link):
    folder = predictions
    if link:
        folder = tmp_path / "linked"
        folder.mkdir()
        for case in CASES:
            (folder / f"{case}_gt.nii.gz").symlink_to(predictions / f"{case}.nii.gz")
    with pytest.raises(AppError, check=says_only(file=predictions / f"{CASES[0]}.nii.gz")):
        run(predictions, folder)


def test_probabilities_with_missing_class_are_refused(predictions, labels):
    given = answer(1)
    given["probabilities"] = given["probabilities"][:3] / given["probabilities"][:3].sum(axis=0)
    write_answer(predictions, CASES[0], given)
    with pytest.raises(AppError) as caught:
        run(predictions, labels)
    assert caught.value.values["file"] == predictions / f"{CASES[0]}.nii.gz"
    problem = caught.value.__cause__
    assert isinstance(problem, InputError)
    assert problem.values["found"] == given["probabilities"].shape


def test_methods_are_compared_by_common_structures(predictions, labels, tmp_path):
    """A method that never looks for the RV must not gain from that."""
    other = tmp_path / "no RV"
    for seed, case in enumerate(CASES, start=1):
        given = answer(seed)
        given["labels"] = np.array([0, 0, 1, 2], np.uint8)[given["labels"]]
        background, rv, *others = given["probabilities"]
        given["probabilities"] = np.stack([background + rv, *others])
        write_answer(other, case, given)
        (other / f"{case}.json").unlink()
    name_labels(other, {"MYO": 1, "LV": 2})
    alone = run(other, labels)
    assert judged_structures([alone]) == ["MYO", "LV"]
    assert alone.notes[0].startswith(f"{NOT_IN_PREDICTION.format(structures='RV')}: p1_frame01")
    both = finish(evaluate_methods({"with": predictions, "without": other}, labels))[1]
    assert judged_structures(both) == ["MYO", "LV"]
    note = NOT_IN_OTHER_METHOD.format(structures="RV")
    assert both[0].notes[0].startswith(f"{note}: p1_frame01")
    for case, same in zip(*(method.cases for method in both), strict=True):
        assert case.number("dice") == same.number("dice")
        assert case.number("ece") == pytest.approx(same.number("ece"))


def test_methods_without_common_structure_are_refused(predictions, labels, tmp_path):
    other = tmp_path / "liver"
    write_answer(other, CASES[0], answer(1))
    (other / f"{CASES[0]}.json").unlink()
    name_labels(other, {"liver": 1, "spleen": 2, "kidney": 3})
    with pytest.raises(AppError) as caught:
        run(other, labels)
    assert caught.value.values == {
        "labels": labels,
        "predictions": other,
        "structures": "liver, spleen, kidney",
    }
    with pytest.raises(AppError, check=says_only(methods="with and liver")):
        finish(evaluate_methods({"with": predictions, "liver": other}, labels))


def test_undefined_predicted_label_is_refused(predictions, labels):
    (predictions / f"{CASES[1]}.json").write_text('{"format": 2, "labels": {"RV": 1, "MYO": 2}}')
    with pytest.raises(DataError) as caught:
        run(predictions, labels)
    file = predictions / f"{CASES[1]}.nii.gz"
    assert caught.value.values == {"file": file, "value": 3, "known": "1 (RV), 2 (MYO)"}


def test_groups_without_any_case_are_noted(predictions, labels):
    (labels / "groups.csv").write_text(",case,vendor\n0,someone,A\n")
    (note,) = run(predictions, labels).notes
    assert note == f"{NOT_IN_GROUPS}: p1_frame01, p1_frame09, p2_frame01 (3 of 3)."
    (labels / "groups.csv").write_text("case,patient\np1_frame01,one\np2_frame01,one\n")
    found = run(predictions, labels)
    assert (found.notes, found.patients) == ((), 2)
    (labels / "groups.csv").write_text(",case,vendor\n0,p1_frame01,A\n")
    found = run(predictions, labels)
    assert found.notes == ()
    assert found.cases[0].groups == {"vendor": "A"}


def test_methods_are_compared_on_common_cases(predictions, labels, tmp_path):
    shutil.copytree(predictions, tmp_path / "other")
    without(tmp_path / "other", f"{CASES[1]}*")
    two = {"multi": predictions, "other": tmp_path / "other"}
    multi, other = finish(evaluate_methods(two, labels))[1]
    assert [c.case for c in multi.cases] == [c.case for c in other.cases] == [CASES[0], CASES[2]]
    assert multi.notes == (f"{NOT_IN_COMMON}: p1_frame09 (1).",)
    assert other.notes == ()
    with pytest.raises(AppError, check=says_only(methods="a and b")):
        keep_common_cases(
            [
                MethodEvaluation(name="a", cases=multi.cases[:1]),
                MethodEvaluation(name="b", cases=multi.cases[1:]),
            ]
        )


def test_common_case_has_one_phase_in_all_methods(predictions, labels, tmp_path):
    """The other method lacks the second case, by which the first is known to be ED."""
    write_reference(labels, CASES[1], heart(size=0.8))
    shutil.copytree(predictions, tmp_path / "other")
    without(tmp_path / "other", f"{CASES[1]}*")
    for names in (("multi", "other"), ("other", "multi")):
        methods = finish(evaluate_methods({name: tmp_path / name for name in names}, labels))[1]
        for method in methods:
            assert [case.groups.get("phase") for case in method.cases] == ["ED", None]


# A real heart, segmented by the demo ensemble


@pytest.fixture(scope="module")
def real(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path]:
    """Return predictions of two phases of the shipped cine, and labels drawn by hand."""
    folder = tmp_path_factory.mktemp("real")
    request = PredictionRequest(
        images=(CINE,),
        output=folder / "multi",
        settings=SegmentationSettings(members=2, mirroring="none"),
        phases="ED,ES",
        save=frozenset({"entropy", "mutual-information", "probabilities"}),
    )
    outcomes = list(predict(Ensemble(DEMO_ENSEMBLE, device="cpu"), request))
    assert [outcome.failure for outcome in outcomes] == [""]
    (folder / "labels").mkdir()
    for phase, file in ((20, ED_LABELS), (7, ES_LABELS)):
        shutil.copy(file, folder / "labels" / f"SCD0000301_cine_frame{phase:02d}.nii.gz")
    name_labels(folder / "multi")
    return folder / "multi", folder / "labels"


@pytest.mark.parametrize(("phase", "known"), [(20, {"MYO": 2, "LV": 3}), (7, {"LV": 3})])
def test_measures_of_a_real_heart_are_reproduced(real, phase, known):
    predictions, labels = real
    name = f"SCD0000301_cine_frame{phase:02d}"
    found = next(case for case in run(predictions, labels).cases if case.case == name)
    assert found.patient == "SCD0000301_cine"
    predicted = read_labels(predictions / f"{name}.nii.gz").voxels
    true = read_labels(labels / f"{name}.nii.gz")
    assert list(found.structures) == list(known)
    for title, label in known.items():
        a, b = predicted == label, true.voxels == label
        assert found.number("dice", title) == pytest.approx(plain_dice(a, b), **CLOSE)
        error = (int(a.sum()) - int(b.sum())) * math.prod(true.spacing) / 1000
        assert found.number("volume_error_ml", title) == pytest.approx(error, **CLOSE)
    p = np.load(predictions / f"{name}_probabilities.npz")["probabilities"]
    kept = list(known.values())
    merged = np.stack([p[[k for k in range(4) if k not in kept]].sum(axis=0), *p[kept]])
    truth = np.select([true.voxels == label for label in kept], range(1, len(kept) + 1), 0)
    assert found.number("ece") == pytest.approx(plain_ece(merged, truth), **CLOSE)
    assert found.number("nll") == pytest.approx(plain_nll(merged, truth), **CLOSE)
    report = json.loads((predictions / f"{name}.json").read_text())
    assert found.number("pairwise_dice", "LV") == report["pairwise_dice"]["LV"]


@pytest.mark.parametrize(
    ("change", "level"), [({}, 0.8), ({"mirroring": "none"}, 0.7), ({"outdated": True}, 0.7)]
)
def test_two_images_of_one_recipe_have_an_ef(tmp_path, change, level):
    rule = {"bias": 0.0, "half_width_80": 1.0, "half_width_90": 2.0, "patients": 9}
    fitted = {"slope": 0.0, "interval": rule}
    dice = {"ED": {"LV": {"intercept": 0.8, **fitted}}, "any": {"LV": {"intercept": 0.7, **fitted}}}
    for case, size, own in (("p1_ED", 1.0, {}), ("p1_ES", 0.8, change)):
        labels = heart(size=size)
        volume = float((labels == 3).sum())
        about = SegmentationSettings(members=2, temperature=1.0).to_json()
        about |= {"ensemble": "made", "members": [], "precision": "float32", "seconds": 1.0}
        about |= {"calibration": {"function": {"LV EF": rule}, "dice": dice}}
        about |= {"volumes_ml": {"LV": {"ensemble": volume}}}
        about |= {"pairwise_dice": {"LV": 0.9}, "expected_dice": {"LV": {"value": 0.7}}}
        about |= {"function": {"LV EF": {"value": 1.0, "interval_80": [0.0, 2.0]}}}  # as 0.2.0 did
        write_answer(tmp_path / "predictions", case, {"labels": labels}, **about | own)
        write_reference(tmp_path / "labels", case, labels)
    cases = {case.case: case for case in run(tmp_path / "predictions", tmp_path / "labels").cases}
    known = cases["p1_ED"].numbers[""]
    assert ("width_80_LV EF" in known) == (not change)
    if not change:
        assert known["width_80_LV EF"] == pytest.approx(2)
        assert known["coverage_80_LV EF"] == 1
    assert cases["p1_ED"].number("expected_dice", "LV") == level
