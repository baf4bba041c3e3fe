"""Tests of the study of a result."""

from __future__ import annotations

import os
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

import dask.array as da
import numpy as np
import pytest

from napari_bayes_nnunet.app import AppError
from napari_bayes_nnunet.app.prediction.output_files import FOUND_AMONG_CHOSEN, FOUND_BY_VOLUME
from napari_bayes_nnunet.core.ensemble.stored_posterior import StoredPosterior
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.reader import read_dicom
from napari_bayes_nnunet.io.images.geometry import Geometry
from napari_bayes_nnunet.io.images.nifti import CardiacPhases, read_volume
from napari_bayes_nnunet.io.study.info import find_image, read_study_image
from napari_bayes_nnunet.io.study.review_state import Decision, ReviewState, write_review
from napari_bayes_nnunet.io.study.study import has_corrections, open_study_lock, read_study
from napari_bayes_nnunet.widgets.layers.result import PhaseState, SegmentationResult
from napari_bayes_nnunet.widgets.segment.save import (
    BEGUN_STUDY,
    CORRECTED_ALONE,
    NEW_STUDY,
    NOTHING_DONE,
    OTHER_IMAGE_REVIEWED,
    PACKAGE,
    SLICES_MOVED,
    default_study_folder,
    make_result_study,
    study_folder_in,
)

from ...helpers.checks.problems import says, says_only
from ...helpers.data.dicoms import write_cine
from ...helpers.data.studies import CINE, VOLUME, made_image, made_posterior, made_report
from ..conftest import make_result

ONES = np.ones(VOLUME.shape, np.int16)
BEGUN = ReviewState(decisions={(None, 1): Decision(state="accepted")})


def result_of(
    image: Path | None,
    geometry: Geometry | None = VOLUME,
    phases: tuple[int | None, ...] = (None,),
    **changes: Any,
) -> SegmentationResult:
    """A result of the case "heart" whose ``phases`` are done."""
    result = make_result(geometry, source=image, **({"shape": VOLUME.shape} | changes))
    for phase in phases:
        result.phases[phase] = PhaseState(3, 3, made_report())
        result.posteriors[phase] = made_posterior(shift=(phase or 0) % 3)
    return result


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return made_image(tmp_path / "heart.nii.gz")


@pytest.fixture
def result(image: Path) -> SegmentationResult:
    return result_of(image)


def voxels_in(image: Path) -> np.ndarray:
    return read_volume(image).voxels


def test_the_image_of_dicom_goes_into_the_study(tmp_path) -> None:
    write_cine(tmp_path / "Doe")
    volume = read_dicom(tmp_path / "Doe")
    name = volume.source.name
    result = result_of(volume.source, volume.geometry, (2,), shape=volume.shape, case=name)
    result.posteriors[2] = made_posterior(volume.shape[-3:])
    folder = default_study_folder(result)
    assert folder == tmp_path / f"{name}_study"
    make_result_study(result, folder, image=volume.voxels)
    info = read_study(folder).info
    assert info.image is None
    assert np.array_equal(voxels_in(find_image(info, folder)), volume.voxels)
    assert "Doe" not in (folder / "study.json").read_text(encoding="utf-8")


# The folder


def test_the_default_folder_is_next_to_the_image(result, tmp_path) -> None:
    assert default_study_folder(result) == tmp_path / "heart_study"
    assert default_study_folder(result_of(None)) is None
    assert default_study_folder(result_of(PACKAGE / "data" / "sample.nii.gz")) is None
    # A chosen folder gets a folder for each study.
    assert study_folder_in(result, tmp_path) == tmp_path / "heart_study"
    study = make_result_study(result, tmp_path / "heart_study", image=None).folder
    assert study_folder_in(result, study) == study
    assert study_folder_in(result_of(None, case="other"), study) == tmp_path / "other_study"


@pytest.mark.skipif(sys.platform == "win32", reason="no such permissions")
def test_there_is_no_default_in_read_only_folder(result, tmp_path, monkeypatch) -> None:
    monkeypatch.setattr(os, "access", lambda path, mode: path != tmp_path)
    assert default_study_folder(result) is None
    assert default_study_folder(result_of(tmp_path / "gone" / "heart.nii.gz")) is not None


