"""Outlines at a level of a map: closed, between voxels, for pieces and holes."""

import numpy as np
import pytest

from napari_bayes_nnunet.core.editing.closed_curve import fill_curve
from napari_bayes_nnunet.core.editing.outlines import (
    hatch_lines,
    level_outlines,
    member_outlines,
    trace_outlines,
)

from ...helpers.data.slices import LV, MYO, RV, disk, heart, slice_of, slice_of_members


def test_voxel_is_outlined_half_way_to_its_neighbours():
    mask = np.zeros((5, 6), bool)
    mask[2, 3] = True
    (outline,) = trace_outlines(mask, 0.5)
    assert {tuple(point) for point in outline} == {(1.5, 3), (2.5, 3), (2, 2.5), (2, 3.5)}


def test_ring_has_two_outlines_and_piece_one():
    ring = disk(12) & ~disk(7)
    assert len(trace_outlines(ring, 0.5)) == 2
    assert len(trace_outlines(ring | disk(2, at=(5, 5)), 0.5)) == 3


@pytest.mark.parametrize("at", [(32, 36), (0, 0), (63, 30), (32, 63)])
def test_outline_encloses_mask_even_at_edges(at):
    mask = disk(9, at=at)
    (outline,) = trace_outlines(mask, 0.5)
    np.testing.assert_array_equal(fill_curve(outline, mask.shape), mask)


def test_the_whole_slice_is_outlined():
    (outline,) = trace_outlines(np.ones((4, 5), bool), 0.5)
    assert fill_curve(outline, (4, 5)).all()


def test_outlines_lie_between_voxels_where_level_is():
    y, x = np.mgrid[:40, :40]
    slope = np.clip(1 - np.hypot(y - 20, x - 19) / 16, 0, 1)
    for level in (0.1, 0.5, 0.9):
        (outline,) = trace_outlines(slope, level)
        radii = np.linalg.norm(outline - (20, 19), axis=1)
        assert radii == pytest.approx(16 * (1 - level), abs=0.15)


def test_the_end_is_left_open():
    (outline,) = trace_outlines(disk(9), 0.5)
    assert not np.array_equal(outline[0], outline[-1])


def test_below_the_level_there_is_no_outline():
    assert trace_outlines(np.full((4, 5), 0.4), 0.5) == []


RADII = (6, 7, 8, 9, 10)


def area(outline):
    y, x = outline.T
    return abs(np.dot(y, np.roll(x, -1)) - np.dot(x, np.roll(y, -1))) / 2


def test_inclusion_outlines_lie_in_each_other():
    slice_ = slice_of_members([heart(lv=radius) for radius in RADII])
    found = level_outlines(slice_, LV)
    assert [len(outlines) for outlines in found] == [1, 1, 1]
    areas = [area(outlines[0]) for outlines in found]
    assert areas[0] > areas[1] > areas[2]
    assert areas[0] == pytest.approx(disk(10).sum(), rel=0.05)
    assert areas[2] == pytest.approx(disk(6).sum(), rel=0.05)


def test_levels_can_be_chosen():
    y, x = np.mgrid[:64, :64]
    lv = np.clip(1 - np.hypot(y - 32, x - 36) / 20, 0, 1)
    slice_ = slice_of(np.stack([1 - lv, 0 * lv, 0 * lv, lv]), [disk(10).astype(np.uint8) * LV])
    ((quarter,), (three_quarters,)) = level_outlines(slice_, LV, (0.25, 0.75))
    assert np.linalg.norm(quarter - (32, 36), axis=1) == pytest.approx(15, abs=0.1)
    assert np.linalg.norm(three_quarters - (32, 36), axis=1) == pytest.approx(5, abs=0.1)


def test_every_member_has_its_outlines():
    members = [heart(lv=radius) for radius in RADII]
    found = member_outlines(slice_of_members(members), LV)
    assert len(found) == len(members)
    for (outline,), labels in zip(found, members, strict=True):
        assert area(outline) == pytest.approx(np.count_nonzero(labels == LV), rel=0.03)


def test_outlines_of_members_are_no_staircases():
    def turn(outline):
        """Return the largest angle between a piece and the next one, in degrees."""
        steps = np.diff(outline, axis=0, append=outline[:1])
        angles = np.degrees(np.arctan2(*steps.T))
        return np.abs((np.diff(angles, append=angles[:1]) + 180) % 360 - 180).max()

    ((outline,), (small,)) = member_outlines(slice_of_members([heart(), heart(lv=6)]), LV)
    assert turn(trace_outlines(heart() == LV, 0.5)[0]) > 40
    assert max(turn(outline), turn(small)) < 30


@pytest.mark.parametrize("at", [(0, 0), (63, 63)])
def test_outline_of_member_ends_at_edge_of_slice(at):
    members = [disk(radius, at=at).astype(np.uint8) for radius in (9, 7)]
    for (outline,), mask in zip(
        member_outlines(slice_of_members(members), 1), members, strict=True
    ):
        np.testing.assert_array_equal(fill_curve(outline, mask.shape), mask)


def test_ring_has_inner_and_outer_outline():
    slice_ = slice_of_members([heart(rv=0)])
    assert len(member_outlines(slice_, MYO)[0]) == 2
    assert [len(outlines) for outlines in level_outlines(slice_, MYO)] == [2, 2, 2]


def test_a_member_without_the_structure_has_none():
    slice_ = slice_of_members([heart(rv=0), heart(), heart(rv=0)])
    assert [len(outlines) for outlines in member_outlines(slice_, RV)] == [0, 1, 0]
    assert [len(outlines) for outlines in level_outlines(slice_, RV)] == [1, 0, 0]


def test_an_empty_slice_has_none():
    slice_ = slice_of_members([np.zeros((8, 9), np.uint8)])
    assert level_outlines(slice_, LV) == [[], [], []]
    assert member_outlines(slice_, LV) == [[]]


def test_hatching_fills_the_mask_and_stands_still():
    whole, part = disk(20), disk(20) & ~disk(8)

    def hatched(mask):
        voxels = set()
        for start, end in hatch_lines(mask):
            steps = np.arange(0.5, end[0] - start[0])[:, None]
            voxels |= {tuple(v) for v in (start + steps * [1, -1]).astype(int).tolist()}
        return voxels

    fine = hatch_lines(whole, step=1)
    assert sum(end[0] - start[0] for start, end in fine) == np.count_nonzero(whole)
    assert hatched(part) == hatched(whole) & {tuple(v) for v in np.argwhere(part).tolist()}
    assert 0.2 < len(hatched(whole)) / np.count_nonzero(whole) < 0.5
    assert hatch_lines(whole & False) == []
