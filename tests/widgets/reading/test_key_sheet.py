"""Sheet of all keys, opened from napari's menu Help."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QGridLayout, QLabel

from napari_bayes_nnunet.widgets.layers.keys import KEY_GROUPS, KEYS, key_text
from napari_bayes_nnunet.widgets.reading.key_sheet import (
    KEYS_TITLE,
    KeysAction,
    KeySheet,
    menu_action,
    show_keys,
)

from ...helpers.windows.settling import settle


def test_every_key_is_on_the_sheet_once(qtbot) -> None:
    sheet = KeySheet()
    qtbot.addWidget(sheet)
    rows = [side.rowCount() for side in sheet.findChildren(QGridLayout)]
    assert max(rows) < 0.65 * sum(rows)  # so that it fits a laptop
    texts = [label.text() for label in sheet.findChildren(QLabel)]
    for action in KEYS:
        assert texts.count(f"<b>{key_text(action)}</b>") == 1
    for actions in KEY_GROUPS.values():
        for action, (_, text) in actions.items():
            assert sheet.rows[key_text(action)] == text


def test_help_opens_the_sheet_also_after_a_rebuild(make_napari_viewer, make_dock, qtbot) -> None:
    dock = make_dock(window=True)
    menu = dock._viewer.window.help_menu
    window = dock.window()
    qtbot.waitUntil(lambda: KEYS_TITLE in [action.text() for action in menu.actions()])
    menu_action(window, KeysAction)
    menu.rebuild()
    menu.popup(window.pos())
    (action,) = (action for action in menu.actions() if action.text() == KEYS_TITLE)
    qtbot.mouseClick(menu, Qt.MouseButton.LeftButton, pos=menu.actionGeometry(action).center())
    (sheet,) = window.findChildren(KeySheet)
    assert sheet.isVisible()
    again = show_keys(window)
    settle(qtbot, again)
    assert [child for child in window.findChildren(KeySheet) if child.isVisible()] == [again]
    qtbot.keyClick(again, Qt.Key.Key_Escape)
    assert not again.isVisible()
