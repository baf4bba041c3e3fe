"""Files of a case that could not be written as a whole."""

from __future__ import annotations

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest
from click.testing import CliRunner

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.evaluation.evaluate import COMPARED_BY_VOXEL, evaluate
from napari_bayes_nnunet.app.prediction.output_files import (
    CLOSE_SLICES,
    LOCKS,
    OUTPUT_IN_USE,
    SKEWED,
    SLICES_STORED,
    TWO_VOXEL_SIZES,
    locked_case,
    locked_output,
    whole_or_absent,
    with_geometry,
)
from napari_bayes_nnunet.app.prediction.predict import predict
from napari_bayes_nnunet.app.prediction.request import CaseOutcome, PredictionRequest, check_request
from napari_bayes_nnunet.app.segmentation.ensemble import Ensemble
from napari_bayes_nnunet.app.segmentation.recipe import Recipe
from napari_bayes_nnunet.app.segmentation.settings import SegmentationSettings
from napari_bayes_nnunet.cli import main
from napari_bayes_nnunet.core.problems import Action, Remedy, change, statement
from napari_bayes_nnunet.core.types import Spacing
from napari_bayes_nnunet.io.evaluation.predictions import read_prediction
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import SLICES_ON_FOURTH_AXIS, read_labels, read_volume
from napari_bayes_nnunet.io.study.info import read_study_image
from napari_bayes_nnunet.io.study.study import read_study

from ...helpers.data.evaluations import name_labels
from ...helpers.data.folders import finish
from ...helpers.data.models import made_image, make_model


def test_a_file_that_stays_keeps_no_other(tmp_path) -> None:
    """As on Windows, where a file that is open elsewhere cannot be deleted."""
    labels, report = tmp_path / "heart.nii.gz", tmp_path / "heart.json"
    labels.mkdir()  # cannot be deleted as a file
    report.touch()
    with pytest.raises(OSError, match="in use"), whole_or_absent(labels, report):
        raise OSError("in use")
    assert list(tmp_path.iterdir()) == [labels]


nib: Any = nibabel
MAPS = frozenset({"entropy", "probabilities", "study"})
SETTINGS = SegmentationSettings(mirroring="none")


@pytest.fixture(scope="module")
def ensemble(tmp_path_factory: pytest.TempPathFactory) -> Ensemble:
    return Ensemble(make_model(tmp_path_factory.mktemp("model"), members=2), device="cpu")


def write_stored(file: Path, slices_first: np.ndarray, axis: int, **header: Any) -> Path:
    """Write ([T,] Z, Y, X) voxels of 8 × 1.9 × 1.2 mm with the slices on a file axis."""
    stored = np.moveaxis(slices_first, -3, -1 - axis).T
    image = nib.Nifti1Image(stored, None)
    steps = np.insert([1.2, 1.9], axis, 8.0)
    image.header.set_zooms((*steps, *(45.0 for _ in stored.shape[3:])))
    image.header.set_qform(np.diag([*steps, 1]), code=1)
    image.header.set_xyzt_units("mm", "msec")
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, file)
    return file


def write_two_sizes(file: Path, voxels: np.ndarray) -> Path:
    """Write (Z, Y, X) voxels of 10 × 1.9 × 1.2 mm whose pixdim says 5 mm."""
    image = nib.Nifti1Image(voxels.T, None)
    image.set_sform(np.diag([1.2, 1.9, 10, 1]), code=1)
    image.set_qform(None, code=0)
    image.header.set_zooms((1.2, 1.9, 5.0))
    file.parent.mkdir(parents=True, exist_ok=True)
    nib.save(image, file)
    return file


def segment(ensemble: Ensemble, image: Path, out: Path, **request: Any) -> CaseOutcome:
    asked = {"save": MAPS, "settings": SETTINGS} | request
    (outcome,) = predict(ensemble, PredictionRequest(images=(image,), output=out, **asked))
    assert outcome.failure == ""
    return outcome


def read_report(out: Path, case: str = "heart") -> dict[str, Any]:
    report: dict[str, Any] = json.loads((out / f"{case}.json").read_text())
    return report


