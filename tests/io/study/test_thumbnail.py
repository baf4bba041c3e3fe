"""Picture of a study for a list."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.io.study.summary import read_study_thumbnail

from ...helpers.data.studies import make_study


@pytest.mark.parametrize(("ed", "shown"), [(4, 3), (6, 0)], ids=["ED", "an ED beyond the image"])
def test_the_middle_slice_of_ed_or_the_first_phase_is_read(tmp_path, ed, shown):
    folder = make_study(tmp_path / "study", phases=(2, 4), ed=ed, es=2)
    voxels = read_volume(tmp_path / "study_image.nii.gz").voxels
    assert len(voxels) == 5
    assert np.array_equal(read_study_thumbnail(folder), voxels[shown, 2])


def test_a_missing_image_has_no_picture(tmp_path):
    folder = make_study(tmp_path / "study")
    (tmp_path / "study_image.nii.gz").unlink()
    assert read_study_thumbnail(folder) is None