# The content


def test_a_study_of_the_file_is_made(result, image, tmp_path) -> None:
    made = make_result_study(result, tmp_path / "heart_study", image=None)
    assert made.is_new
    assert made.sentence == NEW_STUDY.format(folder=tmp_path / "heart_study")
    study = read_study(made.folder)
    info = study.info
    assert find_image(info, made.folder) == image
    assert (info.case, info.structures, info.classes) == ("heart", {"RV": 1, "MYO": 2, "LV": 3}, 4)
    assert info.geometry.same_grid(VOLUME)
    assert info.reports == {None: made_report()}
    assert not has_corrections(made.folder)
    expected = made_posterior()
    np.testing.assert_array_equal(study.prediction, expected.prediction)
    np.testing.assert_array_equal(study.posteriors[None].members, expected.members)


def test_first_looks_are_kept_until_their_phase_is_segmented(tmp_path) -> None:
    cine = made_image(tmp_path / "heart.nii.gz", CINE)
    result = result_of(cine, CINE, (1, 4), shape=CINE.shape)
    for phase, label in ((2, 3), (3, 1)):
        result.labels[phase - 1] = label
        result.count_look(phase, {})
    study = read_study(make_result_study(result, tmp_path / "study", image=None).folder)
    assert {phase: int(look.min()) for phase, look in study.looks.items()} == {2: 3, 3: 1}
    assert SegmentationResult.from_study(study).looks.keys() == {2, 3}
    result.count(2, 3, 3)
    result.finish(2, made_report(), made_posterior())
    study = read_study(make_result_study(result, tmp_path / "study", image=None).folder)
    assert (study.info.phases, [*study.looks]) == ((1, 2, 4), [3])


def test_a_study_of_joined_phases_names_them_and_what_was_corrected_alone(tmp_path) -> None:
    cases = ("heart_ED", "heart_ES")
    for case in cases:
        alone = result_of(None, case=case)
        folder = make_result_study(alone, tmp_path / f"{case}_study", image=ONES).folder
    write_review(folder, BEGUN)
    source = tmp_path / "heart_ED and heart_ES"
    joined = result_of(source, VOLUME.with_phases(2), (1, 2), phase_cases=cases)
    joined.shape = joined.geometry.shape
    made = make_result_study(joined, tmp_path / "heart_study", image=np.stack([ONES, ONES]))
    assert made.corrected_alone == (folder,)
    assert CORRECTED_ALONE.format(folder=folder) in made.sentence
    info = read_study(made.folder).info
    assert (info.phase_cases, info.image, info.phases) == (cases, None, (1, 2))
    assert voxels_in(find_image(info, made.folder)).shape == joined.shape


def test_the_study_of_a_cine_has_finished_phases(tmp_path) -> None:
    image = made_image(tmp_path / "heart.nii.gz", CINE)
    result = result_of(image, CINE, (4, 2), shape=CINE.shape)
    result.phases[1], result.requested = PhaseState(1, 3), {1, 2, 3, 4}  # was stopped
    result.known_phases, result.phases_from = CardiacPhases(4, 1), "Info.cfg beside the image"
    info = read_study(make_result_study(result, tmp_path / "study", image=None).folder).info
    assert (info.phases, info.unfinished) == ((2, 4), (1, 3))
    assert (info.ed, info.es, info.phases_from) == (4, 1, "Info.cfg beside the image")


def test_a_review_knows_ed_and_es_of_the_looks(tmp_path) -> None:
    image = made_image(tmp_path / "heart.nii.gz", CINE)
    result = result_of(image, CINE, (2, 4), shape=CINE.shape)
    result.count_look(5, {"LV": 0.1})
    info = read_study(make_result_study(result, tmp_path / "study", image=None).folder).info
    assert info.phases_from == FOUND_AMONG_CHOSEN
    for phase in range(1, 6):
        result.count_look(phase, {"LV": 0.1 if phase == 5 else 900.0 - phase})
    info = read_study(make_result_study(result, tmp_path / "study", image=None).folder).info
    assert (info.ed, info.es, info.phases_from) == (1, 5, FOUND_BY_VOLUME)


