"""Long-axis planes of a made examination: where they lie, and which lines they share."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.heart.long_axis import LongAxis, cutting_line, slice_numbers

STACK = np.array([[1.5, 0, 0, -75], [0, 1.5, 0, -60], [0, 0, 8, 20], [0, 0, 0, 1.0]])
"""Slices of 1.5 mm pixels, 8 mm apart along S; the first lies at 20 mm."""
PLANE = np.array([[2.0, 0, 0, -90], [0, 0, 6, 12], [0, -2, 0, 100], [0, 0, 0, 1.0]])
"""Coronal plane 12 mm anterior of the origin, with 2 mm pixels, its first row at S = 100 mm."""


def made_plane(phases: int = 20) -> LongAxis:
    return LongAxis(kind="4CH", voxels=np.zeros((phases, 50, 90), np.int16), affine=PLANE)


def test_pixels_return_from_their_place_in_the_patient():
    plane, pixels = made_plane(), np.array([[0, 0], [10, 45.5]])
    places = plane.to_patient(pixels)
    np.testing.assert_allclose(places, [[-90, 12, 100], [1, 12, 80]])
    np.testing.assert_allclose(plane.from_patient(places + np.array([0, 7, 0])), pixels)
    assert plane.spacing == (2, 2)


def test_slice_numbers_are_those_of_the_stack():
    numbers = slice_numbers(PLANE, STACK)
    assert numbers @ (40, 3, 1) == pytest.approx(0)  # row 40 lies at S = 20 mm
    assert numbers @ (36, 80, 1) == pytest.approx(1)


def test_line_of_a_slice_crosses_the_whole_image():
    line = cutting_line(slice_numbers(PLANE, STACK), 1, (50, 90))
    assert line is not None
    np.testing.assert_allclose(line[np.argsort(line[:, 1])], [[36, -0.5], [36, 89.5]])
    assert cutting_line(slice_numbers(PLANE, STACK), 40, (50, 90)) is None
    assert cutting_line(slice_numbers(STACK, STACK), 0, (50, 90)) is None


def test_line_of_an_oblique_plane_lies_in_both_images():
    turn = np.eye(4)
    angle = 0.4
    turn[:2, :2] = [[np.cos(angle), -np.sin(angle)], [np.sin(angle), np.cos(angle)]]
    plane = LongAxis(kind="2CH", voxels=np.zeros((1, 50, 90)), affine=turn @ PLANE)
    line = cutting_line(slice_numbers(STACK, plane.affine, z=3), 0, (80, 100))
    assert line is not None
    places = np.c_[line[:, ::-1], [3, 3], [1, 1]] @ STACK.T
    np.testing.assert_allclose(plane.to_patient(plane.from_patient(places[:, :3])), places[:, :3])


@pytest.mark.parametrize(
    ("phase", "of", "index"), [(1, 25, 0), (None, 1, 0), (25, 25, 19), (13, 25, 10), (20, 20, 19)]
)
def test_phase_is_the_same_share_of_the_heartbeat(phase, of, index):
    assert made_plane(20).index_at(phase, of) == index
