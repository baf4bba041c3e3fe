"""Slice positions that are evenly spaced, and those with a gap."""

from __future__ import annotations

import itertools
import time
from pathlib import Path

import numpy as np
import pytest

from napari_bayes_nnunet.io.dicom.reader import read_dicom, read_stacks
from napari_bayes_nnunet.io.dicom.slices import find_evenly_spaced

from ...helpers.data.dicoms import COLUMN, CORNER, DISTANCE, ROW, TO_APEX, made_voxels, slice_file


@pytest.mark.parametrize(
    ("places", "kept"),
    [
        ([0], [0]),
        ([0, 8], [0, 1]),
        ([0, 8, 16, 24], [0, 1, 2, 3]),
        ([0, 8, 11, 16, 24], [0, 1, 3, 4]),
        ([0, 8, 16, 20, 24, 32], [0, 1, 2, 4, 5]),
        ([0, 8, 16, 32, 40], [0, 1, 2, 3, 4]),
        ([0, 3, 8, 11, 16, 19, 24], [0, 2, 4, 6]),
        ([0, 8.05, 15.95, 24], [0, 1, 2, 3]),
        ([0, 8.05, 16.5, 24, 32], [0, 1, 3, 4]),
        ([0, 1, 2.12, 3, 4], [0, 1, 3, 4]),
        ([0, 1, 2.08, 3, 4], [0, 1, 2, 3, 4]),
    ],
)
def test_evenly_stacked(places, kept):
    assert find_evenly_spaced(places) == kept


@pytest.mark.parametrize("lost", [(), (200,)])
def test_many_slices_take_no_minute(lost):
    places = [1.5 * place for place in range(400) if place not in lost]
    start = time.process_time()
    assert find_evenly_spaced(places) == list(range(len(places)))
    assert time.process_time() - start < 10


def write_stack(folder: Path, step: np.ndarray, orientation: np.ndarray) -> np.ndarray:
    """Write 3 slices with ``step`` (x, y, z) in mm between them, and return their voxels."""
    voxels = made_voxels((3, 6, 5))
    for z, pixels in enumerate(voxels):
        slice_file(
            folder / str(z),
            pixels,
            number=z,
            ImagePositionPatient=[float(place) for place in CORNER + z * step],
            ImageOrientationPatient=[float(side) for side in orientation.ravel()],
        )
    return voxels


@pytest.mark.parametrize("sign", [1, -1])
@pytest.mark.parametrize("axes", [*itertools.permutations(range(3))])
def test_first_slice_is_nearest_to_base(tmp_path, axes, sign):
    """The apex is to the left (x), the front (-y) and the feet (-z); what prevails decides."""
    to_apex, steps, column = np.array([1, -1, -1]), np.zeros(3), np.zeros(3)
    steps[[*axes[:2]]] = 8, -6
    column[axes[2]] = 1
    step = sign * steps * to_apex
    row = np.cross(column, step) / 10
    voxels = write_stack(tmp_path, step, np.array([row, column]))
    assert np.array_equal(read_dicom(tmp_path).voxels, voxels[::sign])


@pytest.mark.parametrize(("shift", "is_even"), [(0.35, True), (0.37, False)])
def test_slices_shifted_sideways_are_refused(tmp_path, shift, is_even):
    write_stack(tmp_path, DISTANCE * TO_APEX + shift * ROW, np.array([ROW, COLUMN]))
    (stack,) = read_stacks(tmp_path)
    assert bool(stack.problem) is not is_even


@pytest.mark.parametrize(("distance", "slices"), [(0.11, 3), (0.09, 1)])
def test_images_within_tenth_of_mm_are_one_slice(tmp_path, distance, slices):
    write_stack(tmp_path, distance * TO_APEX, np.array([ROW, COLUMN]))
    assert [len(stack.slices) for stack in read_stacks(tmp_path)] == [slices]
