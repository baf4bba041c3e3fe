"""Tests of the table of members."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

from qtpy.QtCore import Qt

from napari_bayes_nnunet.io.ensemble.ensemble_folder import Member
from napari_bayes_nnunet.widgets.segment.ensemble_form import MEMBER_COLUMNS, member_rows

from ..conftest import choose, make_folder

KNOWN = Member(
    path=Path("epoch_0399.pth"),
    training="run",
    fold="0",
    epoch=399,
    cycle=0,
    learning_rate=0.002512,
    bytes=1_730_000,
)
UNKNOWN = Member(
    path=Path("checkpoint_final.pth"),
    training="run",
    fold="all",
    epoch=None,
    cycle=None,
    learning_rate=None,
    bytes=0,
    refused="the file is empty",
)


def test_rows_show_all_values_and_dashes_for_unknown_ones() -> None:
    folder: Any = SimpleNamespace(members=(KNOWN, UNKNOWN))
    known, unknown = member_rows(folder)
    assert known.cells == ("run", "0", "1", "399", "0.0025", "1.7 MB", "usable")
    assert unknown.cells == ("run", "all", "–", "–", "–", "0.0 MB", "refused")
    assert (known.level, unknown.level) == ("fine", "done")
    assert member_rows(None) == []


def test_members_are_listed_and_refused_ones_explained(make_dock, tmp_path, qtbot) -> None:
    dock = make_dock()
    choose(dock, make_folder(tmp_path / "ensemble", epochs=(3, 7), damaged=True), qtbot)
    table, refused = dock.ensemble.table, dock.ensemble.folder.members[2]
    assert [row.cells[3] for row in table.rows] == ["3", "7", "99"]
    assert [row.cells[6] for row in table.rows] == ["usable", "usable", "refused"]
    tooltip = table.model().index(2, 6).data(Qt.ItemDataRole.ToolTipRole)
    assert tooltip == f"{refused.path}\n{refused.refused}"
    assert table.isColumnHidden(0)


def test_several_trainings_are_named(make_dock, tmp_path, qtbot) -> None:
    for seed in ("seed1", "seed2"):
        make_folder(tmp_path / "deep" / seed, epochs=(1,))
    dock = make_dock()
    choose(dock, tmp_path / "deep", qtbot)
    assert not dock.ensemble.table.isColumnHidden(0)
    assert dock.ensemble.folder.kind == "deep ensemble"


def test_every_heading_is_explained() -> None:
    assert all(column.help.endswith(".") for column in MEMBER_COLUMNS)
