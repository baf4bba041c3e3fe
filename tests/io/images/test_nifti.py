"""Reading NIfTI files, and the error for each file that cannot be read."""

from __future__ import annotations

import gzip
import tracemalloc
from pathlib import Path
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.files import main_memory
from napari_bayes_nnunet.io.files.limits import LFS_START
from napari_bayes_nnunet.io.images.integrity import nifti_header, phase_count
from napari_bayes_nnunet.io.images.nifti import (
    BLANK_IMAGE,
    DAMAGED_NIFTI,
    IMAGE_POINTER,
    MORE_THAN_HEADER,
    NEEDS_MEMORY,
    NO_NIFTI,
    ONE_SLICE_CINE,
    OTHER_GRID,
    SLICES_ON_FOURTH_AXIS,
    TOO_LARGE,
    TRUNCATED,
    WRONG_TYPE,
    CardiacPhases,
    case_name,
    channel_files,
    is_further_channel,
    read_channels,
    read_info_cfg,
    read_labels,
    read_volume,
    write_labels,
)

from ...helpers.checks.problems import says, says_only
from ...helpers.data.niftis import OBLIQUE, XYZ, XYZT, save

nib: Any = nibabel

# --- reading ---------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_are_as_stored_with_the_axes_reversed(tmp_path, name):
    volume = read_volume(save(tmp_path / name, XYZ))
    assert volume.voxels.dtype == np.int16
    assert np.array_equal(volume.voxels, XYZ.transpose(2, 1, 0))
    assert volume.voxels.flags.c_contiguous
    assert volume.shape == (3, 4, 5)
    assert volume.source == tmp_path / name
    assert not volume.is_cine
    assert volume.phases == 1


def test_cine_has_time_first_and_frames_from_1(tmp_path):
    path = save(tmp_path / "a.nii", XYZT, change=lambda i: i.header.set_zooms((1.28, 1.28, 8, 46)))
    cine = read_volume(path)
    assert cine.shape == (2, 3, 4, 5)
    assert cine.is_cine
    assert cine.phases == 2
    assert cine.frame_time == 46
    second = cine.frame(2)
    assert np.array_equal(second.voxels, XYZT[..., 1].transpose(2, 1, 0))
    assert second.shape == (3, 4, 5)
    assert second.spacing == cine.spacing


@pytest.mark.parametrize("phase", [0, 3, -1])
def test_other_phases_are_refused(tmp_path, phase):
    cine = read_volume(save(tmp_path / "a.nii", XYZT))
    with pytest.raises(DataError, check=says_only(file="a.nii", phase=phase, phases=2)):
        cine.frame(phase)


def test_phase_1_of_a_volume_is_the_volume(tmp_path):
    volume = read_volume(save(tmp_path / "a.nii", XYZ))
    assert np.array_equal(volume.frame(1).voxels, volume.voxels)
    assert volume.frame(1).geometry == volume.geometry
    with pytest.raises(DataError, check=says(phases=1)):
        volume.frame(2)


@pytest.mark.parametrize("unit", ["unknown", "sec"])
def test_slices_on_the_fourth_axis_are_a_volume(tmp_path, unit):
    voxels = np.arange(1, 8 * 6 * 5 + 1, dtype=np.int16).reshape(8, 6, 5)
    usual = nib.Nifti1Image(voxels, OBLIQUE)
    usual.header.set_xyzt_units("mm")
    nib.save(usual, tmp_path / "usual.nii")
    joined = nib.Nifti1Image(voxels[:, :, np.newaxis], OBLIQUE @ np.diag([1, 1, 0.1, 1]))
    step = usual.header.get_zooms()[2]
    joined.header.set_zooms((*joined.header.get_zooms()[:3], step))
    joined.header.set_xyzt_units("mm", unit)
    nib.save(joined, tmp_path / "joined.nii")
    volume, expected = (read_volume(tmp_path / f"{name}.nii") for name in ("joined", "usual"))
    assert np.array_equal(volume.voxels, expected.voxels)
    assert volume.geometry.same_grid(expected.geometry)
    assert volume.geometry.affine == pytest.approx(expected.geometry.affine, abs=1e-4)
    assert [note.template for note in volume.notes] == [SLICES_ON_FOURTH_AXIS]
    assert (volume.notes[0].values["count"], volume.frame_time) == (5, None)
    assert phase_count(nifti_header(tmp_path / "joined.nii")) == 1
    write_labels(tmp_path / "labels.nii", volume.voxels % 4, volume)
    assert nib.load(tmp_path / "labels.nii").shape == (8, 6, 5)
    assert read_labels(tmp_path / "labels.nii").geometry.same_grid(volume.geometry)