@pytest.fixture(scope="module")
def usual(ensemble: Ensemble, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Return the results of an image with its slices on the axis z."""
    folder = tmp_path_factory.mktemp("usual")
    segment(ensemble, write_stored(folder / "in/heart.nii.gz", made_image((4, 50, 40)), 2), folder)
    return folder


@pytest.mark.parametrize("axis", [0, 1])
def test_slices_on_another_axis_change_no_result(ensemble, usual, tmp_path, axis) -> None:
    file = write_stored(tmp_path / "in/heart.nii.gz", made_image((4, 50, 40)), axis)
    outcome = segment(ensemble, file, tmp_path)
    note = SLICES_STORED.format(axis="xy"[axis])
    report, expected = read_report(tmp_path), read_report(usual)
    assert note in outcome.notes
    assert note in report["notes"]
    assert report["volumes_ml"] == expected["volumes_ml"]
    assert report["spacing_mm"] == pytest.approx([8, 1.9, 1.2])
    # Files are on the grid of the image.
    for name in ("heart.nii.gz", "heart_entropy.nii.gz"):
        written, usually = nib.load(tmp_path / name), nib.load(usual / name)
        assert written.shape == nib.load(file).shape
        assert np.array_equal(written.affine, nib.load(file).affine)
        in_order = np.moveaxis(np.asanyarray(written.dataobj).T, -1 - axis, 0)
        assert np.array_equal(in_order, np.asanyarray(usually.dataobj).T)
    with (
        np.load(tmp_path / "heart_probabilities.npz") as stored,
        np.load(usual / "heart_probabilities.npz") as usually,
    ):
        moved = np.moveaxis(stored["probabilities"], -1 - axis, 1)
        assert np.array_equal(moved, usually["probabilities"])
    # The review goes through the slices.
    study, same = read_study(tmp_path / "heart"), read_study(usual / "heart")
    assert study.problems == ()
    assert study.info.slices == 4
    assert np.array_equal(study.edited, same.edited)
    assert np.array_equal(study.posteriors[None].members, same.posteriors[None].members)
    on_disk = nib.load(tmp_path / "heart" / "edited.nii.gz")
    assert np.array_equal(
        np.asanyarray(on_disk.dataobj), nib.load(tmp_path / "heart.nii.gz").dataobj
    )
    # An evaluation reads the same.
    prediction, plain = (read_prediction(folder, "heart") for folder in (tmp_path, usual))
    assert np.array_equal(prediction.labels.voxels, plain.labels.voxels)
    assert prediction.probabilities is not None
    assert plain.probabilities is not None
    assert np.array_equal(prediction.probabilities, plain.probabilities)


def test_slices_on_a_fourth_axis_change_no_result(ensemble, usual, tmp_path) -> None:
    joined = nib.Nifti1Image(made_image((4, 50, 40)).T[:, :, np.newaxis], None)
    joined.header.set_zooms((1.2, 1.9, 1.0, 8.0))
    (tmp_path / "in").mkdir()
    nib.save(joined, tmp_path / "in/heart.nii.gz")
    outcome = segment(ensemble, tmp_path / "in/heart.nii.gz", tmp_path)
    note = str(statement(SLICES_ON_FOURTH_AXIS, file="heart.nii.gz", count=4, step="8"))
    report, expected = read_report(tmp_path), read_report(usual)
    assert note in outcome.notes
    assert note in report["notes"]
    assert report["volumes_ml"] == expected["volumes_ml"]
    study = read_study(tmp_path / "heart")
    assert study.problems == ()
    assert study.info.slices == 4
    assert read_study_image(study.info, tmp_path / "in/heart.nii.gz").shape == (4, 50, 40)


def test_cine_with_slices_on_x_gives_same_result(ensemble, tmp_path) -> None:
    voxels = made_image((2, 4, 50, 40))
    results = []
    for name, axis in (("usual", 2), ("other", 0)):
        file = write_stored(tmp_path / name / "in/cine.nii.gz", voxels, axis)
        segment(ensemble, file, tmp_path / name)
        results.append(read_labels(tmp_path / name / "cine.nii.gz").voxels)
        assert nib.load(tmp_path / name / "cine.nii.gz").shape == nib.load(file).shape
        assert read_study(tmp_path / name / "cine").edited.shape == (2, 4, 50, 40)
    assert np.array_equal(*results)


def test_usual_image_has_no_note_on_geometry(usual) -> None:
    report = read_report(usual)
    assert report["spacing_from"] == "pixdim"
    assert "volumes_ml_by_pixdim" not in report
    assert all(note not in report["notes"] for note in (SLICES_STORED, TWO_VOXEL_SIZES, SKEWED))
    assert all("Not checked" in warning for warning in report["warnings"])


def test_affine_decides_the_volumes_and_report_has_both(ensemble, tmp_path) -> None:
    file = write_two_sizes(tmp_path / "in/heart.nii.gz", made_image((4, 50, 40)))
    outcome = segment(ensemble, file, tmp_path)
    report = read_report(tmp_path)
    voxels = int((read_labels(tmp_path / "heart.nii.gz").voxels == 3).sum())
    assert report["volumes_ml"]["LV"]["ensemble"] == pytest.approx(voxels * 1.2 * 1.9 * 10 / 1000)
    assert report["volumes_ml_by_pixdim"]["LV"] == pytest.approx(voxels * 1.2 * 1.9 * 5 / 1000)
    assert report["spacing_from"] == "affine"
    assert report["pixdim_mm"] == pytest.approx([5, 1.9, 1.2])
    said = str(
        statement(
            TWO_VOXEL_SIZES,
            change("spacing"),
            affine="10 × 1.9 × 1.2",
            pixdim="5 × 1.9 × 1.2",
            factor=0.5,
        )
    )
    assert said in outcome.notes
    assert said in report["notes"]


@pytest.mark.parametrize(("shear", "skew"), [(0.1, None), (1.0, 0.5**0.5)])
def test_skewed_axes_are_noted_with_their_factor(tmp_path, shear, skew) -> None:
    affine = np.diag([1.2, 1.9, 10, 1])
    affine[0, 2] = shear * 10
    nib.save(nib.Nifti1Image(made_image((4, 50, 40)).T, affine), tmp_path / "heart.nii")
    geometry = read_volume(tmp_path / "heart.nii").geometry
    notes = [] if skew is None else [SKEWED.format(factor=skew)]
    assert with_geometry({}, geometry)["notes"] == notes
    given = replace(geometry, given_spacing=(10.0, 1.9, 1.2))
    assert with_geometry({}, given)["notes"] == []


@pytest.mark.parametrize(
    ("slices", "spacing", "noted"),
    [
        *((7, (1.0, 1.4, 1.4), True), (7, (1.0, 1.0, 1.0), True), (1, (1.0, 1.4, 1.4), True)),
        *((7, (10.0, 1.4, 1.4), False), (60, (1.4, 1.4, 1.4), False), (3, (5.0, 1.4, 1.4), False)),
    ],
)
def test_unknown_distance_of_slices_is_noted(slices, spacing, noted) -> None:
    geometry = make_geometry((slices, 50, 40), spacing)
    notes = [str(statement(CLOSE_SLICES, change("spacing"), distance=1.0))] * noted
    assert with_geometry({}, geometry)["notes"] == notes
    assert with_geometry({}, replace(geometry, given_spacing=(10.0, 1.4, 1.4)))["notes"] == []


def test_given_spacing_decides_and_is_kept(ensemble, tmp_path) -> None:
    file = write_two_sizes(tmp_path / "in/heart.nii.gz", made_image((4, 50, 40)))
    given: Spacing = (6.0, 1.9, 1.2)
    segment(ensemble, file, tmp_path, spacing=given)
    report = read_report(tmp_path)
    voxels = int((read_labels(tmp_path / "heart.nii.gz").voxels == 3).sum())
    assert report["volumes_ml"]["LV"]["ensemble"] == pytest.approx(voxels * 1.2 * 1.9 * 6 / 1000)
    assert report["spacing_from"] == "given"
    assert "volumes_ml_by_pixdim" not in report
    assert (
        read_volume(tmp_path / "heart.nii.gz").geometry.header[76:92]
        == (
            read_volume(file).geometry.header[76:92]  # pixdim is that of the image
        )
    )
    study = read_study(tmp_path / "heart")
    assert study.problems == ()
    assert study.info.geometry.spacing == given
    made = Recipe.of_report(report)
    for spacing in (given, None, (5.0, 1.9, 1.2)):
        requested = Recipe.of_request(ensemble.folder, SETTINGS, spacing=spacing)
        is_same = made.difference(requested, tmp_path / "heart.json") is None
        assert is_same == (spacing == given)


def test_spacing_on_the_command_line(ensemble, tmp_path) -> None:
    file = write_two_sizes(tmp_path / "in/heart.nii.gz", made_image((4, 50, 40)))
    words = ["predict", str(ensemble.folder.path), str(file), "-o", str(tmp_path)]
    words += ["--mirroring", "none", "--spacing"]
    assert CliRunner().invoke(main, [*words, "6,1.9"]).exit_code == 2
    done = CliRunner().invoke(main, [*words, "6,1.9,1.2"])
    assert done.exit_code == 0, done.output
    assert read_report(tmp_path)["spacing_mm"] == [6.0, 1.9, 1.2]


def test_swapped_header_is_corrected_with_the_slices_first(ensemble, tmp_path) -> None:
    voxels = made_image((4, 50, 40))
    straight = write_stored(tmp_path / "in/straight.nii.gz", voxels, 2)
    swapped = write_stored(tmp_path / "in/swapped.nii.gz", voxels, 1)
    image = nib.load(swapped)
    image.header.set_zooms((1.2, 1.9, 8.0))
    image.set_qform(np.diag([1.2, 1.9, 8.0, 1]), code=1)
    nib.save(image, swapped)
    request = PredictionRequest(images=(swapped,), output=tmp_path / "refused", settings=SETTINGS)
    (refused,) = predict(ensemble, request)
    assert isinstance(refused, CaseOutcome)
    assert "contradict" in str(refused.failure)
    given: Spacing = (8.0, 1.9, 1.2)
    for file in (straight, swapped):
        segment(ensemble, file, tmp_path, spacing=given)
    one, other = (read_labels(tmp_path / f"{name}.nii.gz") for name in ("straight", "swapped"))
    np.testing.assert_array_equal(one.voxels, other.voxels)
    assert other.geometry.slice_axis == 1
    study = read_study(tmp_path / "swapped")
    assert study.problems == ()
    assert study.info.geometry.shape == voxels.shape
    assert study.info.geometry.spacing == given


@pytest.mark.parametrize("step", [0.0, -8.0, float("nan"), float("inf")])
def test_impossible_spacing_is_refused(ensemble, tmp_path, step) -> None:
    request = PredictionRequest(images=(), output=tmp_path, spacing=(step, 1.5, 1.5))
    with pytest.raises(AppError) as caught:
        check_request(ensemble.folder, request)
    assert caught.value.values["setting"] == "spacing"


def test_evaluation_says_what_has_no_position(ensemble, tmp_path) -> None:
    for name, code in (("placed", 1), ("unplaced", 0)):
        for folder in ("labels", "predictions"):
            labels = np.zeros((4, 50, 40), np.uint8)
            labels[1:3, 20:30, 10 + (folder == "labels") : 20] = 3
            file = write_stored(tmp_path / folder / f"{name}.nii.gz", labels, 2)
            image = nib.load(file)
            image.set_qform(image.affine, code=code if folder == "labels" else 1)
            nib.save(nib.Nifti1Image(labels.T, None, image.header), file)
    name_labels(tmp_path / "labels", {"background": 0, "LV": 3})
    steps = evaluate(tmp_path / "predictions", tmp_path / "labels", name="made")
    _, method = finish(steps)
    noted = [note for note in method.notes if note.startswith(COMPARED_BY_VOXEL)]
    assert len(noted) == 1
    assert "unplaced" in noted[0]


def assert_in_use(error: AppError, output: Path) -> None:
    assert (error.statement.template, error.values) == (OUTPUT_IN_USE, {"folder": output})
    assert error.remedies == (Remedy(Action.WAIT), Remedy(Action.OTHER_OUTPUT))


@pytest.mark.parametrize("first", [lambda o: locked_case(o, "a"), locked_output])
@pytest.mark.parametrize("second", [lambda o: locked_case(o, "a"), locked_output])
def test_second_run_into_one_output_is_refused(tmp_path, first, second) -> None:
    output = tmp_path / "out"
    with first(output):
        with pytest.raises(AppError) as caught, second(output):
            pass
        assert_in_use(caught.value, output)
    with second(output):
        assert (output / LOCKS).is_dir()
    assert list(output.iterdir()) == []


def test_other_cases_of_one_output_are_free(tmp_path) -> None:
    with locked_case(tmp_path, "a"), locked_case(tmp_path, "b"):
        pass
    assert list(tmp_path.iterdir()) == []


def test_lock_of_a_dead_process_blocks_no_run(tmp_path) -> None:
    code = (
        "import os, sys; from pathlib import Path\n"
        "from napari_bayes_nnunet.app.prediction.output_files import locked_output\n"
        "with locked_output(Path(sys.argv[1])): os._exit(9)"
    )
    assert subprocess.run([sys.executable, "-c", code, tmp_path], check=False).returncode == 9
    assert [file.name for file in (tmp_path / LOCKS).iterdir()] == ["cohort.lock"]
    with locked_output(tmp_path):
        pass
    assert list(tmp_path.iterdir()) == []


def test_folder_that_cannot_be_written_is_not_locked(tmp_path) -> None:
    (tmp_path / "out").write_text("a file")
    with locked_output(tmp_path / "out"), locked_case(tmp_path / "out", "a"):
        pass
