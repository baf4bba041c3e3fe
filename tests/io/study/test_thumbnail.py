"""Picture of a study for a list."""

from __future__ import annotations

import numpy as np

from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.io.study.summary import read_study_thumbnail

from ...helpers.data.studies import make_study


def test_the_middle_slice_of_ed_is_read(tmp_path):
    folder = make_study(tmp_path / "study", phases=(2, 4), ed=4, es=2)
    voxels = read_volume(tmp_path / "study_image.nii.gz").voxels
    thumbnail = read_study_thumbnail(folder)
    assert thumbnail is not None
    assert np.array_equal(thumbnail, voxels[3, 2])


def test_the_first_phase_replaces_an_ed_that_the_image_lacks(tmp_path):
    folder = make_study(tmp_path / "study", phases=(2, 4), ed=6, es=2)
    voxels = read_volume(tmp_path / "study_image.nii.gz").voxels
    assert len(voxels) == 5
    assert np.array_equal(read_study_thumbnail(folder), voxels[0, 2])


def test_a_missing_image_has_no_picture(tmp_path):
    folder = make_study(tmp_path / "study")
    (tmp_path / "study_image.nii.gz").unlink()
    assert read_study_thumbnail(folder) is None