@pytest.mark.parametrize(("step", "noted"), [(0.0, True), (1.0, True), (150.0, False)])
def test_unclear_fourth_axis_is_noted(tmp_path, step, noted):
    change = lambda i: i.header.set_zooms((1.4, 1.4, 8, step))  # noqa: E731
    cine = read_volume(save(tmp_path / "a.nii", XYZT[:, :, :1], change=change))
    assert cine.phases == phase_count(nifti_header(tmp_path / "a.nii")) == 2
    assert cine.shape == (2, 1, 4, 5)
    assert [note.template for note in cine.notes] == [ONE_SLICE_CINE] * noted
    assert cine.frame(1).notes == cine.notes


def test_slope_and_intercept_are_applied(tmp_path):
    def change(image: Any) -> None:
        image.header.set_slope_inter(0.5, -3)

    path = save(tmp_path / "a.nii", XYZ, change=change)
    raw = nib.load(path).dataobj.get_unscaled()
    volume = read_volume(path)
    assert volume.voxels.dtype == np.float32
    assert np.allclose(volume.voxels, (0.5 * raw - 3).T)


@pytest.mark.parametrize("dtype", [">i2", ">f4"])
def test_big_endian_files(tmp_path, dtype):
    header = nib.Nifti1Header(endianness=">")
    header.set_data_dtype(np.dtype(dtype))
    path = tmp_path / "a.nii"
    nib.save(nib.Nifti1Image(XYZ.astype(dtype), OBLIQUE, header), path)
    assert path.read_bytes()[:4] == b"\0\0\1\x5c"
    volume = read_volume(path)
    assert volume.voxels.dtype.isnative
    assert np.array_equal(volume.voxels, XYZ.T)
    assert np.allclose(volume.geometry.affine, OBLIQUE)


def test_double_precision_becomes_single(tmp_path):
    assert read_volume(save(tmp_path / "a.nii", XYZ / 7)).voxels.dtype == np.float32


def test_nifti_2_and_a_wrong_ending(tmp_path):
    path = tmp_path / "a.nii"
    path.write_bytes(gzip.compress(nib.Nifti2Image(XYZ, OBLIQUE).to_bytes()))
    volume = read_volume(path)
    assert np.array_equal(volume.voxels, XYZ.T)
    write_labels(tmp_path / "b.nii.gz", volume.voxels, volume)
    assert isinstance(nib.load(tmp_path / "b.nii.gz"), nib.Nifti2Image)


# --- refusals --------------------------------------------------------------------------------


def header(voxels: Any = XYZ, **fields: Any) -> bytes:
    """Return a NIfTI file with header fields as given; ``dim_3`` is the third number of dim."""
    content = nib.Nifti1Image(voxels, OBLIQUE).to_bytes()
    changed = nib.Nifti1Header(content[:348], check=False)
    for name, value in fields.items():
        field, _, index = name.rpartition("__")
        changed[field or name][int(index) if field else ...] = value
    return changed.binaryblock + content[348:]


def replaced(content: bytes, start: int, new: bytes) -> bytes:
    return content[:start] + new + content[start + len(new) :]


