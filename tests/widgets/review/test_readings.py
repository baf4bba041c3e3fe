"""Readings of a study in the *Review* dock: two readers, one after the other."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtGui import QAction

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.study.arrays import EDITED
from napari_bayes_nnunet.io.study.readings import READINGS
from napari_bayes_nnunet.io.study.review_state import REVIEW, read_review
from napari_bayes_nnunet.io.study.study import open_study_lock, read_study
from napari_bayes_nnunet.io.study.summary import summarise_study
from napari_bayes_nnunet.widgets.review.dock import READER_EXISTS, ReviewWidget
from napari_bayes_nnunet.widgets.review.open_study import OTHERS_READING, open_study
from napari_bayes_nnunet.widgets.review.reader_button import (
    COMPARE,
    NAME_READING,
    OTHER_READER,
    RENAME,
)

from ...helpers.checks.problems import says
from ...helpers.data.cines import ED, LV, make_cine
from ...helpers.windows.reviewing import paint
from ...helpers.windows.settling import settle

VIEW_ANNA = "View Anna"


@pytest.fixture
def dock(model_dock: ReviewWidget) -> ReviewWidget:
    return model_dock


def is_open(dock: ReviewWidget, qtbot: Any) -> None:
    qtbot.waitUntil(lambda: dock.controller is not None and not dock.is_opening)
    settle(qtbot, dock.controller, dock.forms)


def open_as_anna(dock: ReviewWidget, settings: Any, tmp_path: Path, qtbot: Any) -> Path:
    folder = make_cine(tmp_path / "heart")
    settings.keep(reader="Anna")
    dock.open(folder)
    is_open(dock, qtbot)
    return folder


def actions(dock: ReviewWidget) -> dict[str, QAction]:
    """Return the entries of the reader's menu, the finished readings by their reader."""
    menu = dock.forms.reader.choices
    menu.aboutToShow.emit()
    return {action.text().split(",")[0]: action for action in menu.actions() if action.text()}


def choose(dock: ReviewWidget, entry: str, qtbot: Any, *, answer: str = "") -> None:
    before = dock.controller
    dock.forms.reader.ask_name = lambda *_: answer
    actions(dock)[entry].trigger()
    qtbot.waitUntil(lambda: dock.controller is not before)
    is_open(dock, qtbot)


def finish(dock: ReviewWidget, qtbot: Any) -> None:
    assert dock.controller is not None
    dock.controller._finish()
    dock.controller.saver.save()
    qtbot.waitUntil(lambda: not dock.controller.saver.has_unsaved)


def bytes_of(*files: Path) -> list[bytes]:
    return [file.read_bytes() for file in files]


def test_study_is_read_twice_under_two_names(dock, folder, qtbot) -> None:
    files = folder / EDITED, folder / REVIEW
    dock.open(folder)
    is_open(dock, qtbot)
    choose(dock, NAME_READING, qtbot, answer="Anna")
    session = dock.controller.session
    assert session.state.reader == "Anna"
    assert "Anna" in dock.forms.reader.title
    paint(dock.controller.picture.edited, (ED, 1), 3, 3, LV, qtbot)
    finish(dock, qtbot)
    of_anna = bytes_of(*files)

    choose(dock, OTHER_READER, qtbot, answer="Ben")
    session = dock.controller.session
    assert np.array_equal(session.labels, session.study.prediction)
    assert not session.state.decisions
    assert not session.state.finished
    menu = actions(dock)
    hidden = [menu[entry] for entry in ("Anna", VIEW_ANNA, COMPARE)]
    assert not any(action.isEnabled() for action in hidden)
    dock.controller.accept()
    finish(dock, qtbot)
    menu = actions(dock)
    assert all(menu[entry].isEnabled() for entry in ("Anna", VIEW_ANNA, COMPARE))
    kept = [folder / READINGS / "1" / name for name in (EDITED, REVIEW)]
    assert bytes_of(*kept) == of_anna

    choose(dock, VIEW_ANNA, qtbot)
    assert dock.forms.reader.title == "Version 1: Anna"
    assert not dock.forms.slice.buttons["accept"].isEnabled()
    assert dock.controller.saver.read_only
    assert not dock.controller.picture.edited.editable
    assert dock.controller.session.labels[ED - 1, 1, 3, 3] == LV
    choose(dock, "Anna", qtbot)
    assert not dock.controller.saver.read_only
    assert bytes_of(*files) == of_anna


