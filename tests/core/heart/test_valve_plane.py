"""Planes of valves in made hearts of known volume."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from napari_bayes_nnunet.core.heart.valve_plane import (
    Hinges,
    ValvePlane,
    fit_plane,
    hinges_in_phase,
    kept_share,
)

RADIUS, LENGTH = 28.0, 90.0
"""Half width and half length of an ellipsoid, mm; its apex is at z = −LENGTH, its centre at 0."""
TILTS = st.floats(-25, 25)


def plane_at(height: float, tilt: float = 0, around: float = 0) -> ValvePlane:
    """Return a plane at a height, mm, tilted by degrees about an axis in the slices."""
    lean, turn = np.radians((tilt, around))
    normal = np.array([np.sin(lean) * np.cos(turn), np.sin(lean) * np.sin(turn), np.cos(lean)])
    return ValvePlane(point=np.array([0, 0, height]), normal=normal)


def hinges_on(plane: ValvePlane, degrees: float, *, apart: float = 30.0) -> Hinges:
    """Return the hinges of a plane on the long axis at an angle about z."""
    along = np.array([np.cos(np.radians(degrees)), np.sin(np.radians(degrees)), 0])
    ends = []
    for x in (-apart / 2, apart / 2):
        drop = -x * (along @ plane.normal) / plane.normal[2]
        ends.append(tuple((plane.point + x * along + (0, 0, drop)).tolist()))
    normal = tuple(np.cross(along, (0, 0, 1)).tolist())
    return Hinges(first=ends[0], second=ends[1], normal=normal)


def grid(step: float, *, offset: float, pixel: float = 1.0) -> tuple[np.ndarray, np.ndarray]:
    """Return the (Z, Y, X) ellipsoid in slices from apex to base, and its affine."""
    size = int(2 * RADIUS / pixel) + 4
    count = int(2 * LENGTH / step) + 2
    affine = np.diag([pixel, pixel, step, 1.0])
    affine[:3, 3] = -size * pixel / 2, -size * pixel / 2, -LENGTH + offset
    z, y, x = np.indices((count, size, size))
    places = np.stack([x, y, z], axis=-1) @ affine[:3, :3] + affine[:3, 3]
    shape = np.array([RADIUS, RADIUS, LENGTH])
    return (np.square(places / shape).sum(axis=-1) < 1), affine


def corrected(mask: np.ndarray, affine: np.ndarray, plane: ValvePlane) -> float:
    """Return the mL below a plane by the shares of the slices."""
    voxel = np.prod(np.diag(affine)[:3]) / 1000
    drawn = np.flatnonzero(mask.any(axis=(1, 2)))
    return sum(
        kept_share(mask[z], z, plane, affine, most=2 if z == drawn[-1] else 1)
        * np.count_nonzero(mask[z]) * voxel for z in drawn
    )  # fmt: skip


def true_volume(plane: ValvePlane) -> float:
    """Return the mL of the ellipsoid below a plane: that of a sphere below its cap."""
    shape = np.array([RADIUS, RADIUS, LENGTH])
    reach = np.linalg.norm(plane.normal * shape)
    height = (plane.point @ plane.normal) / reach  # of the plane in the unit sphere
    return float(np.pi * (2 / 3 + height - height**3 / 3) * shape.prod() / 1000)


@given(height=st.floats(0, 20), tilt=TILTS, around=st.floats(0, 360), offset=st.floats(0, 8))
@settings(max_examples=25, deadline=None)
def test_oblique_plane_cuts_half_ellipsoid_to_its_volume(height, tilt, around, offset):
    plane = plane_at(height, tilt, around)
    mask, affine = grid(8.0, offset=offset)
    whole = true_volume(plane_at(LENGTH))
    assert np.count_nonzero(mask) * 8 / 1000 == pytest.approx(whole, rel=0.01)
    assert corrected(mask, affine, plane) == pytest.approx(true_volume(plane), rel=0.012)


@given(height=st.floats(0, 20), offset=st.floats(0, 8))
@settings(max_examples=25, deadline=None)
def test_basal_slice_left_out_is_added_up_to_the_plane(height, offset):
    plane = plane_at(height, 10)
    mask, affine = grid(8.0, offset=offset)
    heights = affine[2, 3] + 8.0 * np.arange(len(mask))
    mask[heights > height] = False  # the reader draws slices whose centre is in the ventricle
    assert corrected(mask, affine, plane) == pytest.approx(true_volume(plane), rel=0.015)


@given(tilt=TILTS, around=st.floats(0, 360), shift=st.floats(-40, 40))
@settings(max_examples=25, deadline=None)
def test_plane_of_two_long_axes_is_found(tilt, around, shift):
    plane = plane_at(shift, tilt, around)
    found = fit_plane([hinges_on(plane, 10), hinges_on(plane, 75)], to_base=(0, 0, 1))
    # 1 mm beside each plane weighs 1 mm² against hinges 15 mm from the axis.
    assert np.degrees(np.arccos(min(found.normal @ plane.normal, 1))) < 0.6
    assert (found.point - plane.point) @ plane.normal == pytest.approx(0, abs=1e-9)


@pytest.mark.parametrize("way", [1, -1])
def test_one_long_axis_extends_the_line_along_its_normal(way):
    hinges = Hinges(first=(-15, 3, 4), second=(15, 3, -4), normal=(0, 1, 0))
    found = fit_plane([hinges], to_base=(0, 0, way))
    assert found.normal @ (0, 1, 0) == pytest.approx(0)
    assert found.normal @ np.subtract(hinges.second, hinges.first) == pytest.approx(0)
    assert np.sign(found.normal[2]) == way


def test_share_of_a_slice_cut_in_its_middle_and_beyond():
    mask, affine = np.ones((3, 3), bool), np.diag([1.5, 1.5, 8.0, 1.0])
    for z, kept in enumerate([1.0, 0.5, 0.0]):
        assert kept_share(mask, z, plane_at(8.0), affine) == pytest.approx(kept)
    assert kept_share(mask, 0, plane_at(6.0), affine, most=2) == pytest.approx(1.25)
    assert kept_share(mask, 0, plane_at(60.0), affine, most=2) == 2
    assert kept_share(np.zeros((3, 3), bool), 2, plane_at(8.0), affine) == 1


def test_hinges_move_evenly_through_the_cycle():
    def at(height: float) -> Hinges:
        return Hinges(first=(0, 0, height), second=(30, 0, height + 1), normal=(0, 1, 0))

    known = {2: at(0), 6: at(-12)}
    heights = [hinges_in_phase(known, phase, count=10).first[2] for phase in range(1, 11)]  # type: ignore[union-attr]
    assert heights == pytest.approx([-2, 0, -3, -6, -9, -12, -10, -8, -6, -4])
    assert hinges_in_phase({2: at(0)}, 3, count=10) is None
    assert hinges_in_phase({None: at(1)}, None, count=1) == at(1)
