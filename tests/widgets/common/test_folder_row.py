"""Tests of the row for a folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QLabel, QPushButton

from napari_bayes_nnunet.widgets.common.folder_row import FolderRow


@pytest.fixture
def row(qtbot: Any) -> FolderRow:
    made = FolderRow("Folder")
    qtbot.addWidget(made)
    return made


def test_a_typed_folder_is_chosen_before_a_button_is_pressed(row, qtbot, tmp_path) -> None:
    """Without a change of the focus, as on macOS."""
    button, seen = QPushButton(), []
    qtbot.addWidget(button)
    row.set_path(tmp_path / "old")
    row.chosen.connect(seen.append)
    button.pressed.connect(lambda: seen.append("pressed"))
    row.edit.selectAll()
    qtbot.keyClicks(row.edit, str(tmp_path / "new"))
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    qtbot.mouseClick(button, Qt.MouseButton.LeftButton)
    assert seen == [tmp_path / "new", "pressed", "pressed"]
    assert row.path == tmp_path / "new"


def test_other_clicks_leave_a_half_typed_folder(row, qtbot, tmp_path) -> None:
    label = QLabel()
    qtbot.addWidget(label)
    qtbot.keyClicks(row.edit, typed := f"{tmp_path}/")
    for part in (row.edit, label):
        qtbot.mouseClick(part, Qt.MouseButton.LeftButton)
    assert (row.edit.text(), row.path) == (typed, None)
    qtbot.keyClick(row.edit, Qt.Key.Key_Return)
    assert (row.edit.text(), row.path) == (str(Path(tmp_path)), tmp_path)