@pytest.mark.parametrize(
    ("phases", "expected"),
    [((1, 2, 3, 4), (2, 4, FOUND_BY_VOLUME)), ((1, 2, 3, 4, 5), (None, None, ""))],
)
def test_a_review_finds_ed_and_es_in_every_phase(tmp_path, phases, expected) -> None:
    image = made_image(tmp_path / "heart.nii.gz", CINE)
    found = {"known_phases": CardiacPhases(2, 4), "phases_from": FOUND_BY_VOLUME}
    result = result_of(image, CINE, phases, shape=CINE.shape, **found)
    info = read_study(make_result_study(result, tmp_path / "study", image=None).folder).info
    assert (info.ed, info.es, info.phases_from) == expected


def test_an_image_without_geometry_goes_into_the_study(tmp_path) -> None:
    """With the voxel size the ensemble was told."""
    result = result_of(tmp_path / "heart.tif", None, spacing=(9.0, 2.0, 3.0))
    voxels = np.random.default_rng(0).normal(size=VOLUME.shape)
    study = read_study(make_result_study(result, tmp_path / "study", image=voxels).folder)
    assert study.info.image is None
    assert study.info.geometry.spacing == (9, 2, 3)
    assert study.info.geometry.letters is None
    file = find_image(study.info, study.folder)
    assert file == study.folder / "image.nii.gz"
    np.testing.assert_array_equal(voxels_in(file), voxels.astype(np.float32))


@pytest.mark.parametrize("axis", [1, 2])
def test_slices_of_a_layer_come_first(axis, tmp_path) -> None:
    """Slices along y or x of a layer without a file, with 8 mm between them."""
    order = [0, 1, 2]
    order.insert(axis, order.pop(0))
    spacing = tuple(VOLUME.spacing[i] for i in order)
    voxels = np.random.default_rng(0).integers(0, 400, VOLUME.shape, dtype=np.int16)
    layer = voxels.transpose(order)
    result = result_of(None, None, shape=layer.shape, spacing=spacing)
    stored = made_posterior()
    result.posteriors[None] = stored.with_first_axis(1) if axis == 1 else _slices_last(stored)
    made = make_result_study(result, tmp_path / "study", image=layer)
    assert made.sentence.endswith(SLICES_MOVED.format(axis=axis + 1))
    study = read_study(made.folder)
    assert study.info.shape == VOLUME.shape
    assert study.info.geometry.spacing == pytest.approx(VOLUME.spacing)
    np.testing.assert_array_equal(study.prediction, stored.prediction)
    np.testing.assert_array_equal(study.posteriors[None].member(0), stored.member(0))
    image = read_study_image(study.info, study.folder / "image.nii.gz")
    np.testing.assert_array_equal(image.voxels, voxels)
    write_review(made.folder, BEGUN)
    assert not make_result_study(result, made.folder, image=layer).is_new
    with pytest.raises(DataError):
        make_result_study(result, made.folder, image=layer + 1)


def test_axis_of_a_cine_counts_from_its_time(tmp_path) -> None:
    z, y, x = VOLUME.shape
    shape, spacing = (2, y, x, z), (*VOLUME.spacing[1:], VOLUME.spacing[0])
    result = result_of(None, None, (1,), shape=shape, spacing=spacing)
    result.posteriors[1] = _slices_last(made_posterior())
    made = make_result_study(result, tmp_path / "study", image=np.ones(shape, np.int16))
    assert made.slice_axis == 4
    assert read_study(made.folder).info.shape == (2, z, y, x)


def _slices_last(stored: StoredPosterior) -> StoredPosterior:
    """Return the posterior with the axes (y, x, z)."""
    return stored.with_first_axis(1).with_first_axis(2).with_first_axis(1)


def test_image_without_its_file_goes_into_study(result, image, tmp_path) -> None:
    voxels = voxels_in(image)
    image.unlink()
    study = read_study(
        make_result_study(result, tmp_path / "study", image=da.from_array(voxels)).folder
    )
    assert study.info.image is None
    assert study.info.geometry.same_grid(VOLUME)
    np.testing.assert_array_equal(voxels_in(study.folder / "image.nii.gz"), voxels)


