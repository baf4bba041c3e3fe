"""Geometry of an image: spacing, time, place in the patient, and comparison of two grids."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import nibabel
import numpy as np
import pytest

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.images.geometry import Geometry, make_geometry, patient_letters
from napari_bayes_nnunet.io.images.nifti import read_volume

from ...helpers.checks.problems import says_only
from ...helpers.data.niftis import OBLIQUE

nib: Any = nibabel


def of(shape: tuple[int, ...], change: Any = None) -> Geometry:
    header: Any = nib.Nifti1Header()
    header.set_data_shape(shape)
    if change is not None:
        change(header)
    return Geometry(header.binaryblock)


@pytest.mark.parametrize(
    ("file_shape", "shape"),
    [
        ((5, 4, 3), (3, 4, 5)),
        ((5, 4, 3, 2), (2, 3, 4, 5)),
        ((5, 4, 3, 1), (3, 4, 5)),
        ((5, 4, 3, 2, 1), (2, 3, 4, 5)),
        ((5, 4, 1), (1, 4, 5)),
    ],
)
def test_shape_is_reversed_and_one_phase_is_volume(file_shape, shape):
    geometry = of(file_shape)
    assert geometry.shape == shape
    assert geometry.file_shape == file_shape


@pytest.mark.parametrize(
    ("unit", "factor"), [("mm", 1.0), ("meter", 1000.0), ("micron", 0.001), (None, 1.0)]
)
def test_spacing_and_place_are_in_mm_whatever_unit(unit, factor):
    def change(header: Any) -> None:
        header.set_sform(affine, code=1)
        header.set_zooms((2.0, 3.0, 8.0))
        header.set_xyzt_units(unit)

    affine = np.diag([2.0, 3.0, 8.0, 1.0])
    affine[:3, 3] = -40, 25, 7
    geometry = of((5, 4, 3), change)
    assert geometry.spacing == pytest.approx((8 * factor, 3 * factor, 2 * factor))
    assert geometry.affine == pytest.approx(np.diag([factor] * 3 + [1]) @ affine, rel=1e-6)


@pytest.mark.parametrize(
    ("unit", "step", "expected"),
    [
        ("msec", 46.0, 46.0),
        ("sec", 0.046, 46.0),
        ("usec", 46000.0, 46.0),
        ("msec", 0.0, None),
        ("hz", 46.0, None),
        (None, 46.0, None),
    ],
)
def test_frame_time_is_in_ms_or_unknown(unit, step, expected):
    def change(header: Any) -> None:
        header.set_zooms((1, 1, 1, step))
        header.set_xyzt_units("mm", unit)

    found = of((5, 4, 3, 2), change).frame_time
    assert found == (None if expected is None else pytest.approx(expected))


def test_frame_time_of_volume_or_infinite_is_unknown():
    def change(header: Any) -> None:
        header.set_xyzt_units("mm", "msec")
        header["pixdim"][4] = np.inf

    assert of((5, 4, 3), change).frame_time is None
    assert of((5, 4, 3, 2), change).frame_time is None


def test_phases_on_a_grid_keep_the_place_and_have_no_time():
    volume = make_geometry((3, 5, 4), (8.0, 1.5, 1.25), affine=OBLIQUE)
    cine = volume.with_phases(2)
    assert (cine.shape, cine.spacing, cine.frame_time) == ((2, 3, 5, 4), volume.spacing, None)
    assert np.array_equal(cine.affine, volume.affine)
    assert cine.frame() == volume
    sagittal = replace(volume, slice_axis=0, given_spacing=(9.0, 1.0, 1.0))
    assert sagittal.with_phases(2).shape == (2, *sagittal.shape)
    assert sagittal.with_phases(2).spacing == (9.0, 1.0, 1.0)


@pytest.mark.parametrize(
    ("affine", "letters"),
    [
        (np.eye(4), (("I", "S"), ("P", "A"), ("L", "R"))),
        (np.diag([-1.5, -1.5, 8, 1]), (("I", "S"), ("A", "P"), ("R", "L"))),
        (OBLIQUE, (("P", "A"), ("S", "I"), ("R", "L"))),
        (np.array([[0, 0, 7, 0], [0, -2, 0, 0], [3, 0, 0, 0], [0, 0, 0, 1]]),
         (("L", "R"), ("A", "P"), ("I", "S"))),
    ],
)  # fmt: skip
def test_letters_of_plain_flipped_turned_and_oblique_axes(affine, letters):
    assert patient_letters(affine) == letters


def test_no_letters_where_nothing_is_known():
    assert make_geometry((3, 4, 5), (8, 1.5, 1.5)).letters is None
    assert patient_letters(np.zeros((4, 4))) is None
    assert patient_letters(np.full((4, 4), np.nan)) is None


def test_straight_axes_from_the_origin_have_no_reliable_letters():
    steps = np.diag([-1.5, -1.5, 8.0, 1.0])
    placeholder = make_geometry((3, 4, 5), (8, 1.5, 1.5), affine=steps)
    assert placeholder.letters is not None
    assert placeholder.reliable_letters is None
    turned = np.diag([1.0, 1, 8, 1])
    turned[:2, :2] = [[0, -1.5], [1.5, 0]]  # about one axis
    turned_there = make_geometry((3, 4, 5), (8, 1.5, 1.5), affine=turned)
    assert turned_there.reliable_letters == turned_there.letters
    steps[2, 3] = -40.0
    placed = make_geometry((3, 4, 5), (8, 1.5, 1.5), affine=steps)
    assert placed.reliable_letters == placed.letters


@pytest.mark.parametrize(
    ("to_last", "expected"),
    [
        ((-0.67, 0.67, -0.32), True),  # Sunnybrook
        ((0.48, -0.62, 0.62), False),
        ((0, 0, -1), None),  # straight axes
        ((0.67, 0.67, 0.32), None),  # across the heart
    ],
)
def test_base_is_known_by_the_position_of_the_stack(to_last, expected):
    affine = np.eye(4)
    affine[:3, 2] = 8 * np.array(to_last)
    affine[:3, 0], affine[:3, 1] = np.linalg.svd([to_last])[2][1:]
    affine[:3, 3] = 50
    geometry = make_geometry((3, 4, 5), (8, 1, 1), affine=affine)
    assert geometry.starts_at_base is expected
    assert make_geometry((3, 4, 5), (8, 1, 1)).starts_at_base is None


@pytest.mark.parametrize("number", [np.nan, np.inf])
def test_impossible_directions_are_described(number):
    def change(header: Any) -> None:
        header.set_sform(np.diag([number, 1.5, 8, 1]), code=1)

    assert str(of((5, 4, 3), change)).endswith("axes ???")


def test_letters_of_qform_when_only_it_is_given():
    def change(header: Any) -> None:
        header.set_qform(OBLIQUE, code=1)

    assert of((5, 4, 3), change).letters == patient_letters(OBLIQUE)


def test_made_geometry_says_what_it_was_made_from():
    geometry = make_geometry((2, 3, 4, 5), (8, 1.5, 1.25), frame_time=46, affine=OBLIQUE)
    assert geometry.shape == (2, 3, 4, 5)
    assert geometry.spacing == (8, 1.5, 1.25)
    assert geometry.spacing_source == "pixdim"
    assert geometry.frame_time == 46
    steps = np.linalg.norm(OBLIQUE[:3, :3], axis=0)
    scaled = OBLIQUE @ np.diag([*(1.25, 1.5, 8) / steps, 1])
    assert np.allclose(geometry.affine, scaled, atol=1e-4)
    assert make_geometry((2, 3, 4, 5), (8, 1.5, 1.25)).frame_time is None


@pytest.mark.parametrize("step", [0.0, -1.5, np.nan, np.inf])
def test_made_geometry_refuses_other_spacings(step):
    with pytest.raises(DataError, check=says_only(spacing=(8, step, 1.5))):
        make_geometry((3, 4, 5), (8, step, 1.5))


def moved(millimetres: float) -> np.ndarray[Any, Any]:
    affine = OBLIQUE.copy()
    affine[0, 3] += millimetres
    return affine


def test_same_grid_tolerates_rounding_but_no_shift():
    geometry = make_geometry((3, 4, 5), (8, 1.29, 1.29), affine=OBLIQUE)
    near = make_geometry((3, 4, 5), (8.005, 1.29, 1.29), affine=moved(0.1))
    assert geometry.same_grid(near)
    assert not geometry.same_grid(make_geometry((3, 4, 5), (8, 1.29, 1.29), affine=moved(0.15)))
    assert not geometry.same_grid(make_geometry((3, 4, 5), (8.02, 1.29, 1.29), affine=OBLIQUE))


def test_same_grid_compares_shape_spacing_and_direction():
    geometry = make_geometry((3, 4, 5), (8, 1.29, 1.29), affine=OBLIQUE)
    flipped = OBLIQUE @ np.diag([1, 1, -1, 1])
    assert not geometry.same_grid(make_geometry((3, 4, 6), (8, 1.29, 1.29), affine=OBLIQUE))
    assert not geometry.same_grid(make_geometry((3, 4, 5), (10, 1.29, 1.29), affine=OBLIQUE))
    assert not geometry.same_grid(make_geometry((3, 4, 5), (8, 1.29, 1.29), affine=flipped))


def test_same_grid_accepts_file_without_position():
    geometry = make_geometry((3, 4, 5), (8, 1.29, 1.29), affine=OBLIQUE)
    assert geometry.same_grid(make_geometry((3, 4, 5), (8, 1.29, 1.29)))


def test_in_words():
    geometry = make_geometry((20, 10, 192, 180), (8, 1.25, 1.5), affine=np.diag([1.5, 1.25, 8, 1]))
    assert str(geometry) == (
        "180 x 192 x 10 voxels of 1.5 x 1.25 x 8 mm, 20 phases, first voxel at 0.0, 0.0, 0.0 mm, "
        "axes RAS"
    )


def stored_along(axis: int, *, code: int = 1) -> Geometry:
    """Return a grid of 3 slices of 8 mm along a file axis; the others have 20 and 24 voxels."""

    def change(header: Any) -> None:
        steps = np.insert([1.5, 1.25], axis, 8.0)
        header.set_zooms(steps)
        header.set_sform(OBLIQUE @ np.diag([*steps / (1.29, 1.29, 8.08), 1]), code=code)

    return of(tuple(np.insert([24, 20], axis, 3)), change).with_slices_found()


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_slices_are_first_wherever_the_file_has_them(axis):
    geometry = stored_along(axis)
    assert geometry.slice_axis == axis
    assert geometry.shape == (3, 20, 24)
    assert geometry.spacing == pytest.approx((8, 1.25, 1.5))
    # A voxel (z, y, x) lies where the file has it.
    z, y, x = 2, 5, 7
    held = geometry.affine @ (x, y, z, 1)
    stored = Geometry(geometry.header).affine @ (*np.insert([x, y], axis, z), 1)
    assert held == pytest.approx(stored)
    assert geometry.frame() == geometry


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_order_of_the_file_and_back(axis):
    geometry = stored_along(axis)
    voxels = np.arange(2 * 3 * 20 * 24).reshape(2, 3, 20, 24)
    stored = geometry.to_file_order(voxels)
    assert stored.shape[1:] == geometry.stored_shape
    assert np.array_equal(geometry.from_file_order(stored), voxels)
    position = (1, *np.insert([7, 5], axis, 2)[::-1])
    assert stored[position] == voxels[1, 2, 5, 7]


def test_slices_that_cannot_be_found_stay_as_stored():
    assert of((24, 20, 22)).with_slices_found().slice_axis == 2


def test_shape_shows_the_slices_if_the_spacing_contradicts_it():
    """Axes that were swapped without the header: the coarse one is not the short one."""
    geometry = of(
        (256, 10, 216), lambda header: header.set_zooms((1.5, 1.5, 8))
    ).with_slices_found()
    assert geometry.slice_axis == 1
    assert geometry.shape == (10, 216, 256)
    assert geometry.spacing == pytest.approx((1.5, 8, 1.5))


def two_spacings(pixdim: tuple[float, ...], steps: tuple[float, ...], code: int = 1) -> Geometry:
    def change(header: Any) -> None:
        header.set_zooms(pixdim)
        turned = np.array([[0, -1, 0], [1, 0, 0], [0, 0, 1]])
        affine = np.eye(4)
        affine[:3, :3] = turned * np.array(steps)
        header.set_sform(affine, code=code)

    return of((24, 20, 3), change)


@pytest.mark.parametrize(
    ("pixdim", "steps", "spacing", "source"),
    [
        ((1.5, 1.25, 8), (1.5, 1.25, 8), (8, 1.25, 1.5), "pixdim"),
        ((1.5, 1.25, 8), (1.505, 1.25, 8.03), (8, 1.25, 1.5), "pixdim"),  # rounded
        ((1.5, 1.25, 8), (1.5, 1.25, 8.1), (8.1, 1.25, 1.5), "affine"),
        ((1.5, 1.25, 5), (1.5, 1.25, 10), (10, 1.25, 1.5), "affine"),
        ((1, 1, 1), (1.5, 1.25, 10), (10, 1.25, 1.5), "affine"),
        ((1.5, 1.25, 10), (1, 1.0005, 1), (10, 1.25, 1.5), "pixdim"),  # ACDC
        ((1.5, 1.25, 10), (1, 1.005, 1), (1, 1.005, 1), "affine"),
        ((1.5, 1.25, 10), (1.5, 1.25, 0), (10, 1.25, 1.5), "pixdim"),
    ],
)
def test_affine_wins_over_pixdim_unless_all_one(pixdim, steps, spacing, source):
    geometry = two_spacings(pixdim, steps)
    assert geometry.spacing == pytest.approx(spacing)
    assert geometry.spacing_source == source
    other = None if source == "pixdim" else pytest.approx(pixdim[::-1])
    assert geometry.other_spacing == other
    without_code = two_spacings(pixdim, steps, code=0)
    assert without_code.spacing == pytest.approx(pixdim[::-1])


@pytest.mark.parametrize(
    ("shear", "skew"), [(0, None), (0.14, None), (0.15, 0.98893), (1, 0.70711), (np.nan, None)]
)
def test_skew_is_share_of_box_beyond_rounding(shear, skew):
    affine = np.diag([1.25, 1.5, 8, 1])
    affine[0, 2] = shear * 8
    geometry = of((24, 20, 3), lambda header: header.set_sform(affine, code=1))
    assert geometry.skew == (None if skew is None else pytest.approx(skew, abs=1e-5))


def test_given_spacing_replaces_that_of_the_header():
    geometry = replace(two_spacings((1.5, 1.25, 5), (1.5, 1.25, 10)), given_spacing=(8, 2, 2))
    assert geometry.spacing == (8, 2, 2)
    assert geometry.spacing_source == "given"
    assert geometry.frame().spacing == (8, 2, 2)
    assert geometry.header == two_spacings((1.5, 1.25, 5), (1.5, 1.25, 10)).header


@pytest.mark.parametrize("axis", [0, 1, 2])
def test_stored_spacing_is_in_both_parts_of_header(axis):
    geometry = replace(two_spacings((1.5, 1.25, 5), (1.5, 1.25, 10)), slice_axis=axis)
    given = replace(geometry, given_spacing=(8.0, 2.0, 3.0)).with_stored_spacing()
    assert given.spacing == pytest.approx((8.0, 2.0, 3.0))
    assert given.spacing_source == "pixdim"
    np.testing.assert_allclose(np.linalg.norm(given.affine[:3, :3], axis=0), (3.0, 2.0, 8.0))
    np.testing.assert_allclose(given.affine[:, 3], geometry.affine[:, 3])


@pytest.mark.parametrize(("scale", "step"), [(1.0, 1), (1.0005, 1.0005), (1.005, 8)])
def test_unit_affine_of_joined_slices_stays(tmp_path, scale, step):
    """An affine whose steps are all 1 has no scale to which that of the slices could be added."""
    joined = nib.Nifti1Image(np.ones((5, 4, 1, 6), np.int16), np.diag([scale] * 3 + [1]))
    joined.header.set_zooms((1.4, 1.4, 1, 8))
    nib.save(joined, tmp_path / "joined.nii")
    volume = read_volume(tmp_path / "joined.nii")
    assert volume.shape == (6, 4, 5)
    assert np.diag(volume.geometry.affine)[:3] == pytest.approx([scale, scale, step])