NOISE = header(np.random.default_rng(0).integers(0, 2000, (16, 16, 8), dtype=np.int16))
PLAIN, ONE_SLICE, LONG = header(), XYZ[..., :1].tobytes(), bytes(2**24)
PACKED, NUMBERS, LARGE = gzip.compress(PLAIN), XYZ.astype(float), nib.Nifti2Image(XYZ, OBLIQUE)
LARGE.header["dim"][1:4] = 100_000
REFUSED: list[tuple[bytes, str | None, dict[str, Any]]] = [
    *((text, NO_NIFTI, {}) for text in (b"", b"hello", b"x" * 1000, gzip.compress(b"x" * 1000))),
    *(
        (whole[: int(share * len(whole))], TRUNCATED, {})
        for whole in (NOISE, gzip.compress(NOISE))
        for share in (0.3, 0.9, 0.999)
    ),
    (PACKED[:-4], TRUNCATED, {}),
    (LFS_START + b"v1\noid sha256:0\nsize 1\n", IMAGE_POINTER, {}),
    (replaced(PACKED, 12, b"\xff" * 28), DAMAGED_NIFTI, {}),
    (header(np.ones(5, np.int16)), None, {"lengths": [5]}),
    (header(np.ones((5, 4), np.int16)), None, {"lengths": [5, 4]}),
    (header(np.ones((2, 2, 2, 2, 3), np.int16)), None, {"lengths": [2, 2, 2, 2, 3]}),
    *((header(dim__1=length), None, {"lengths": [length, 4, 3]}) for length in (0, -4)),
    *((header(dim__3=length), None, {"lengths": [5, 4, length]}) for length in (0, -4)),
    (header(XYZ * 0), BLANK_IMAGE, {}),
    *(
        (header(np.where(XYZ < 3, bad, NUMBERS)), None, {"count": 2, "total": 60})
        for bad in (np.nan, np.inf, -np.inf)
    ),
    (header(NUMBERS * 1e300), None, {"count": 60, "total": 60}),
    (header(np.zeros((5, 4, 3), np.complex64)), WRONG_TYPE, {}),
    (header(np.zeros((5, 4, 3), [("R", "u1"), ("G", "u1"), ("B", "u1")])), WRONG_TYPE, {}),
    (header(datatype=1234), None, {"code": 1234}),
    (header(sform_code=0, qform_code=1, quatern_b=3, quatern_c=3), DAMAGED_NIFTI, {}),
    *((header(vox_offset=n), DAMAGED_NIFTI, {}) for n in (1, 348, -400.0, np.nan, 1e9)),
    *((pack(PLAIN + ONE_SLICE), MORE_THAN_HEADER, {}) for pack in (bytes, gzip.compress)),
    (PLAIN + LONG, MORE_THAN_HEADER, {}),
    # The end is cut off, which only a reader that unpacks everything would notice.
    (gzip.compress(PLAIN + 2 * LONG, 1)[:-200], MORE_THAN_HEADER, {}),
    (gzip.compress(LARGE.header.binaryblock + bytes(1000)), TOO_LARGE, {"voxels": 10**15}),
]


def refused(path: Path, template: str | None = None, **values: Any) -> None:
    """Expect an error about ``path`` with the ``template``, or with these ``values``."""
    with pytest.raises(DataError) as error:
        read_volume(path)
    assert path.name in str(error.value)
    assert "\n" not in str(error.value)
    if template is None:
        assert error.value.values == {"file": path, **values}
    else:
        assert error.value.statement.template == template
        assert error.value.values.items() >= values.items()


def test_missing_file_and_folder(tmp_path):
    refused(tmp_path / "nowhere.nii.gz")
    refused(tmp_path, reason="Is a directory")


@pytest.mark.parametrize("row", range(len(REFUSED)))
def test_unreadable_content_is_refused(tmp_path, row):
    content, template, values = REFUSED[row]
    (tmp_path / "a.nii.gz").write_bytes(content)
    refused(tmp_path / "a.nii.gz", template, **values)


def test_flipped_bit_is_found_by_the_checksum(tmp_path):
    path, content = tmp_path / "a.nii.gz", bytearray(gzip.compress(PLAIN, 0))
    content[-40] ^= 1
    path.write_bytes(content)
    with pytest.raises(DataError) as error:
        read_volume(path)
    assert isinstance(error.value.__cause__, gzip.BadGzipFile)


