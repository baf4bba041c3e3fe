"""Tests of the table of members."""

from __future__ import annotations

from pathlib import Path

import pytest

from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member, find_ensemble
from napari_bayes_nnunet.widgets.segment.members_table import (
    MEMBER_COLUMNS,
    MembersTable,
    member_row,
)

from ..conftest import make_folder


@pytest.fixture
def table(qtbot) -> MembersTable:
    made = MembersTable()
    qtbot.addWidget(made)
    return made


def test_a_row_shows_all_values() -> None:
    member = Member(
        path=Path("epoch_0399.pth"),
        training="run",
        fold="0",
        epoch=399,
        cycle=0,
        learning_rate=0.002512,
        bytes=1_730_000,
    )
    assert member_row(member) == ("run", "0", "1", "399", "0.0025", "1.7 MB", "usable")


def test_unknown_values_are_dashes() -> None:
    member = Member(
        path=Path("checkpoint_final.pth"),
        training="run",
        fold="all",
        epoch=None,
        cycle=None,
        learning_rate=None,
        bytes=0,
        refused="the file is empty",
    )
    assert member_row(member) == ("run", "all", "–", "–", "–", "0.0 MB", "refused")


def test_members_are_listed_and_refused_ones_explained(table, tmp_path) -> None:
    folder = find_ensemble(make_folder(tmp_path / "ensemble", epochs=(3, 7), damaged=True))
    table.set_folder(folder)
    rows = [[table.item(r, c).text() for c in range(1, 7)] for r in range(table.rowCount())]
    assert [row[2] for row in rows] == ["3", "7", "99"]
    assert [row[5] for row in rows] == ["usable", "usable", "refused"]
    assert table.item(2, 6).toolTip() == f"{folder.members[2].path}\n{folder.members[2].refused}"
    assert table.isColumnHidden(0)
    table.set_folder(None)
    assert table.rowCount() == 0


def test_several_trainings_are_named(table, tmp_path) -> None:
    for seed in ("seed1", "seed2"):
        make_folder(tmp_path / "deep" / seed, epochs=(1,))
    folder = find_ensemble(tmp_path / "deep")
    table.set_folder(folder)
    assert not table.isColumnHidden(0)
    assert folder.kind == "deep ensemble"


def test_every_heading_is_explained(table) -> None:
    assert all(column.help.endswith(".") for column in MEMBER_COLUMNS)
    assert table.horizontalHeaderItem(2).toolTip() == MEMBER_COLUMNS[2].help
