"""Tests of the choice between several series of a DICOM folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.examination import (
    ANOTHER_SHORT_AXIS,
    NOT_CHOSEN,
    OTHER_STUDY,
    SHORT_AXIS_VIEW,
    classify_series,
)
from napari_bayes_nnunet.io.dicom.reader import read_stacks, read_study_date
from napari_bayes_nnunet.io.dicom.series import Stack
from napari_bayes_nnunet.widgets.layers import series_dialog
from napari_bayes_nnunet.widgets.layers.series_dialog import (
    CANDIDATE,
    CHANGE_VIEWS,
    NO_CANDIDATE,
    NOT_TAKEN,
    SEVERAL_CANDIDATES,
    STUDY_DATE,
    StackChooser,
)
from napari_bayes_nnunet.widgets.layers.study_card import make_thumbnail

from ...helpers.data.dicoms import made_voxels, slice_file, write_cine, write_plane


@pytest.fixture
def stacks(tmp_path: Path) -> list[Stack]:
    """Return two short-axis cines, the second without one image, and a long-axis cine."""
    write_cine(tmp_path / "a", description="sax_pre")
    gap = {"leave_out": lambda z, t: (z, t) == (1, 1)}
    write_cine(tmp_path / "b", series=30, description="sax_post", **gap)
    for t in range(5):
        slice_file(tmp_path / f"lax{t}", made_voxels((6, 6)), t=t, series=9, description="4ch")
    return read_stacks(tmp_path)


def test_series_are_listed_with_pictures(qtbot, stacks) -> None:
    chooser = StackChooser(stacks)
    qtbot.addWidget(chooser)
    items = [chooser.list.item(row) for row in range(chooser.list.count())]
    assert [item.text().splitlines() for item in items] == [
        ["sax_pre (series 5)", stacks[0].size, CANDIDATE, SHORT_AXIS_VIEW],
        [
            "sax_post (series 30)",
            stacks[1].size,
            CANDIDATE,
            f"Cannot be read: {stacks[1].problem}.",
            NOT_TAKEN.format(reason=ANOTHER_SHORT_AXIS),
        ],
        ["4ch (series 9)", stacks[2].size, NOT_TAKEN.format(reason=ANOTHER_SHORT_AXIS)],
    ]
    assert stacks[1].problem
    assert not any(item.icon().isNull() for item in items)
    enabled = [bool(item.flags() & Qt.ItemFlag.ItemIsEnabled) for item in items]
    assert enabled == [True, False, True]


def test_an_alias_is_shown_and_kept(qtbot, stacks, settings) -> None:
    chooser = StackChooser(stacks, settings=settings)
    qtbot.addWidget(chooser)
    chooser.show()
    qtbot.keyClicks(chooser.notes.alias, "Bed 4")
    rect = chooser.list.visualItemRect(chooser.list.item(2))
    chooser.notes.alias.clearFocus()
    qtbot.mouseClick(chooser.list.viewport(), Qt.MouseButton.LeftButton, pos=rect.center())
    assert chooser.list.item(0).text().splitlines()[0] == "Bed 4"
    assert settings.kept.study_aliases == {stacks[0].pseudonym: "Bed 4"}
    assert chooser.chosen is stacks[2]
    assert chooser.notes.alias.text() == ""


def test_dates_are_shown_only_if_wanted(qtbot, stacks, settings) -> None:
    chooser = StackChooser(stacks, settings=settings)
    qtbot.addWidget(chooser)
    line = STUDY_DATE.format(date=read_study_date(stacks[0]))
    assert line not in chooser.list.item(0).text()
    chooser.notes.dates.click()
    assert chooser.list.item(0).text().splitlines()[-1] == line
    again = StackChooser(stacks, settings=settings)
    qtbot.addWidget(again)
    assert line in again.list.item(0).text()


def test_the_first_readable_series_is_selected(qtbot, stacks) -> None:
    chooser = StackChooser([stacks[1], stacks[0]])
    qtbot.addWidget(chooser)
    assert chooser.chosen is stacks[0]
    chooser.list.setCurrentRow(0)
    assert chooser.chosen is stacks[1]


def test_a_double_click_opens_readable_series(qtbot, stacks) -> None:
    chooser = StackChooser(stacks)
    qtbot.addWidget(chooser)
    chooser.list.itemDoubleClicked.emit(chooser.list.item(1))
    assert chooser.result() != QDialog.DialogCode.Accepted
    chooser.list.itemDoubleClicked.emit(chooser.list.item(2))
    assert chooser.result() == QDialog.DialogCode.Accepted


def test_an_unreadable_picture_becomes_a_tooltip(qtbot, stacks, monkeypatch) -> None:
    def fail(stack: Stack) -> Any:
        raise DataError("It is compressed.")

    monkeypatch.setattr(series_dialog, "read_thumbnail", fail)
    chooser = StackChooser(stacks)
    qtbot.addWidget(chooser)
    assert chooser.list.item(0).icon().isNull()
    assert chooser.list.item(0).toolTip() == "It is compressed."


def test_the_question_depends_on_the_candidates(qtbot, stacks) -> None:
    for given, question in ((stacks, SEVERAL_CANDIDATES), (stacks[2:], NO_CANDIDATE)):
        chooser = StackChooser(given)
        qtbot.addWidget(chooser)
        assert chooser.question.text() == question


def test_long_axes_are_shown_and_changed(qtbot, tmp_path) -> None:
    write_cine(tmp_path / "a")
    write_plane(tmp_path, 82, 0, series=20, description="4ch")
    write_plane(tmp_path, 24, 0, series=21, description="2ch")
    write_plane(tmp_path, -39, 0, series=22, description="3ch", PatientID="another")
    stacks = read_stacks(tmp_path)
    chooser = StackChooser(stacks, views=classify_series(stacks, stacks[0]))
    qtbot.addWidget(chooser)
    assert chooser.question.text() == CHANGE_VIEWS
    assert [box.currentData() for box in chooser.boxes.values()] == [1, None, 2, None, None]
    assert chooser.boxes["3CH"].findData(3) < 0  # another patient's
    assert NOT_TAKEN.format(reason=OTHER_STUDY) in chooser.list.item(3).text()
    box = chooser.boxes["3CH"]
    box.setCurrentIndex(box.findData(1))
    box.activated.emit(box.currentIndex())
    assert [series.view for series in chooser.views] == [SHORT_AXIS_VIEW, "3CH", "2CH", ""]
    assert chooser.boxes["4CH"].currentData() is None
    box.setCurrentIndex(0)
    box.activated.emit(0)
    assert chooser.views[1].reason == NOT_CHOSEN


def test_the_picture_keeps_its_shape(qtbot) -> None:
    picture = make_thumbnail(np.arange(20 * 10).reshape(20, 10))
    assert (picture.width(), picture.height()) == (48, 96)
    image = picture.toImage()
    assert image.pixelColor(0, 0).lightness() < 20
    assert image.pixelColor(47, 95).lightness() > 230
