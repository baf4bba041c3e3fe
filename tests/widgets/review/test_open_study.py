"""Opening of a study with missing, changed or damaged files."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
from napari.components import ViewerModel

from napari_bayes_nnunet.core.heart.intensity_window import heart_window
from napari_bayes_nnunet.core.steps import drain
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.heart.normal_ranges import NO_RANGES
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image, write_labels
from napari_bayes_nnunet.io.study.arrays import EDITED, IMAGE, posterior_file
from napari_bayes_nnunet.io.study.study import read_study
from napari_bayes_nnunet.widgets.review.controller import ReviewController
from napari_bayes_nnunet.widgets.review.forms import ReviewForms
from napari_bayes_nnunet.widgets.review.open_study import ON_BLACK, open_study

from ...helpers.data.cines import CINE, ES, SHAPE, SPACING, VOLUME, WORST, image_of, make_cine


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_cine(tmp_path / "patient" / "heart")


def test_a_study_opens_with_its_image(folder) -> None:
    opened = open_study(folder)
    assert opened.problems == ()
    assert opened.image is not None
    assert opened.image.source == image_of(folder)
    assert opened.session.study.folder == folder


def test_a_double_click_returns_to_blood_and_muscle(folder, tmp_path, qtbot) -> None:
    study = read_study(folder)
    voxels = np.choose(study.prediction, [5, 200, 60, 200])
    voxels += np.random.default_rng(0).integers(0, 9, voxels.shape)
    write_image(tmp_path / "bright.nii.gz", voxels.astype(np.int16), CINE)
    forms, viewer = ReviewForms(), ViewerModel()
    qtbot.addWidget(forms)
    opened = open_study(folder, image=tmp_path / "bright.nii.gz")
    controller = ReviewController(viewer, opened, forms)
    drain(controller.open())
    limits = heart_window(voxels, study.prediction, study.info.structures)
    image = controller.picture.image
    assert image.contrast_limits == pytest.approx(limits)
    image.contrast_limits = (1, 2)
    event = SimpleNamespace(button=2, modifiers=(), position=viewer.dims.point)
    for callback in [*viewer.mouse_double_click_callbacks]:
        callback(viewer, event)
    assert image.contrast_limits == pytest.approx(limits)
    controller.close()


def test_an_image_moved_with_its_study_is_found(folder, tmp_path) -> None:
    elsewhere = tmp_path / "elsewhere"
    folder.parent.rename(elsewhere)
    opened = open_study(elsewhere / "heart")
    assert opened.problems == ()
    assert opened.image is not None
    assert opened.image.source.name == "heart_image.nii.gz"


def test_a_missing_image_leaves_labels_on_black(folder) -> None:
    image_of(folder).unlink()
    opened = open_study(folder)
    assert opened.image is None
    (problem,) = opened.problems
    assert "heart_image.nii.gz" in problem
    assert ON_BLACK in problem


@pytest.mark.parametrize("damaged", [False, True])
def test_a_changed_image_is_rejected(folder, damaged) -> None:
    write_image(image_of(folder), np.ones(CINE.shape, np.int16), CINE)
    if damaged:
        image_of(folder).write_bytes(image_of(folder).read_bytes()[:100])
    opened = open_study(folder)
    assert opened.image is None
    (problem,) = opened.problems
    assert image_of(folder).name in problem
    assert problem.endswith(ON_BLACK)


def test_a_chosen_image_must_have_the_grid(folder, tmp_path) -> None:
    image_of(folder).unlink()
    other = tmp_path / "other.nii.gz"
    geometry = make_geometry((4, *SHAPE), (9.0, *SPACING[1:]), frame_time=46)
    write_image(other, np.ones(geometry.shape, np.int16), geometry)
    with pytest.raises(DataError) as caught:
        open_study(folder, image=other)
    assert caught.value.values["file"] == "other.nii.gz"
    assert caught.value.values["found"].same_grid(geometry)
    assert caught.value.values["expected"].same_grid(CINE)
    write_image(other, np.ones(VOLUME.shape, np.int16), VOLUME)
    with pytest.raises(DataError) as caught:
        open_study(folder, image=other)
    assert caught.value.values["found"].same_grid(VOLUME)


def test_another_chosen_file_is_shown_with_doubt(folder, tmp_path) -> None:
    moved = tmp_path / "renamed.nii.gz"
    image_of(folder).rename(moved)
    assert open_study(folder, image=moved).problems == ()
    write_image(moved, np.ones(CINE.shape, np.int16), CINE)
    opened = open_study(folder, image=moved)
    assert opened.image is not None
    (problem,) = opened.problems
    assert "renamed.nii.gz" in problem


def test_a_missing_chosen_image_is_rejected(folder, tmp_path) -> None:
    with pytest.raises(DataError):
        open_study(folder, image=tmp_path / "nothing.nii.gz")


def test_an_image_without_file_is_in_the_study(folder) -> None:
    own = image_of(folder).read_bytes()
    text = (folder / "study.json").read_text()
    start = text.index('"image": {')
    end = text.index("}", start) + 1
    (folder / "study.json").write_text(f'{text[:start]}"image": null{text[end:]}')
    missing = open_study(folder)
    assert missing.image is None
    assert IMAGE in missing.problems[0]
    missing.dismiss()
    (folder / IMAGE).write_bytes(own)
    found = open_study(folder)
    assert found.problems == ()
    assert found.image is not None


def test_corrections_with_labels_above_255_are_rejected(folder) -> None:
    write_labels(folder / EDITED, np.full(CINE.shape, 300, np.uint16), CINE)
    with pytest.raises(DataError) as caught:
        open_study(folder)
    assert caught.value.values == {"file": folder / EDITED, "largest": 300}


def test_a_missing_posterior_is_a_problem(folder) -> None:
    posterior_file(folder, ES).unlink()
    opened = open_study(folder)
    (problem,) = opened.problems
    assert "phase 3" in problem
    assert opened.session.posterior_in(WORST) is not None


def test_a_study_opens_with_the_chosen_ranges(folder, tmp_path) -> None:
    assert len(open_study(folder).session.ranges.ranges) == 40
    assert open_study(folder, ranges=NO_RANGES).session.ranges.ranges == ()
    opened = open_study(folder, ranges=str(tmp_path / "lost.csv"))
    assert opened.session.ranges.ranges == ()
    assert "lost.csv" in opened.problems[-1]
