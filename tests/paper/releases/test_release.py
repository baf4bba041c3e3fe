"""Volumes of one case of a release, and their corrected grid."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.io.images.nifti import read_volume
from napari_bayes_nnunet.paper.releases.release import CaseReader, ReleaseCase, honest_geometry

from ...helpers.checks.problems import says, says_only
from ...helpers.data.releases import (
    PHASES,
    SHAPE,
    SHEARED,
    SPACING,
    TRUE,
    acdc_patient,
    image_of,
    labels_of,
    mnms_patient,
    write,
)

LABELS = {"background": 0, "RV": 1, "MYO": 2, "LV": 3}
ZYX = SPACING[::-1]


def case_of(folder: Path, *, in_cine: bool = False) -> ReleaseCase:
    """Return the ES phase of a made patient."""
    stem = "_sa" if in_cine else "_frame04"
    return ReleaseCase(
        patient=folder.name,
        phase="ES",
        frame=4,
        image=folder / f"{folder.name}{stem}.nii.gz",
        label=folder / f"{folder.name}{stem}_gt.nii.gz",
        in_cine=in_cine,
        held_out=False,
        groups={},
    )


def forms_agree(geometry: Geometry) -> bool:
    header = geometry.parsed()
    steps = np.linalg.norm(header.get_sform()[:3, :3], axis=0)
    return np.allclose(header.get_qform(), header.get_sform(), atol=1e-5) and np.allclose(
        steps, header.get_zooms()[:3], rtol=1e-6
    )


def test_an_affine_of_unit_scale(tmp_path):
    lying = read_volume(write(tmp_path / "i.nii.gz", image_of(1))).geometry
    assert np.allclose(np.abs(lying.affine[:3, :3]).diagonal(), 1)
    honest = honest_geometry(lying)
    assert np.allclose(honest.affine, TRUE, atol=1e-12)
    assert np.array_equal(honest.affine, np.diag(honest.affine.diagonal()))
    assert honest.spacing == ZYX
    assert honest.letters == lying.letters
    assert forms_agree(honest)


def test_directions_are_made_orthonormal(tmp_path):
    file = write(tmp_path / "i.nii.gz", image_of(1), sform=SHEARED, qform=None)
    honest = honest_geometry(read_volume(file).geometry)
    axes = honest.affine[:3, :3] / SPACING
    assert np.allclose(axes.T @ axes, np.eye(3), atol=1e-6)
    assert np.abs(axes - SHEARED[:3, :3] / SPACING).max() < 0.15  # the closest such directions
    assert np.allclose(honest.affine[:3, 3], SHEARED[:3, 3])
    assert honest.spacing == ZYX
    assert forms_agree(honest)


def test_a_file_without_directions_stays_without():
    geometry = honest_geometry(make_geometry(SHAPE[::-1], ZYX))
    assert geometry.letters is None
    assert geometry.spacing == ZYX


def test_volumes_of_frames_and_of_cines(tmp_path):
    for case, number in (
        (case_of(acdc_patient(tmp_path / "patient001")), 1 + 4),
        (case_of(mnms_patient(tmp_path / "A0", number=7), in_cine=True), 7 + 3),
    ):
        image, labels, geometry = CaseReader(LABELS).read(case)
        assert np.array_equal(image, image_of(number).T)
        assert np.array_equal(labels, labels_of(number).T)
        assert image.dtype == np.int16
        assert geometry.spacing == ZYX


def test_labels_on_another_grid(tmp_path):
    case = case_of(acdc_patient(tmp_path / "patient001"))
    write(case.label, labels_of(1, (6, 5, 4)))
    with pytest.raises(DataError) as caught:
        CaseReader(LABELS).read(case)
    assert (caught.value.values["file"], caught.value.values["reference"]) == (
        case.label,
        case.image.name,
    )
    assert "6 x 5 x 4" in caught.value.values["grid"]
    write(case.label, labels_of(1), spacing=(1.25, 1.5, 10), qform=None)
    with pytest.raises(DataError) as caught:
        CaseReader(LABELS).read(case)
    assert "1.25 x 1.5 x 10 mm" in caught.value.values["grid"]
    assert "1.25 x 1.5 x 8 mm" in caught.value.values["expected"]
    case = case_of(mnms_patient(tmp_path / "A0"), in_cine=True)
    write(case.label, labels_of(1))
    with pytest.raises(DataError) as caught:
        CaseReader(LABELS).read(case)
    assert "6 x 5 x 3 voxels" in caught.value.values["grid"]
    assert f"6 x 5 x 3 x {PHASES} voxels" in caught.value.values["expected"]


def test_the_position_of_a_label_is_ignored(tmp_path):
    case = case_of(acdc_patient(tmp_path / "patient001"))
    write(case.label, labels_of(9), sform=np.diag([1.0, 1, 1, 1]), qform=None)
    _, labels, geometry = CaseReader(LABELS).read(case)
    assert np.array_equal(labels, labels_of(9).T)
    assert np.allclose(geometry.affine, TRUE)


def test_missing_frames_are_refused(tmp_path):
    case = case_of(mnms_patient(tmp_path / "A0"), in_cine=True)
    with pytest.raises(DataError) as caught:
        CaseReader(LABELS).read(replace(case, frame=6))
    expected = {"file": case.image, "found": "5 phases", "expected": "phase 6, the ES of A0"}
    assert caught.value.values == expected
    with pytest.raises(DataError, check=says(found="5 phases")):
        CaseReader(LABELS).read(replace(case, in_cine=False))


def test_unknown_label_values_are_refused(tmp_path):
    case = case_of(acdc_patient(tmp_path / "patient001"))
    write(case.label, labels_of(1) + np.uint8(1))
    with pytest.raises(
        DataError, check=says_only(file=case.label, found="the label 4", expected="0, 1, 2, 3")
    ):
        CaseReader(LABELS).read(case)
