"""Names of structures with a picture of what they are."""

from __future__ import annotations

from html import escape

import numpy as np
import pytest
from qtpy.QtWidgets import QComboBox

from napari_bayes_nnunet.app.dataset.label_example import LabelExample
from napari_bayes_nnunet.core.heart.structures import CARDIAC, HEART_STRUCTURES
from napari_bayes_nnunet.widgets.training.structure_names import (
    NAMES_KEPT,
    PICTURE_HEIGHT,
    PICTURE_WIDTH,
    UNNAMED_LV,
    LabelPicture,
    StructureNames,
    colored,
    label_colors,
)

UNKNOWN = {0: "background", 1: "structure 1", 2: "structure 2", 3: "structure 3"}
HEART = {0: "background", 1: "RV", 2: "MYO", 3: "LV"}


def example(**changes) -> LabelExample:
    given = {
        "case": "patient001",
        "z": 4,
        "image": np.full((4, 6), 100, np.uint8),
        "labels": np.repeat(np.arange(4, dtype=np.uint8)[:, None], 6, axis=1),
        "spacing": (2.0, 1.0),
    }
    return LabelExample(**(given | changes))


@pytest.fixture
def names(qtbot) -> StructureNames:
    made = StructureNames()
    qtbot.addWidget(made)
    return made


def rename(names: StructureNames, row: int, name: str) -> None:
    names.table.item(row, 1).setText(name)


def test_names_kept_for_other_folders_are_reported(names) -> None:
    names.show_names(HEART, example())
    names.keep_names(HEART, example())
    assert names.hint.text() == ""  # the same would be shown
    rename(names, 1, "right ventricle")
    names.keep_names(HEART, example())
    assert names.names[1] == "right ventricle"
    assert names.hint.text() == NAMES_KEPT
    rename(names, 1, "RV")
    assert names.hint.text() != NAMES_KEPT


def test_a_missing_lv_is_said(names) -> None:
    names.show_names(UNKNOWN, None)
    assert names.names == UNKNOWN
    assert names.hint.text() == UNNAMED_LV
    rename(names, 3, "LV")
    assert names.hint.text() == ""


def test_a_name_is_chosen_from_the_hearts_structures(names) -> None:
    names.show_names(UNKNOWN, None)
    changes: list[int] = []
    names.changed.connect(lambda: changes.append(1))
    names.show()
    table = names.table
    table.edit(table.model().index(1, 1))
    (editor,) = table.findChildren(QComboBox)
    assert tuple(editor.itemText(i) for i in range(editor.count())) == HEART_STRUCTURES
    assert editor.currentText() == "structure 1"
    editor.setCurrentIndex(0)
    editor.activated.emit(0)
    assert names.names[1] == "RV"
    assert changes == [1]


def test_only_the_picture_can_be_shown(names) -> None:
    names.show_names(HEART, example(), editable=False)
    assert not names.table.isVisibleTo(names)
    assert names.picture.isVisibleTo(names)


def test_an_empty_table_is_hidden(names) -> None:
    assert not names.table.isVisibleTo(names)
    names.show_names(UNKNOWN, example())
    assert names.table.isVisibleTo(names)
    names.show_names({}, None)
    assert not names.table.isVisibleTo(names)


def test_labels_have_the_colours_of_their_structures() -> None:
    assert label_colors(HEART) == {1: CARDIAC["RV"], 2: CARDIAC["MYO"], 3: CARDIAC["LV"]}
    assert len({*label_colors({0: "background", 1: "LV", 2: "", 3: ""}).values()}) == 3
    assert label_colors({0: "background", 1: "LV", 2: "LV"}) == dict.fromkeys((1, 2), CARDIAC["LV"])
    pixels = colored(example(), label_colors(HEART))
    assert pixels[0, 0].tolist() == [100, 100, 100]
    rgb = [int(CARDIAC["LV"][i : i + 2], 16) for i in (1, 3, 5)]
    assert pixels[3, 0] == pytest.approx([0.45 * 100 + 0.55 * part for part in rgb], abs=1)


def test_the_picture_keeps_the_proportions(qtbot) -> None:
    picture = LabelPicture()
    qtbot.addWidget(picture)
    assert picture.isHidden()
    picture.set_example(example(), HEART)
    size = picture.picture.pixmap().size()
    assert (size.height(), size.width()) == (PICTURE_HEIGHT, round(PICTURE_HEIGHT * 6 / 8))
    picture.set_example(example(spacing=(1.0, 10.0)), HEART)
    assert picture.picture.pixmap().width() == PICTURE_WIDTH
    assert "patient001" in picture.caption.text()
    assert CARDIAC["LV"] in picture.caption.text()
    picture.set_example(example(case="<b>heart"), HEART)
    assert escape("<b>heart") in picture.caption.text()
    picture.set_example(None, HEART)
    assert picture.isHidden()
