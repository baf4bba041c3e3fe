"""Slice positions that are evenly spaced, and those with a gap."""

from __future__ import annotations

import time

import pytest

from napari_bayes_nnunet.io.dicom.slice_positions import find_evenly_spaced


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
    ],
)
def test_evenly_stacked(places: list[float], kept: list[int]) -> None:
    assert find_evenly_spaced(places) == kept


@pytest.mark.parametrize("lost", [(), (200,)])
def test_many_slices_take_no_minute(lost: tuple[int, ...]) -> None:
    places = [1.5 * place for place in range(400) if place not in lost]
    start = time.process_time()
    assert find_evenly_spaced(places) == list(range(len(places)))
    assert time.process_time() - start < 10
