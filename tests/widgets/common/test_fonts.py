"""Fonts of widgets that napari's theme leaves out."""

from __future__ import annotations

from typing import Any

import numpy as np
from napari.qt import get_stylesheet
from qtpy.QtWidgets import QApplication, QLineEdit, QVBoxLayout, QWidget

from napari_bayes_nnunet.widgets.common.folder_row import FolderRow
from napari_bayes_nnunet.widgets.common.patient_pattern import PatientForm
from napari_bayes_nnunet.widgets.common.rows_table import Column, Row, RowsTable
from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.editing.presence_strip import PresenceStrip
from napari_bayes_nnunet.widgets.editing.slice_buttons import SliceButtons
from napari_bayes_nnunet.widgets.editing.structure_chips import StructureChips
from napari_bayes_nnunet.widgets.evaluation.form import MethodRow
from napari_bayes_nnunet.widgets.layers.study_card import AliasForm
from napari_bayes_nnunet.widgets.reading.heat_grid import HeatGrid
from napari_bayes_nnunet.widgets.reading.patient_fields import PatientFields
from napari_bayes_nnunet.widgets.training.folders_form import NewDatasetForm


def show(*parts: QWidget, qtbot: Any) -> QWidget:
    """Return a shown window with the parts below each other."""
    window = QWidget()
    qtbot.addWidget(window)
    column = QVBoxLayout(window)
    for part in parts:
        column.addWidget(part)
    window.show()
    return window


def set_font(window: QWidget, points: int) -> None:
    """Give a window the theme with a font of this size."""
    window.setStyleSheet(get_stylesheet("dark", extra_variables={"font_size": f"{points}pt"}))
    QApplication.processEvents()


def test_small_buttons_and_the_comment_have_the_font_of_the_theme(qtbot: Any) -> None:
    chips, buttons = StructureChips(), SliceButtons()
    chips.set_structures({"RV": 1, "LV": 3})
    window = show(chips, buttons.comment, qtbot=qtbot)
    for points in (9, 18):
        set_font(window, points)
        parts = (*chips.chips.values(), buttons.comment)
        assert {part.font().pointSizeF() for part in parts} == {points}


def test_text_fields_have_the_font_of_the_theme(qtbot: Any, settings: Settings) -> None:
    patient = PatientFields()
    forms = MethodRow(), NewDatasetForm(), PatientForm(), AliasForm(settings), patient.native
    window = show(*forms, qtbot=qtbot)
    set_font(window, 18)
    fields = [field for form in forms for field in form.findChildren(QLineEdit)]
    assert {field.font().pointSizeF() for field in fields} == {18}


def test_the_hint_of_a_folder_is_not_cut_off(qtbot: Any) -> None:
    row = FolderRow("Folder")
    window = show(row, qtbot=qtbot)
    for points in (9, 18):
        set_font(window, points)
        window.resize(window.minimumSizeHint())
        QApplication.processEvents()
        field = row.edit
        text = field.fontMetrics().horizontalAdvance(field.placeholderText())
        assert text < field.width() < 2 * text


def test_tables_and_grids_grow_with_the_font_of_the_theme(qtbot: Any) -> None:
    grid, strip = HeatGrid(), PresenceStrip()
    table = RowsTable([Column("Slice", "")])
    table.set_rows([Row(("1",))])
    grid.set_scores(np.ones((4, 2)), (1, 2), "", top=1)
    window = show(grid, strip, table, qtbot=qtbot)
    sizes = []
    for points in (9, 18):
        set_font(window, points)
        parts = grid, strip, table, table.horizontalHeader()
        assert {part.font().pointSizeF() for part in parts} == {points}
        sizes.append([part.sizeHint().height() for part in (grid, strip)])
        sizes[-1] += [table.height(), grid.cell_rect(1, 0).height()]
    assert all(large > small for small, large in zip(*sizes, strict=True))
