"""Long axes of a study: kept with it, replaced with it, and missing in older studies."""

from __future__ import annotations

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.long_axis import LongAxis
from napari_bayes_nnunet.io.study.long_axes import (
    DAMAGED_LONG_AXIS,
    LONG_AXIS_FILES,
    long_axis_file,
    read_stored_long_axes,
    write_long_axes,
)
from napari_bayes_nnunet.io.study.study import read_study, write_study
from tests.helpers.data.studies import made_image, made_info, made_posterior


def made_plane(voxels: np.ndarray | None = None) -> LongAxis:
    made = np.arange(24, dtype=np.uint16).reshape(2, 3, 4) if voxels is None else voxels
    return LongAxis(kind="RV 2CH", voxels=made, affine=np.diag([1.5, 1.5, 6, 1]))


def test_long_axes_are_kept_and_replaced_with_their_study(tmp_path):
    image, folder = made_image(tmp_path / "heart.nii.gz"), tmp_path / "study"
    posteriors, info = {None: made_posterior()}, made_info(image)
    write_study(folder, info, posteriors, long_axes=[made_plane()])
    (plane,) = read_study(folder).long_axes
    assert plane.kind == "RV 2CH"
    assert plane.voxels.dtype == np.uint16
    assert np.array_equal(plane.voxels, made_plane().voxels)
    assert np.array_equal(plane.affine, made_plane().affine)
    write_study(folder, info, posteriors)  # of another heart
    assert not {file.name for file in folder.iterdir()} & {*LONG_AXIS_FILES}


@pytest.mark.parametrize(
    "voxels", [np.zeros((3, 4)), np.zeros((2, 3, 4), "U1"), np.zeros((0, 3, 4)), None]
)
def test_a_damaged_long_axis_is_left_out(tmp_path, voxels):
    file, problems = tmp_path / long_axis_file("RV 2CH"), list[str]()
    if voxels is None:
        file.write_bytes(b"no archive")
    else:
        write_long_axes(tmp_path, [made_plane(voxels)])
    assert read_stored_long_axes(tmp_path, problems) == ()
    assert problems == [DAMAGED_LONG_AXIS.format(file=file, kind="RV 2CH")]


def test_long_axes_are_measured_before_unpacking(tmp_path):
    file, problems = tmp_path / long_axis_file("4CH"), list[str]()
    huge = np.broadcast_to(np.uint8(0), (2, 2**14, 2**13))
    np.savez_compressed(file, voxels=huge, affine=np.eye(4))
    assert read_stored_long_axes(tmp_path, problems) == ()
    assert len(problems) == 1
