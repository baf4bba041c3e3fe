"""Dialog to choose one of several stacks in a DICOM folder."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any, TypeAlias

import numpy as np
from qtpy.QtCore import QSize, Qt
from qtpy.QtGui import QIcon, QImage, QPixmap
from qtpy.QtWidgets import (
    QApplication,
    QDialog,
    QDialogButtonBox,
    QLabel,
    QListWidget,
    QListWidgetItem,
    QVBoxLayout,
    QWidget,
)

from ...io import DataError
from ...io.dicom.reader import read_thumbnail
from ...io.dicom.series import Stack
from ..common.wording import in_the_window

ReadPicture: TypeAlias = Callable[[Stack], Any]
_PICTURE = 96
SEVERAL_CANDIDATES = "Several series could be the short-axis cine. Choose the one to open."
NO_CANDIDATE = "None of these series looks like a short-axis cine. Choose the one to open."
CANDIDATE = "Possibly the short-axis cine."


class StackChooser(QDialog):
    """List of stacks, each with a description and a picture of its middle slice.

    ``read_picture`` returns (Y, X) intensities of a stack or raises DataError.
    """

    def __init__(
        self,
        stacks: Sequence[Stack],
        *,
        read_picture: ReadPicture = read_thumbnail,
        parent: QWidget | None = None,
    ) -> None:
        super().__init__(parent)
        self._stacks: list[Stack] = list(stacks)
        self.setWindowTitle("DICOM series")
        has_candidate = any(stack.is_short_axis_cine for stack in stacks)
        self.question = QLabel(SEVERAL_CANDIDATES if has_candidate else NO_CANDIDATE)
        self.list = QListWidget()
        self.list.setIconSize(QSize(_PICTURE, _PICTURE))
        self.list.setMinimumSize(QSize(560, 340))
        self.buttons = QDialogButtonBox(
            QDialogButtonBox.StandardButton.Open | QDialogButtonBox.StandardButton.Cancel
        )
        column = QVBoxLayout(self)
        for part in (self.question, self.list, self.buttons):
            column.addWidget(part)
        for stack in self._stacks:
            self.list.addItem(_make_item(stack, read_picture))
        self.list.setCurrentRow(_first_readable(self._stacks))
        self.buttons.accepted.connect(self.accept)
        self.buttons.rejected.connect(self.reject)
        self.list.itemDoubleClicked.connect(self._on_double_clicked)

    @property
    def chosen(self) -> Stack:
        """The selected stack."""
        row: int = max(self.list.currentRow(), 0)
        return self._stacks[row]

    def _on_double_clicked(self, item: QListWidgetItem) -> None:
        if item.flags() & Qt.ItemFlag.ItemIsEnabled:
            self.accept()


def ask_for_stack(stacks: Sequence[Stack], parent: QWidget | None = None) -> Stack | None:
    """Let the user choose a stack; return None if the dialog is cancelled."""
    dialog = StackChooser(stacks, parent=parent or QApplication.activeWindow())
    accepted = dialog.exec() == QDialog.DialogCode.Accepted
    dialog.deleteLater()
    return dialog.chosen if accepted else None


def describe_stack(stack: Stack) -> str:
    """Return lines with the series, its size and, if it cannot be read, the reason."""
    lines = [f"{stack.description or 'no description'} ({stack.series_name})", stack.size]
    if stack.is_short_axis_cine:
        lines.append(CANDIDATE)
    if stack.problem:
        lines.append(f"Cannot be read: {stack.problem}.")
    return "\n".join(lines)


def make_thumbnail(pixels: Any) -> QPixmap:
    """Return a grey picture of (Y, X) intensities, 96 pixels at its longer side."""
    values = np.asarray(pixels, dtype=np.float32)
    low, high = float(values.min()), float(np.percentile(values, 99.5))
    grey = np.ascontiguousarray(
        (255 * np.clip((values - low) / max(high - low, 1e-6), 0, 1)).astype(np.uint8)
    )
    rows, columns = grey.shape
    image = QImage(grey.data, columns, rows, columns, QImage.Format.Format_Grayscale8)
    return QPixmap.fromImage(image).scaled(
        QSize(_PICTURE, _PICTURE),
        Qt.AspectRatioMode.KeepAspectRatio,
        Qt.TransformationMode.SmoothTransformation,
    )


def _make_item(stack: Stack, read_picture: ReadPicture) -> QListWidgetItem:
    item = QListWidgetItem(describe_stack(stack))
    try:
        item.setIcon(QIcon(make_thumbnail(read_picture(stack))))
    except DataError as error:
        item.setToolTip(in_the_window(error))
    if stack.problem:
        item.setFlags(item.flags() & ~Qt.ItemFlag.ItemIsEnabled)
    return item


def _first_readable(stacks: Sequence[Stack]) -> int:
    return next((row for row, stack in enumerate(stacks) if not stack.problem), 0)
