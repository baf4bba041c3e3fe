"""Where the cells of a heat grid lie."""

from __future__ import annotations

import pytest
from qtpy.QtCore import QPoint

from napari_bayes_nnunet.widgets.reading.heat_plan import WIDEST, HeatPlan, plan_of


def plan(slices: int, phases: int, *, base_first: bool = True, room: int = 300) -> HeatPlan:
    return plan_of(slices, phases, left=30, top=20, room=room, base_first=base_first)


@pytest.mark.parametrize(
    ("slices", "phases"), [(12, 25), (10, 1), (10, 2), (18, 50), (9, 110), (60, 1)]
)
@pytest.mark.parametrize("base_first", [True, False])
def test_every_cell_is_found_where_it_lies(slices: int, phases: int, base_first: bool) -> None:
    made = plan(slices, phases, base_first=base_first)
    for z in range(slices):
        for column in range(phases):
            cell = made.cell(z, column)
            assert cell.width() >= 1
            assert made.area.contains(cell)
            assert made.at(cell.center()) == (z, column)


def test_there_is_no_cell_beside_the_grid() -> None:
    made = plan(12, 25)
    right, below = made.area.right() + 1, made.area.bottom() + 1
    for x, y in ((29, 30), (40, 19), (right, 30), (40, below)):
        assert made.at(QPoint(x, y)) is None


@pytest.mark.parametrize("phases", [1, 2, 12, 25, 50, 110])
def test_columns_fit_a_narrow_dock_and_are_never_beams(phases: int) -> None:
    made = plan(12, phases)
    assert made.area.width() <= 300
    assert made.width <= WIDEST


def test_columns_of_a_usual_cine_are_all_alike() -> None:
    widths = {plan(12, 25).cell(0, column).width() for column in range(25)}
    assert widths == {12}


def test_many_slices_get_low_rows() -> None:
    assert plan(12, 25).area.height() > 180
    assert plan(60, 1).area.height() <= 300


def test_the_base_is_above() -> None:
    assert plan(4, 1).cell(0, 0).top() == 20
    assert plan(4, 1, base_first=False).cell(3, 0).top() == 20


def test_an_empty_grid_has_no_area() -> None:
    made = plan(0, 0)
    assert made.area.isEmpty()
    assert made.at(QPoint(31, 21)) is None