def test_a_result_without_an_image_or_a_finished_phase_raises(image, tmp_path) -> None:
    def fail(block: np.ndarray) -> np.ndarray:
        raise RuntimeError("the drive is gone")

    lazy = da.ones(VOLUME.shape).map_blocks(fail, meta=np.ones(()))
    with pytest.raises(DataError) as error:
        make_result_study(result_of(None), tmp_path / "study", image=lazy)
    assert str(error.value.values["error"]) == "the drive is gone"
    with pytest.raises(AppError, check=says(NOTHING_DONE)):
        make_result_study(result_of(image, phases=()), tmp_path / "study", image=None)
    assert not (tmp_path / "study").exists()


# An existing study


def test_a_study_that_is_begun_or_open_is_kept(result, tmp_path) -> None:
    folder = make_result_study(result, tmp_path / "study", image=None).folder
    result.phases[None] = PhaseState(3, 3, made_report(ensemble="newer"))
    with open_study_lock(folder):
        assert not make_result_study(result, folder, image=None).is_new
    assert read_study(folder).info.ensemble == "made"
    assert make_result_study(result, folder, image=None).is_new
    assert read_study(folder).info.ensemble == "newer"
    write_review(folder, BEGUN)
    before = {file: file.read_bytes() for file in folder.rglob("*.*") if file.is_file()}
    result.phases[None] = PhaseState(3, 3, made_report(ensemble="newest"))
    found = make_result_study(result, folder, image=None)
    assert not found.is_new
    assert found.sentence == BEGUN_STUDY.format(folder=folder)
    assert {file: file.read_bytes() for file in folder.rglob("*.*") if file.is_file()} == before


def test_another_method_has_a_study_of_its_own(result, tmp_path) -> None:
    folder = make_result_study(result, tmp_path / "heart_study", image=None).folder
    write_review(folder, BEGUN)
    result.phases[None] = PhaseState(3, 3, made_report(method="single"))
    for is_new in (True, False):
        made = make_result_study(result, folder, image=None)
        assert (made.folder, made.is_new) == (tmp_path / "heart_single_study", is_new)
        write_review(made.folder, BEGUN)
    assert [read_study(f).info.method for f in (folder, made.folder)] == ["multi", "single"]


def test_the_review_of_another_image_raises(result, image, tmp_path) -> None:
    folder = make_result_study(result, tmp_path / "study", image=None).folder
    write_review(folder, BEGUN)
    other = tmp_path / "other" / "heart.nii.gz"
    other.parent.mkdir()
    other.write_bytes(image.read_bytes() + b" ")
    with pytest.raises(DataError, check=says_only(OTHER_IMAGE_REVIEWED, folder=folder)):
        make_result_study(result_of(other), folder, image=None)
    assert read_study(folder).review == BEGUN
    voxels = voxels_in(image)
    image.unlink()  # the file has gone; its voxels are those of the review
    assert not make_result_study(result, folder, image=voxels).is_new


def test_images_without_a_file_differ_by_voxels(tmp_path) -> None:
    result = result_of(None)
    voxels = np.random.default_rng(0).normal(size=VOLUME.shape)
    folder = make_result_study(result, tmp_path / "study", image=voxels).folder
    write_review(folder, BEGUN)
    assert not make_result_study(result, folder, image=voxels).is_new
    flat = replace(result, shape=(3, *result.shape[1:]))
    for other, other_voxels in ((result, voxels + 1), (flat, voxels[:3])):
        with pytest.raises(DataError, check=says(OTHER_IMAGE_REVIEWED)):
            make_result_study(other, folder, image=other_voxels)


def test_a_damaged_begun_study_and_other_files_are_kept(result, tmp_path) -> None:
    folder = make_result_study(result, tmp_path / "study", image=None).folder
    write_review(folder, BEGUN)
    (folder / "study.json").write_text("{")
    with pytest.raises(DataError, match=r"study\.json"):
        make_result_study(result, folder, image=None)
    assert (folder / "study.json").read_text() == "{"
    assert (folder / "review.json").exists()
    mine = tmp_path / "heart_study"
    mine.mkdir()
    (mine / "thesis.doc").write_text("all of it")
    with pytest.raises(DataError, match=r"thesis\.doc"):
        make_result_study(result, mine, image=None)
    assert [file.name for file in mine.iterdir()] == ["thesis.doc"]
