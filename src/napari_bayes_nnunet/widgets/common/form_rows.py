"""Rows of a form whose labels line up over all forms of a dock."""

from __future__ import annotations

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QFormLayout, QLabel, QWidget

LABEL_WIDTH = 74


def form_layout(parent: QWidget | None = None) -> QFormLayout:
    """An empty form without margins whose fields take all the width there is."""
    rows = QFormLayout(parent)
    rows.setContentsMargins(0, 0, 0, 0)
    rows.setFieldGrowthPolicy(QFormLayout.FieldGrowthPolicy.AllNonFixedFieldsGrow)
    return rows


def row_label(text: str) -> QLabel:
    """The label of a row, shortened where it is too long."""
    label = QLabel(text)
    room = LABEL_WIDTH - 10  # napari's font is a little wider than the one measured here
    label.setText(label.fontMetrics().elidedText(text, Qt.TextElideMode.ElideRight, room))
    label.setFixedWidth(LABEL_WIDTH)
    label.setToolTip(text)
    return label