@pytest.mark.parametrize("step", [0.0, -1.5, np.nan, np.inf])
@pytest.mark.parametrize("axis", [1, 2, 3])
def test_spacing_must_be_above_0(tmp_path, axis, step):
    (tmp_path / "a.nii").write_bytes(header(**{f"pixdim__{axis}": step}))
    with pytest.raises(DataError) as error:
        read_volume(tmp_path / "a.nii")
    assert error.value.values["spacing"][axis - 1] == pytest.approx(step, nan_ok=True)


# --- labels ----------------------------------------------------------------------------------


@pytest.mark.parametrize(("highest", "dtype"), [(3, np.uint8), (300, np.uint16)])
def test_labels_are_read_as_the_smallest_type(tmp_path, highest, dtype):
    stored = np.zeros((5, 4, 3), np.float64)
    stored[1, 2, 1] = highest
    labels = read_labels(save(tmp_path / "a.nii", stored))
    assert labels.voxels.dtype == dtype
    assert labels.voxels[1, 2, 1] == highest


@pytest.mark.parametrize("value", [0.5, -1.0, 70000.0])
def test_other_values_are_no_labels(tmp_path, value):
    path = save(tmp_path / "a.nii", np.full((5, 4, 3), value, np.float32))
    with pytest.raises(DataError) as error:
        read_labels(path)
    assert error.value.values == {"file": path, "type": np.float32, "low": value, "high": value}


# --- cases and channels ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("name", "case"),
    [
        ("p1.nii.gz", "p1"),
        ("p1.NII", "p1"),
        ("p1_0000.nii.gz", "p1"),
        ("p1_0001.nii.gz", "p1_0001"),
        ("p1_0000_0000.nii", "p1_0000"),
        ("p.1.nii.gz", "p.1"),
    ],
)
def test_case_name(name, case):
    assert case_name(Path("folder") / name) == case


def test_word_in_the_name_gives_a_doubt(tmp_path):
    doubts = []
    for name in ("p01_LGE.nii.gz", "p01.nii.gz"):
        nib.save(nib.Nifti1Image(np.ones((4, 5, 3), np.int16), np.eye(4)), tmp_path / name)
        doubts.append(read_volume(tmp_path / name).frame(1).doubt)
    assert ("LGE" in str(doubts[0]), doubts[1]) == (True, None)


def test_channels_are_the_siblings_without_a_gap(tmp_path):
    for name in ("a_0000", "a_0001", "a_0002", "a_0004", "b_0001", "ab_0001"):
        (tmp_path / f"{name}.nii.gz").touch()
    files = channel_files(tmp_path / "a_0000.nii.gz")
    assert [file.name for file in files] == [f"a_000{c}.nii.gz" for c in range(3)]
    assert channel_files(tmp_path / "a_0001.nii.gz") == [tmp_path / "a_0001.nii.gz"]
    assert channel_files(tmp_path / "a.nii.gz") == [tmp_path / "a.nii.gz"]
    assert is_further_channel(tmp_path / "a_0002.nii.gz")
    assert not is_further_channel(tmp_path / "a_0000.nii.gz")
    assert not is_further_channel(tmp_path / "b_0001.nii.gz")
    assert not is_further_channel(tmp_path / "a.nii.gz")


def test_one_channel_may_be_blank(tmp_path):
    first, second = (tmp_path / f"a_000{channel}.nii.gz" for channel in range(2))
    for blank, other in ((first, second), (second, first)):
        save(blank, XYZ * 0)
        save(other, XYZ)
        assert [bool(volume.voxels.any()) for volume in read_channels(first)] == [
            file is other for file in (first, second)
        ]
    save(first, XYZ * 0)
    with pytest.raises(DataError, check=says(BLANK_IMAGE, file=first)):
        read_channels(first)


def test_channels_on_another_grid_are_refused(tmp_path):
    save(tmp_path / "a_0000.nii.gz", XYZ)
    save(tmp_path / "a_0001.nii.gz", XYZ[:4])
    with pytest.raises(DataError) as error:
        read_channels(tmp_path / "a_0000.nii.gz")
    assert error.value.statement.template == OTHER_GRID
    assert error.value.values["file"] == "a_0001.nii.gz"
    assert error.value.values["grid"].shape == (3, 4, 4)


