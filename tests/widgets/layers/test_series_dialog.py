"""The choice between several series of a DICOM folder."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QDialog

from napari_bayes_nnunet.io import DataError
from napari_bayes_nnunet.io.dicom.reader import read_stacks
from napari_bayes_nnunet.io.dicom.series import Stack
from napari_bayes_nnunet.widgets.layers.series_dialog import (
    MAYBE,
    NONE_FOUND,
    StackChooser,
    picture_of,
)

from ...helpers.dicoms import made_voxels, slice_file, write_cine


@pytest.fixture
def stacks(tmp_path: Path) -> list[Stack]:
    """Two short-axis cines, of which the second lacks an image, and a long axis."""
    write_cine(tmp_path / "a", description="sax_pre")
    gap = {"leave_out": lambda z, t: (z, t) == (1, 1)}
    write_cine(tmp_path / "b", series=30, description="sax_post", **gap)
    for t in range(5):
        slice_file(tmp_path / f"lax{t}", made_voxels((6, 6)), t=t, series=9, description="4ch")
    return read_stacks(tmp_path)


def test_what_each_is_with_a_picture(qtbot: Any, stacks: list[Stack]) -> None:
    chooser = StackChooser(stacks)
    qtbot.addWidget(chooser)
    items = [chooser.list.item(row) for row in range(chooser.list.count())]
    assert [item.text().splitlines() for item in items] == [
        [
            "sax_pre (series 5)",
            "4 slices × 5 phases, 1.25 × 1.5 × 8 mm",
            "May be the short-axis cine.",
        ],
        [
            "sax_post (series 30)",
            "4 slices × 5 phases, 1.25 × 1.5 × 8 mm",
            "May be the short-axis cine.",
            f"Cannot be read: {stacks[1].problem}.",
        ],
        ["4ch (series 9)", "1 slices × 5 phases, 1.25 × 1.5 × 6 mm"],
    ]
    assert not any(item.icon().isNull() for item in items)
    enabled = [bool(item.flags() & Qt.ItemFlag.ItemIsEnabled) for item in items]
    assert enabled == [True, False, True]


def test_the_first_that_can_be_read_is_selected(qtbot: Any, stacks: list[Stack]) -> None:
    chooser = StackChooser([stacks[1], stacks[0]])
    qtbot.addWidget(chooser)
    assert chooser.chosen is stacks[0]
    chooser.list.setCurrentRow(0)
    assert chooser.chosen is stacks[1]


def test_a_double_click_opens(qtbot: Any, stacks: list[Stack]) -> None:
    chooser = StackChooser(stacks)
    qtbot.addWidget(chooser)
    chooser.list.itemDoubleClicked.emit(chooser.list.item(1))
    assert chooser.result() != QDialog.DialogCode.Accepted
    chooser.list.itemDoubleClicked.emit(chooser.list.item(2))
    assert chooser.result() == QDialog.DialogCode.Accepted


def test_a_picture_that_cannot_be_read(qtbot: Any, stacks: list[Stack]) -> None:
    def fail(stack: Stack) -> Any:
        raise DataError("It is compressed.")

    chooser = StackChooser(stacks, read_picture=fail)
    qtbot.addWidget(chooser)
    assert chooser.list.item(0).icon().isNull()
    assert chooser.list.item(0).toolTip() == "It is compressed."


def test_the_question_tells_whether_there_is_a_candidate(qtbot: Any, stacks: list[Stack]) -> None:
    for given, question in ((stacks, MAYBE), (stacks[2:], NONE_FOUND)):
        chooser = StackChooser(given)
        qtbot.addWidget(chooser)
        assert chooser.question.text() == question


def test_the_picture_keeps_its_shape(qtbot: Any) -> None:
    picture = picture_of(np.arange(20 * 10).reshape(20, 10))
    assert (picture.width(), picture.height()) == (48, 96)
    image = picture.toImage()
    assert image.pixelColor(0, 0).lightness() < 20
    assert image.pixelColor(47, 95).lightness() > 230
