"""Outlines of where a map reaches a level: closed, between the voxels, for pieces and holes."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.editing.closed_curve import filled
from napari_bayes_nnunet.core.editing.outlines import outlines_of

from ...helpers.slices import disk


def test_a_voxel_is_outlined_half_way_to_its_neighbours():
    mask = np.zeros((5, 6), bool)
    mask[2, 3] = True
    (outline,) = outlines_of(mask, 0.5)
    assert {tuple(point) for point in outline} == {(1.5, 3), (2.5, 3), (2, 2.5), (2, 3.5)}


def test_a_ring_has_two_outlines_and_pieces_have_one_each():
    ring = disk(12) & ~disk(7)
    assert len(outlines_of(ring, 0.5)) == 2
    assert len(outlines_of(ring | disk(2, at=(5, 5)), 0.5)) == 3


@pytest.mark.parametrize("at", [(32, 36), (0, 0), (63, 30), (32, 63)])
def test_what_an_outline_encloses_is_the_mask_also_at_the_edges_of_the_slice(at):
    mask = disk(9, at=at)
    (outline,) = outlines_of(mask, 0.5)
    np.testing.assert_array_equal(filled(outline, mask.shape), mask)


def test_the_whole_slice_is_outlined():
    (outline,) = outlines_of(np.ones((4, 5), bool), 0.5)
    assert filled(outline, (4, 5)).all()


def test_outlines_lie_between_the_voxels_where_the_level_is():
    y, x = np.mgrid[:40, :40]
    slope = np.clip(1 - np.hypot(y - 20, x - 19) / 16, 0, 1)
    for level in (0.1, 0.5, 0.9):
        (outline,) = outlines_of(slope, level)
        radii = np.linalg.norm(outline - (20, 19), axis=1)
        assert radii == pytest.approx(16 * (1 - level), abs=0.15)


def test_the_end_is_left_open():
    (outline,) = outlines_of(disk(9), 0.5)
    assert not np.array_equal(outline[0], outline[-1])


def test_below_the_level_there_is_no_outline():
    assert outlines_of(np.full((4, 5), 0.4), 0.5) == []
