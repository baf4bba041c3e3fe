"""Written NIfTI files have the grid of their source, and are whole or absent."""

from __future__ import annotations

import gzip
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import make_geometry
from napari_bayes_nnunet.io.images.nifti import (
    read_labels,
    read_volume,
    write_image,
    write_labels,
    write_map,
)

from ...helpers.checks.problems import says_only
from ...helpers.data.niftis import OBLIQUE, XYZ, XYZT, acdc_like, edit_header, save

nib: Any = nibabel
sitk: Any = pytest.importorskip("SimpleITK")

GRID_FIELDS = (
    "dim", "pixdim", "xyzt_units", "qform_code", "sform_code", "quatern_b", "quatern_c",
    "quatern_d", "qoffset_x", "qoffset_y", "qoffset_z", "srow_x", "srow_y", "srow_z",
)  # fmt: skip


def qform_only(image: Any) -> None:
    image.set_sform(None, code=0)
    image.set_qform(OBLIQUE, code="scanner")


def sform_only(image: Any) -> None:
    image.set_sform(OBLIQUE, code="aligned")
    image.set_qform(None, code=0)


def both_forms_that_differ(image: Any) -> None:
    image.set_qform(np.diag([-1.5, -1.5, 8.0, 1.0]), code="scanner")
    image.set_sform(OBLIQUE, code="mni")


def metres_and_seconds(image: Any) -> None:
    image.set_sform(OBLIQUE, code="scanner")
    image.header["pixdim"][1:5] = (0.0013, 0.0013, 0.008, 0.046)
    image.header.set_xyzt_units("meter", "sec")


def no_form(image: Any) -> None:
    image.set_sform(None, code=0)
    image.set_qform(None, code=0)


def scaled_with_notes(image: Any) -> None:
    image.header.set_slope_inter(2, 1)
    image.header["descrip"] = b"a name"
    image.header["cal_max"] = 900
    image.header.set_intent("z score", name="z")


CHANGES = [
    qform_only, sform_only, both_forms_that_differ, metres_and_seconds, no_form, scaled_with_notes,
]  # fmt: skip


@pytest.mark.parametrize("change", CHANGES, ids=lambda change: change.__name__)
@pytest.mark.parametrize("voxels", [XYZ, XYZT, XYZ[..., np.newaxis]], ids=["3D", "4D", "T=1"])
def test_labels_and_maps_have_the_sources_grid(tmp_path, voxels, change):
    source = save(tmp_path / "a.nii.gz", voxels, change=change)
    check_round_trip(tmp_path, source)


def test_the_lying_affine_of_acdc_is_kept(tmp_path):
    path = save(tmp_path / "a.nii", XYZ, np.diag([-1.0, -1.0, 1.0, 1.0]))
    check_round_trip(tmp_path, edit_header(path, acdc_like))


def test_grid_of_big_endian_file_is_kept(tmp_path):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.dtype(">i2"))
    nib.save(nib.Nifti1Image(XYZ.astype(">i2"), OBLIQUE, header), tmp_path / "a.nii")
    check_round_trip(tmp_path, tmp_path / "a.nii")


@pytest.mark.parametrize("code", [-1, 6, 300])
@pytest.mark.parametrize("form", ["qform_code", "sform_code"])
def test_undefined_form_codes_are_read_like_nibabel(tmp_path, form, code):
    def change(header: Any) -> None:
        header[form] = code

    source = edit_header(save(tmp_path / "a.nii", XYZ, change=both_forms_that_differ), change)
    image = read_volume(source)
    write_labels(tmp_path / "l.nii", image.voxels, image)
    assert np.array_equal(image.geometry.affine, nib.load(source).affine)
    assert np.array_equal(nib.load(tmp_path / "l.nii").affine, nib.load(source).affine)
    assert read_labels(tmp_path / "l.nii").geometry.same_grid(image.geometry)


def check_round_trip(folder: Path, source: Path) -> None:
    volume = read_volume(source)
    labels = (np.arange(volume.voxels.size) % 4).reshape(volume.shape)
    write_labels(folder / "labels.nii.gz", labels, volume)
    write_map(folder / "map.nii", labels / 3, volume.geometry)
    for name, dtype, expected in (
        ("labels.nii.gz", np.uint8, labels),
        ("map.nii", np.float32, labels / 3),
    ):
        check_same_grid(source, folder / name)
        saved = nib.load(folder / name)
        assert saved.header.get_data_dtype() == dtype
        shape = nib.load(source).shape
        assert np.allclose(np.asanyarray(saved.dataobj), expected.T.reshape(shape))
        assert np.allclose(read_volume(folder / name).voxels, expected)


def check_same_grid(source: Path, written: Path) -> None:
    before, after = raw_header(source), raw_header(written)
    for field in GRID_FIELDS:
        assert np.array_equal(before[field], after[field]), field
    assert np.array_equal(nib.load(source).affine, nib.load(written).affine)
    assert nib.load(source).header.get_zooms() == nib.load(written).header.get_zooms()
    assert (after["scl_slope"], after["scl_inter"]) == (1, 0)
    assert after["descrip"] == b""
    assert after["cal_max"] == 0


def raw_header(path: Path) -> Any:
    content = path.read_bytes()
    content = gzip.decompress(content) if path.suffix == ".gz" else content
    return nib.Nifti1Header(content[:348], check=False)


def turned(axis: int, *, flip: bool) -> Any:
    """Return an oblique affine of slices along a file axis; mirrored if ``flip``."""
    columns = np.insert(OBLIQUE[:3, :2] * (1.0, 1.0), axis, OBLIQUE[:3, 2], axis=1)
    affine = OBLIQUE.copy()
    affine[:3, :3] = columns * (-1 if flip else 1, 1, 1)
    return affine


