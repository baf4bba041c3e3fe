"""Labels in the geometry of their image, checked before they replace a file."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.app.review import label_export
from napari_bayes_nnunet.app.review.label_export import export_labels
from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry
from napari_bayes_nnunet.io.images.nifti import read_labels, read_volume, write_labels
from napari_bayes_nnunet.sample_data import CINE

nib: Any = nibabel
OBLIQUE = np.array(
    [[-0.92, 0.4, -5.0, 14], [-0.9, -0.35, 5.3, 185], [-0.04, -1.2, -3.3, 110], [0, 0, 0, 1]]
)
LABELS = np.arange(60, dtype=np.uint8).reshape(3, 4, 5) % 4


@pytest.fixture
def geometry(tmp_path: Path) -> Geometry:
    """Of an oblique image whose qform and sform differ, in metres and seconds."""
    image = nib.Nifti1Image(np.ones((5, 4, 3), np.int16), OBLIQUE)
    image.set_qform(np.diag([-1.5, -1.5, 8, 1]), code="scanner")
    image.set_sform(OBLIQUE, code="mni")
    image.header.set_xyzt_units("meter", "sec")
    nib.save(image, tmp_path / "image.nii.gz")
    return read_volume(tmp_path / "image.nii.gz").geometry


def test_labels_lie_where_the_image_lies(tmp_path: Path, geometry: Geometry) -> None:
    file = tmp_path / "new" / "labels.nii.gz"
    export_labels(file, LABELS, geometry)
    written, image = nib.load(file), nib.load(tmp_path / "image.nii.gz")
    np.testing.assert_array_equal(np.asarray(written.dataobj).T, LABELS)
    np.testing.assert_array_equal(written.affine, image.affine)
    for form in ("get_qform", "get_sform"):
        (one, code), (other, as_image) = (getattr(i, form)(coded=True) for i in (written, image))
        np.testing.assert_array_equal(one, other)
        assert code == as_image
    assert written.header.get_xyzt_units() == ("meter", "sec")
    assert [f.name for f in file.parent.iterdir()] == ["labels.nii.gz"]


def test_labels_of_a_whole_cine(tmp_path: Path) -> None:
    geometry = read_volume(CINE).geometry
    labels = np.zeros(geometry.shape, np.uint8)
    labels[7, 3, 50:60, 40:70] = 3
    export_labels(tmp_path / "cine.nii.gz", labels, geometry)
    found = read_labels(tmp_path / "cine.nii.gz")
    np.testing.assert_array_equal(found.voxels, labels)
    assert found.frame_time == geometry.frame_time


def other_voxels(file: Path, labels: Any, like: Geometry) -> None:
    write_labels(file, np.where(labels == 3, 2, labels), like)


def other_place(file: Path, labels: Any, like: Geometry) -> None:
    write_labels(file, labels, make_geometry(labels.shape, like.spacing))


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (other_voxels, "labels.nii.gz was not written: read back, 15 voxels are others"),
        (other_place, r"labels.nii.gz was not written: .* elsewhere than its image \(pixdim, xyzt"),
    ],
)
def test_what_is_not_the_same_replaces_no_file(
    damage: Any, message: str, tmp_path: Path, geometry: Geometry, monkeypatch: pytest.MonkeyPatch
) -> None:
    file = tmp_path / "labels.nii.gz"
    export_labels(file, LABELS, geometry)
    before = file.read_bytes()
    monkeypatch.setattr(label_export, "write_labels", damage)
    with pytest.raises(DataError, match=message):
        export_labels(file, LABELS, geometry)
    assert file.read_bytes() == before
    assert {f.name for f in tmp_path.iterdir()} == {"labels.nii.gz", "image.nii.gz"}


def test_the_image_itself_is_not_replaced(tmp_path: Path, geometry: Geometry) -> None:
    image = tmp_path / "image.nii.gz"
    before = image.read_bytes()
    with pytest.raises(DataError, match="image.nii.gz is the image itself"):
        export_labels(image, LABELS, geometry, source=image)
    assert image.read_bytes() == before


def test_labels_of_another_shape(tmp_path: Path, geometry: Geometry) -> None:
    with pytest.raises(DataError, match=r"image's shape \(3, 4, 5\), not \(3, 4, 4\)"):
        export_labels(tmp_path / "labels.nii.gz", LABELS[..., :4], geometry)
    assert [f.name for f in tmp_path.iterdir()] == ["image.nii.gz"]


def test_a_folder_that_cannot_be_made(tmp_path: Path, geometry: Geometry) -> None:
    (tmp_path / "file").touch()
    with pytest.raises(DataError, match=r"labels.nii.gz cannot be written: "):
        export_labels(tmp_path / "file" / "labels.nii.gz", LABELS, geometry)
