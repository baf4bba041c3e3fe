"""Names of the structures of a dataset, with a picture that shows them."""

from __future__ import annotations

from collections.abc import Mapping
from html import escape

import numpy as np
from qtpy.QtCore import QModelIndex, Qt, Signal
from qtpy.QtGui import QColor, QImage, QPixmap
from qtpy.QtWidgets import (
    QAbstractItemView,
    QComboBox,
    QHeaderView,
    QLabel,
    QStyledItemDelegate,
    QStyleOptionViewItem,
    QTableWidget,
    QTableWidgetItem,
    QWidget,
)
from superqt.utils import signals_blocked

from ...app.dataset.label_example import LabelExample
from ...core.heart.structures import HEART_STRUCTURES, lacks_lv, structure_colors
from ..common.dock import MessageLabel, column_layout, form_layout
from ..common.levels import level_color
from ..common.rows_table import ROW_HEIGHT, ROWS_SHOWN

PICTURE_HEIGHT = 150
"""Largest height of the picture in pixels."""
PICTURE_WIDTH = 300
LABEL_OPACITY = 0.55
SLICE_CAPTION = "{case}, slice {slice}: {names}"
COLORED_NAME = "<span style='color:{color}'>■</span>&nbsp;{name}"
_BACKGROUND = "background"
EMPTY = "Name the structure with the value {value}."
TWICE = "Two values are called “{name}”. Give each structure its own name."
FIXED = "Background voxels have the value 0."
NAMES_KEPT = "These names were given for the folders chosen before. Check them against the picture."
UNNAMED_LV = (
    "No structure is named LV, so the ensemble will not give ED, ES or EF. Name the structures RV, "
    "MYO and LV as the picture shows them."
)


class LabelPicture(QWidget):
    """A slice of ``example`` and the names of its values, in the colours that they will have."""

    def __init__(self) -> None:
        super().__init__()
        self.example: LabelExample | None = None
        self.picture = QLabel()
        self.caption = QLabel()
        self.picture.setAlignment(Qt.AlignmentFlag.AlignCenter)
        self.caption.setWordWrap(True)
        column_layout(self, self.picture, self.caption)
        self.set_example(None, {})

    def set_example(self, example: LabelExample | None, names: Mapping[int, str]) -> None:
        """Show ``example`` with ``names`` of values; None hides the picture."""
        self.example = example
        self.set_names(names)

    def set_names(self, names: Mapping[int, str]) -> None:
        """Draw again, with the colours of these ``names`` of values."""
        self.setVisible(self.example is not None)
        if self.example is None:
            return
        colors = label_colors(names)
        pixels = colored(self.example, colors)
        height, width = pixels.shape[:2]
        # The length of a row is given, because by default Qt takes a multiple of 4 bytes.
        image = QImage(pixels.tobytes(), width, height, 3 * width, QImage.Format.Format_RGB888)
        tall = height * self.example.spacing[0]
        wide = width * self.example.spacing[1]
        scale = min(PICTURE_HEIGHT / tall, PICTURE_WIDTH / wide)
        self.picture.setPixmap(
            QPixmap.fromImage(image).scaled(
                max(1, round(wide * scale)),
                max(1, round(tall * scale)),
                # The sizes have the aspect in mm; voxels need not be square.
                Qt.AspectRatioMode.IgnoreAspectRatio,
                Qt.TransformationMode.SmoothTransformation,
            )
        )
        shown = " &nbsp; ".join(
            COLORED_NAME.format(color=colors[value], name=escape(name))
            for value, name in sorted(names.items())
            if value
        )
        case = escape(self.example.case)
        self.caption.setText(SLICE_CAPTION.format(case=case, slice=self.example.z + 1, names=shown))


class NameDelegate(QStyledItemDelegate):
    """Editor of a name that offers the structures of the heart; any other name can be typed."""

    def createEditor(
        self, parent: QWidget, option: QStyleOptionViewItem, index: QModelIndex
    ) -> QWidget:
        """Return an editable list."""
        editor = QComboBox(parent)
        editor.setEditable(True)
        editor.addItems(HEART_STRUCTURES)
        # A choice counts at once, not only when the field is left.
        editor.activated.connect(lambda _: self.commitData.emit(editor))
        return editor