@pytest.mark.parametrize("flip", [False, True], ids=["", "mirrored"])
@pytest.mark.parametrize("phases", [0, 2], ids=["3D", "4D"])
@pytest.mark.parametrize("axis", [0, 1, 2], ids=["x", "y", "z"])
@pytest.mark.parametrize("form", [qform_only, sform_only, no_form], ids=lambda form: form.__name__)
def test_other_programs_read_results_where_the_image_is(tmp_path, axis, phases, flip, form):
    affine = turned(axis, flip=flip)

    def change(image: Any) -> None:
        zooms = np.linalg.norm(affine[:3, :3], axis=0)
        image.header.set_zooms((*zooms, *([46.0] if phases else ())))
        image.set_sform(affine, code=1 if form is sform_only else 0)
        image.set_qform(affine, code=1 if form is qform_only else 0)

    shape = (*np.insert([24, 20], axis, 3), *([phases] if phases else ()))
    voxels = np.random.default_rng(0).integers(1, 4, shape).astype(np.int16)
    source = save(tmp_path / "a.nii.gz", voxels, affine, change=change)
    image = read_volume(source)
    assert image.shape[-3:] == (3, 20, 24)
    write_labels(tmp_path / "labels.nii.gz", image.voxels, image)
    write_map(tmp_path / "map.nii.gz", image.voxels, image)
    write_image(tmp_path / "image.nii.gz", image.voxels, image)
    theirs, expected = sitk.ReadImage(str(source)), nib.load(source)
    for name in ("labels.nii.gz", "map.nii.gz", "image.nii.gz"):
        written, plain = sitk.ReadImage(str(tmp_path / name)), nib.load(tmp_path / name)
        for part in ("GetOrigin", "GetDirection", "GetSpacing", "GetSize"):
            assert getattr(written, part)() == getattr(theirs, part)(), part
        assert np.array_equal(sitk.GetArrayFromImage(written), sitk.GetArrayFromImage(theirs))
        assert np.array_equal(plain.affine, expected.affine)
        assert np.array_equal(np.asanyarray(plain.dataobj), voxels)
        check_same_grid(source, tmp_path / name)
        read_back = read_volume(tmp_path / name)
        assert np.array_equal(read_back.voxels, image.voxels)
        assert read_back.geometry.same_grid(image.geometry)


def test_the_labels_of_a_frame_have_3_axes(tmp_path):
    source = save(tmp_path / "a.nii", XYZT, change=qform_only)
    frame = read_volume(source).frame(2)
    write_labels(tmp_path / "l.nii", np.ones((3, 4, 5), np.uint8), frame)
    written = nib.load(tmp_path / "l.nii")
    assert written.shape == (5, 4, 3)
    assert np.array_equal(written.affine, nib.load(source).affine)


def test_only_labels_are_marked_as_labels(tmp_path):
    like = make_geometry((3, 4, 5), (8, 1.5, 1.5))
    write_labels(tmp_path / "l.nii", np.zeros((3, 4, 5), bool), like)
    labels = read_volume(tmp_path / "l.nii", allow_blank=True)
    assert labels.geometry.is_label_image
    write_map(tmp_path / "m.nii", np.ones((3, 4, 5)), labels)
    assert not read_volume(tmp_path / "m.nii").geometry.is_label_image


@pytest.mark.parametrize(("highest", "dtype"), [(255, np.uint8), (256, np.uint16)])
def test_label_type_is_smallest_possible(tmp_path, highest, dtype):
    labels = np.full((3, 4, 5), highest)
    write_labels(tmp_path / "l.nii", labels, make_geometry((3, 4, 5), (8, 1.5, 1.5)))
    assert nib.load(tmp_path / "l.nii").header.get_data_dtype() == dtype
    assert read_labels(tmp_path / "l.nii").voxels.max() == highest


@pytest.mark.parametrize(
    ("voxels", "dtype"),
    [(XYZ.T, np.int16), (XYZ.T.astype(np.uint16), np.uint16), (XYZ.T / 7, np.float32)],
)
def test_images_keep_whole_numbers(tmp_path, voxels, dtype):
    write_image(tmp_path / "i.nii", voxels, make_geometry((3, 4, 5), (8, 1.5, 1.5)))
    written = read_volume(tmp_path / "i.nii")
    assert written.voxels.dtype == dtype
    assert np.allclose(written.voxels, voxels)


@pytest.mark.parametrize("shape", [(5, 4, 3), (3, 4), (2, 3, 4, 5)])
def test_another_grid_is_not_written(tmp_path, shape):
    like = make_geometry((3, 4, 5), (8, 1.5, 1.5))
    with pytest.raises(DataError) as of_labels:
        write_labels(tmp_path / "l.nii", np.zeros(shape, np.uint8), like)
    with pytest.raises(DataError) as of_map:
        write_map(tmp_path / "m.nii", np.zeros(shape), like)
    for error in (of_labels.value, of_map.value):
        assert error.values["expected"] == (3, 4, 5)
        assert error.values["shape"] == shape
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize("value", [-1, 65536, 1.0])
def test_values_that_are_no_labels_are_not_written(tmp_path, value):
    like = make_geometry((3, 4, 5), (8, 1.5, 1.5))
    with pytest.raises(DataError) as error:
        write_labels(tmp_path / "l.nii", np.full((3, 4, 5), value), like)
    assert value in (error.value.values["low"], error.value.values["high"])


def test_other_endings_are_not_written(tmp_path):
    like = make_geometry((3, 4, 5), (8, 1.5, 1.5))
    with pytest.raises(DataError, check=says_only(file=tmp_path / "m.tif")):
        write_map(tmp_path / "m.tif", np.zeros((3, 4, 5)), like)
