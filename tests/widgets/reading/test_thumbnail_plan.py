"""Tests of the layout of thumbnails."""

from __future__ import annotations

import math

import pytest

from napari_bayes_nnunet.widgets.reading.thumbnail_plan import (
    INSET,
    SMALLEST_PICTURE,
    WIDEST_FRAME,
    ThumbnailPlan,
    choose_frame,
    needed_size,
    plan_thumbnails,
)

ROOM = (850, 130)


def plan(
    rows: int = 2,
    slices: int = 10,
    *,
    room: tuple[int, int] = ROOM,
    aspect: float = 1.2,
    base_first: bool = True,
) -> ThumbnailPlan:
    return plan_thumbnails(
        rows, slices, left=30, top=14, room=room, aspect=aspect, base_first=base_first
    )


@pytest.mark.parametrize(("rows", "slices"), [(1, 10), (2, 10), (2, 18), (1, 1)])
@pytest.mark.parametrize("base_first", [True, False])
def test_every_thumbnail_is_found_at_its_centre(rows: int, slices: int, base_first: bool) -> None:
    made = plan(rows, slices, base_first=base_first)
    for row in range(rows):
        for z in range(slices):
            left, top, width, height = made.cell(row, z)
            assert made.cell_at(left + width // 2, top + height // 2) == (row, z)
            assert made.cell_at(left, top) == (row, z)
            assert left + width <= 30 + ROOM[0]
            assert top + height <= 14 + ROOM[1]


def test_nothing_is_found_outside_the_thumbnails() -> None:
    made = plan()
    for x, y in ((29, 40), (40, 13), (made.right, 40), (40, made.bottom)):
        assert made.cell_at(x, y) is None
    assert plan(0, 0).cell_at(31, 15) is None


@pytest.mark.parametrize("aspect", [0.7, 1.0, 1.5])
@pytest.mark.parametrize("room", [(850, 130), (1800, 130), (600, 400)])
def test_pictures_keep_their_aspect(aspect: float, room: tuple[int, int]) -> None:
    _, _, width, height = plan(aspect=aspect, room=room).picture(0, 0)
    assert width / height == pytest.approx(aspect, rel=0.05)
    assert max(width, height) >= SMALLEST_PICTURE - 1


def test_the_base_is_on_the_left() -> None:
    assert plan().cell(0, 0)[0] == 30
    assert plan(base_first=False).cell(0, 9)[0] == 30


def test_pictures_have_room_for_frame_and_outline() -> None:
    made = plan()
    left, top, width, height = made.picture(1, 4)
    cell = made.cell(1, 4)
    assert (left - INSET, top - INSET, width + 2 * INSET, height + 2 * INSET) == cell


def test_many_slices_need_more_than_the_room() -> None:
    made = plan(1, 120)
    assert made.right > 30 + ROOM[0]
    width, height = needed_size(1, 120, 1.2)
    assert made.right == 30 + width
    assert made.bottom == 14 + height


@pytest.mark.parametrize("base_first", [True, False])
def test_neighbours_stop_at_the_ends(base_first: bool) -> None:
    made = plan(base_first=base_first)
    base, apex = (0, 9) if base_first else (9, 0)
    towards_apex = 1 if base_first else -1
    assert made.neighbour(0, base, right=-1) == (0, base)
    assert made.neighbour(0, base, right=1) == (0, base + towards_apex)
    assert made.neighbour(1, apex, right=1) == (1, apex)
    assert made.neighbour(0, apex, down=1) == (1, apex)
    assert made.neighbour(1, apex, down=1) == (1, apex)


def test_the_state_decides_over_the_score() -> None:
    assert choose_frame(5, 10, {"flagged", "edited"}).kind == "flagged"
    assert choose_frame(5, 10, {"accepted"}).kind == "accepted"
    assert choose_frame(math.nan, 10, {"accepted"}).kind == "accepted"
    assert choose_frame(math.nan, 10, set()).kind == "unknown"
    assert choose_frame(5, 10, {"edited"}).kind == "open"


def test_the_higher_the_score_the_wider() -> None:
    widths = [choose_frame(score, 10, set()).width for score in (0, 5, 10, 40)]
    assert widths == [1, 2, WIDEST_FRAME, WIDEST_FRAME]
    assert choose_frame(3, 0, set()).width == 1