class StructureNames(QWidget):
    """A picture above a small table value → name. ``changed`` is emitted when a name is edited."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._kept: dict[int, str] = {}
        self.picture = LabelPicture()
        self.table = QTableWidget(0, 2)
        self.problem_text = MessageLabel(level="blocking")
        self.hint = MessageLabel(level="warning")
        self._prepare_table()
        self._rows = form_layout(Structures=self.table)
        column_layout(self, self.picture, self._rows, self.problem_text, self.hint)
        self.table.itemChanged.connect(self._on_item_changed)
        self.show_names({}, None)

    @property
    def names(self) -> dict[int, str]:
        """Name of every value, including the background, as typed."""
        rows = range(self.table.rowCount())
        return {self._value(row): str(self.table.item(row, 1).text()).strip() for row in rows}

    @property
    def problem(self) -> str:
        """A sentence on the first wrong name, "" if all are valid."""
        return str(self.problem_text.text())

    def show_names(
        self, names: Mapping[int, str], example: LabelExample | None, *, editable: bool = True
    ) -> None:
        """Show these values and names, and the slice of ``example``, None to hide it.

        The table is hidden if the names are not ``editable``, and while there are none.
        """
        self._kept = {}
        # Filling the table is no edit by the user.
        with signals_blocked(self.table):
            self.table.setRowCount(len(names))
            for row, (value, name) in enumerate(sorted(names.items())):
                number, title = QTableWidgetItem(str(value)), QTableWidgetItem(name)
                number.setFlags(Qt.ItemFlag.ItemIsEnabled)
                if value == 0:
                    title.setText(_BACKGROUND)
                    title.setFlags(Qt.ItemFlag.NoItemFlags)
                self.table.setItem(row, 0, number)
                self.table.setItem(row, 1, title)
        header = self.table.horizontalHeader().sizeHint().height()
        rows = min(max(len(names), 1), ROWS_SHOWN)
        self.table.setFixedHeight(header + rows * (ROW_HEIGHT + 2) + 4)
        self._rows.setRowVisible(0, editable and bool(names))
        self._set_example(example)

    def keep_names(self, names: Mapping[int, str], example: LabelExample | None) -> None:
        """Keep the names as typed for the slice of ``example``; say so if ``names`` differ."""
        self._kept = self.names if self.names != names else {}
        self._set_example(example)

    def _value(self, row: int) -> int:
        return int(self.table.item(row, 0).text())

    def _prepare_table(self) -> None:
        self.table.setHorizontalHeaderLabels(["Value", "Name"])
        self.table.verticalHeader().hide()
        self.table.verticalHeader().setDefaultSectionSize(ROW_HEIGHT + 2)
        self.table.horizontalHeader().setSectionResizeMode(QHeaderView.ResizeMode.ResizeToContents)
        self.table.horizontalHeader().setStretchLastSection(True)
        self.table.setSelectionMode(QAbstractItemView.SelectionMode.NoSelection)
        self.table.setEditTriggers(QAbstractItemView.EditTrigger.AllEditTriggers)
        self.table.setToolTip("Click a name to change it.")
        self.table.setItemDelegateForColumn(1, NameDelegate(self))

    def _set_example(self, example: LabelExample | None) -> None:
        self.picture.set_example(example, self.names)
        self._check()

    def _on_item_changed(self, _: QTableWidgetItem) -> None:
        self.picture.set_names(self.names)
        self._check()
        self.changed.emit()

    def _check(self) -> None:
        """Mark missing and duplicate names; show the first one, and a hint on the names."""
        names = self.names
        folded = [name.casefold() for name in names.values()]
        sentences = []
        # A mark changes its item, which is no edit either.
        with signals_blocked(self.table):
            for row, (value, name) in enumerate(names.items()):
                sentence = EMPTY.format(value=value) if not name else ""
                if name and folded.count(name.casefold()) > 1:
                    sentence = TWICE.format(name=name)
                self._mark(self.table.item(row, 1), sentence, FIXED if value == 0 else "")
                sentences += [sentence] if sentence else []
        self.problem_text.show_message(sentences[0] if sentences else "")
        lacking = UNNAMED_LV if any(names) and lacks_lv(names.values()) else ""
        kept = NAMES_KEPT if any(names) and names == self._kept else ""
        self.hint.show_message(lacking or kept)

    def _mark(self, item: QTableWidgetItem, sentence: str, help_text: str) -> None:
        item.setToolTip(sentence or help_text)
        color = QColor(level_color("blocking", self.table)) if sentence else None
        item.setData(Qt.ItemDataRole.BackgroundRole, None)
        item.setData(Qt.ItemDataRole.ForegroundRole, color)


def label_colors(names: Mapping[int, str]) -> dict[int, str]:
    """Return "#RRGGBB" of each value above 0, even of equal and of empty names."""
    # Spaces make equal names different and do not change their meaning.
    return structure_colors({name + " " * value: value for value, name in names.items()})


def colored(example: LabelExample, colors: Mapping[int, str]) -> np.ndarray:
    """Return the slice as (Y, X, 3) uint8, with the labels over the image."""
    pixels = np.repeat(example.image[..., np.newaxis], 3, axis=2).astype(np.float32)
    for value, color in colors.items():
        rgb = np.array(QColor(color).getRgb()[:3], np.float32)
        chosen = example.labels == value
        pixels[chosen] = (1 - LABEL_OPACITY) * pixels[chosen] + LABEL_OPACITY * rgb
    return np.ascontiguousarray(pixels.round().astype(np.uint8))
