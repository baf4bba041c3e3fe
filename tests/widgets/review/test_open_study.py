"""A study is opened whatever has become of its image, and never over damaged work."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import write_image, write_labels
from napari_bayes_nnunet.io.study.arrays import EDITED, IMAGE, posterior_file
from napari_bayes_nnunet.widgets.review.open_study import open_study

from ...helpers.cines import CINE, ES, SHAPE, SPACING, VOLUME, WORST, image_of, make_cine


@pytest.fixture
def folder(tmp_path) -> Path:
    return make_cine(tmp_path / "patient" / "heart")


def test_a_study_opens_with_its_image_and_without_problems(folder) -> None:
    opened = open_study(folder)
    assert opened.problems == ()
    assert opened.image is not None
    assert opened.image.source == image_of(folder)
    assert opened.session.study.folder == folder


def test_an_image_that_moved_with_its_study_is_found(folder, tmp_path) -> None:
    elsewhere = tmp_path / "elsewhere"
    folder.parent.rename(elsewhere)
    opened = open_study(elsewhere / "heart")
    assert opened.problems == ()
    assert opened.image is not None
    assert opened.image.source.name == "heart_image.nii.gz"


def test_an_image_that_is_nowhere_leaves_labels_on_black(folder) -> None:
    image_of(folder).unlink()
    opened = open_study(folder)
    assert opened.image is None
    (problem,) = opened.problems
    assert "heart_image.nii.gz was not found: the labels lie on black" in problem


def test_an_image_that_changed_is_refused(folder) -> None:
    write_image(image_of(folder), np.ones(CINE.shape, np.int16), CINE)
    opened = open_study(folder)
    assert opened.image is None
    (problem,) = opened.problems
    assert "has changed since this study was made of it" in problem
    assert problem.endswith("The labels lie on black.")


def test_an_image_that_is_damaged_is_refused(tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    image_of(folder).write_bytes(image_of(folder).read_bytes()[:100])
    opened = open_study(folder)
    assert opened.image is None
    assert len(opened.problems) == 1


def test_a_chosen_image_must_have_the_grid(folder, tmp_path) -> None:
    image_of(folder).unlink()
    other = tmp_path / "other.nii.gz"
    geometry = make_geometry((4, *SHAPE), (9.0, *SPACING[1:]), frame_time=46)
    write_image(other, np.ones(geometry.shape, np.int16), geometry)
    with pytest.raises(DataError, match=r"other.nii.gz has another grid .* choose the image"):
        open_study(folder, image=other)
    write_image(other, np.ones(VOLUME.shape, np.int16), VOLUME)
    with pytest.raises(DataError, match="another grid"):
        open_study(folder, image=other)


def test_a_chosen_image_that_is_another_file_is_shown_with_a_doubt(folder, tmp_path) -> None:
    moved = tmp_path / "renamed.nii.gz"
    image_of(folder).rename(moved)
    assert open_study(folder, image=moved).problems == ()
    write_image(moved, np.ones(CINE.shape, np.int16), CINE)
    opened = open_study(folder, image=moved)
    assert opened.image is not None
    (problem,) = opened.problems
    assert "renamed.nii.gz is not the file this study was made of" in problem


def test_a_chosen_image_that_is_not_there_is_a_sentence(folder, tmp_path) -> None:
    with pytest.raises(DataError):
        open_study(folder, image=tmp_path / "nothing.nii.gz")


def test_an_image_that_came_from_no_file_is_in_the_study(tmp_path) -> None:
    folder = make_cine(tmp_path / "heart")
    own = image_of(folder).read_bytes()
    text = (folder / "study.json").read_text()
    start = text.index('"image": {')
    end = text.index("}", start) + 1
    (folder / "study.json").write_text(f'{text[:start]}"image": null{text[end:]}')
    missing = open_study(folder)
    assert missing.image is None
    assert f"{IMAGE} was not found" in missing.problems[0]
    missing.dismiss()
    (folder / IMAGE).write_bytes(own)
    found = open_study(folder)
    assert found.problems == ()
    assert found.image is not None


def test_corrections_that_are_cut_short_are_left_for_rescue(folder) -> None:
    file = folder / EDITED
    cut = file.read_bytes()[:200]
    file.write_bytes(cut)
    with pytest.raises(DataError, match="rename it to begin the corrections anew"):
        open_study(folder)
    assert file.read_bytes() == cut


def test_corrections_on_another_grid_are_refused(folder) -> None:
    write_labels(folder / EDITED, np.zeros(VOLUME.shape, np.uint8), VOLUME)
    with pytest.raises(DataError, match=r"edited.nii.gz lies on another grid"):
        open_study(folder)


def test_corrections_with_labels_above_255_are_refused(folder) -> None:
    write_labels(folder / EDITED, np.full(CINE.shape, 300, np.uint16), CINE)
    with pytest.raises(DataError, match="holds labels up to 300, which are no structures"):
        open_study(folder)


def test_a_phase_whose_posterior_is_lost_is_told(folder) -> None:
    posterior_file(folder, ES).unlink()
    opened = open_study(folder)
    (problem,) = opened.problems
    assert "phase 3 can be corrected by hand only" in problem
    assert opened.session.posterior_in(WORST) is not None


def test_a_folder_that_is_no_study_is_a_sentence(tmp_path) -> None:
    with pytest.raises(DataError):
        open_study(tmp_path)