# --- Info.cfg --------------------------------------------------------------------------------


def test_info_cfg(tmp_path):
    assert read_info_cfg(tmp_path) is None
    content = "ED: 1\nES: 12\nGroup: DCM\nHeight: 184.0\nNbFrame: 30\nWeight: 95.0\n"
    (tmp_path / "Info.cfg").write_text(content)
    assert read_info_cfg(tmp_path) == CardiacPhases(ed=1, es=12)


@pytest.mark.parametrize("content", ["", "ED: 1\n", "ED: one\nES: 12\n", "ED: 0\nES: 12\n"])
def test_info_cfg_without_both_phases(tmp_path, content):
    (tmp_path / "Info.cfg").write_text(content)
    with pytest.raises(DataError, check=says_only(file=tmp_path / "Info.cfg")):
        read_info_cfg(tmp_path)


# --- files that unpack to too much -----------------------------------------------------------


def test_short_tail_behind_voxels_is_ignored(tmp_path):
    path = tmp_path / "a.nii.gz"
    voxels = np.ones((40, 30, 3), np.int16)
    content = nib.Nifti1Image(voxels, OBLIQUE).to_bytes()
    path.write_bytes(gzip.compress(content + bytes(40 * 30 * 2 - 1)))
    assert np.array_equal(read_volume(path).voxels, voxels.T)


@pytest.mark.parametrize("kind", [nib.Nifti1Image, nib.Nifti2Image])
@pytest.mark.parametrize("name", ["a.nii", "a.nii.gz"])
def test_voxels_at_byte_0_follow_the_header(tmp_path, kind, name):
    content = bytearray(kind(XYZ, OBLIQUE).to_bytes())
    block = kind.header_class.sizeof_hdr
    header = kind.header_class(bytes(content[:block]))
    header["vox_offset"] = 0
    content[:block] = header.binaryblock
    path = tmp_path / name
    path.write_bytes(gzip.compress(content) if name.endswith(".gz") else content)
    assert np.array_equal(read_volume(path).voxels, XYZ.T)


def made_large(path: Path, dtype: type, *, slope: float = 1) -> Path:
    """Write an image of 4 million voxels, almost all 0."""
    voxels = np.zeros((256, 256, 64), dtype)
    voxels[0, 0, 0] = 3
    image = nib.Nifti1Image(voxels, np.eye(4))
    image.header.set_slope_inter(slope, 0)
    path.write_bytes(gzip.compress(image.to_bytes(), 1))
    return path


@pytest.mark.parametrize(
    ("dtype", "slope", "most"), [(np.float64, 1, 6), (np.int16, 2, 6), (np.int16, 1, 3)]
)
def test_voxels_are_unpacked_into_one_array(tmp_path, dtype, slope, most):
    """4 bytes a voxel and 2 for the check of floats; 2 bytes, and nothing else, for integers."""
    path = made_large(tmp_path / "a.nii.gz", dtype, slope=slope)
    read_volume(path)  # imports
    tracemalloc.start()
    try:
        assert read_volume(path).voxels[0, 0, 0] == 3 * slope
        assert tracemalloc.get_traced_memory()[1] < (most + 0.8) * 2**22
    finally:
        tracemalloc.stop()


def test_image_that_fills_the_memory_is_refused(tmp_path, monkeypatch):
    path = made_large(tmp_path / "a.nii.gz", np.float64)
    for name, content in {"cgroup": "0::/", "memory.max": 2**24, "memory.current": 0}.items():
        (tmp_path / name).write_text(f"{content}\n")
    (tmp_path / "memory.stat").touch()
    assert path.stat().st_size < 2**20
    monkeypatch.setattr(main_memory, "CONTROL_GROUPS", tmp_path)
    monkeypatch.setattr(main_memory, "MEMBERSHIP", tmp_path / "cgroup")
    tracemalloc.start()
    try:
        refused(path, NEEDS_MEMORY, file=path)
        assert tracemalloc.get_traced_memory()[1] < 2**22  # nothing was unpacked
    finally:
        tracemalloc.stop()