def test_view_names_another_reading_that_is_damaged(dock, settings, tmp_path, qtbot) -> None:
    folder = open_as_anna(dock, settings, tmp_path, qtbot)
    finish(dock, qtbot)
    kept, damaged = (folder / READINGS / number for number in "12")
    dock.close_study()
    shutil.copytree(kept, damaged)
    (damaged / REVIEW).write_text("{")
    dock.open(folder, reading=kept)
    qtbot.waitUntil(lambda: str(damaged / REVIEW) in dock.messages.hint.text())
    assert dock.controller is None


def test_mistyped_reader_is_renamed(dock, settings, tmp_path, qtbot) -> None:
    folder = open_as_anna(dock, settings, tmp_path, qtbot)
    paint(dock.controller.picture.edited, (ED, 1), 3, 3, LV, qtbot)
    assert not (folder / READINGS).exists()
    choose(dock, RENAME.format(name="Anna"), qtbot, answer="Annette")
    assert dock.controller.session.labels[ED - 1, 1, 3, 3] == LV
    assert dock.controller.session.state.reader == "Annette"
    finish(dock, qtbot)
    choose(dock, OTHER_READER, qtbot, answer="Ben")
    before = dock.controller
    dock.forms.reader.ask_name = lambda *_: "Annette"
    actions(dock)[RENAME.format(name="Ben")].trigger()
    assert dock.messages.line.message == READER_EXISTS.format(name="Annette")
    assert dock.controller is before


def test_open_and_save_leave_a_finished_reading_alone(dock, settings, tmp_path, qtbot) -> None:
    folder = open_as_anna(dock, settings, tmp_path, qtbot)
    finish(dock, qtbot)
    kept = sorted((folder / READINGS).rglob("*.*"))
    before = bytes_of(*kept)
    assert kept
    for _ in range(2):
        dock.open(folder)
        is_open(dock, qtbot)
        paint(dock.controller.picture.edited, (ED, 1), 3, 3, LV, qtbot)
        dock.forms.export.study_action.trigger()
        qtbot.waitUntil(lambda: not dock.controller.saver.has_unsaved)
        finish(dock, qtbot)
        dock.close_study()
    assert bytes_of(*kept) == before
    assert len([*(folder / READINGS).iterdir()]) > 1


def test_known_reader_opens_the_own_reading(dock, settings, tmp_path, qtbot) -> None:
    folder = open_as_anna(dock, settings, tmp_path, qtbot)
    dock.controller.accept()
    dock.close_study()
    settings.keep(reader="Ben")
    assert summarise_study(folder, "Ben").reviewed == 0
    assert summarise_study(folder, "Anna").reviewed == 1
    dock.open(folder)
    is_open(dock, qtbot)
    assert dock.controller.session.state.reader == "Ben"
    assert not dock.controller.session.state.decisions
    dock.close_study()
    assert summarise_study(folder, "Anna").reviewed == 1


def test_no_answer_changes_nothing(dock, tmp_path, qtbot) -> None:
    dock.open(make_cine(tmp_path / "heart"))
    is_open(dock, qtbot)
    dock.forms.reader.ask_name = lambda *_: ""
    controller = dock.controller
    actions(dock)[NAME_READING].trigger()
    assert dock.controller is controller
    assert not dock.is_opening


def test_reading_of_another_stays_hidden_while_the_study_is_locked(folder) -> None:
    open_study(folder, reader="Anna").dismiss()
    with open_study_lock(folder):
        assert open_study(folder, reader="Anna").session.state.reader == "Anna"
        check = says(OTHERS_READING, folder=folder)
        with pytest.raises(DataError, check=check):
            open_study(folder, reader="Ben")
    assert read_review(folder).reader == "Anna"
    assert read_study(folder).review.reader == "Anna"
