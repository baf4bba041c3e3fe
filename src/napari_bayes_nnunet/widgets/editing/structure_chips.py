"""Choice of the structure to correct and of the locked structures."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QColor, QIcon, QPainter, QPixmap
from qtpy.QtWidgets import QButtonGroup, QCheckBox, QGridLayout, QToolButton, QWidget
from superqt.utils import signals_blocked

from ...core.heart.structures import structure_colors, structure_title
from ..common.dock import ThemeFont, explained
from ..layers.keys import STRUCTURE_KEYS, key_text

SWATCH = 12
"""Size in pixels."""
LOCK_HELP = "Lock {name}, so that no tool and no brush changes it."


class StructureChips(QWidget):
    """Column of chips, one of them chosen; ``structure_chosen`` carries the user's choice."""

    structure_chosen = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.chips: dict[str, QToolButton] = {}
        self._group = QButtonGroup(self)
        self._grid = _grid_in(self)

    @property
    def structure(self) -> str:
        """Name of the chosen structure; empty if there are no structures."""
        return next((name for name, chip in self.chips.items() if chip.isChecked()), "")

    def set_structures(self, structures: Mapping[str, int]) -> None:
        """Set the structures, name → label without background; keep the choice if possible."""
        chosen = self.structure
        for chip in self.chips.values():
            self._group.removeButton(chip)
        colors = structure_colors(structures)
        chips = {name: self._chip(name, colors[structures[name]]) for name in structures}
        for chip, action in zip(chips.values(), STRUCTURE_KEYS, strict=False):
            chip.setText(f"{chip.text()}  {key_text(action)}")
        _replace(self._grid, self.chips.values(), chips.values(), per_row=1)
        self.chips = chips
        self.set_structure(chosen if chosen in structures else next(iter(structures), ""))

    def set_structure(self, name: str) -> None:
        """Choose a structure without a signal."""
        if name in self.chips:
            self.chips[name].setChecked(True)

    def _chip(self, name: str, color: str) -> QToolButton:
        chip = explained(QToolButton(), f"Correct {structure_title(name)}.")
        chip.setText(name)
        chip.setIcon(_swatch(color))
        chip.setToolButtonStyle(Qt.ToolButtonStyle.ToolButtonTextBesideIcon)
        chip.setCheckable(True)
        # Bold as well, because a colour may be faint in a light theme.
        chip.setStyleSheet(
            f"QToolButton {{ padding: 3px 8px; border: 2px solid transparent; border-radius: 4px }}"
            f"QToolButton:checked {{ border-color: {color}; font-weight: bold }}"
        )
        # napari's style sheet sets no size for tool buttons.
        ThemeFont(chip)
        chip.clicked.connect(lambda: self.structure_chosen.emit(name))
        self._group.addButton(chip)
        return chip


class LockBoxes(QWidget):
    """Check boxes of the structures; ``protection_toggled`` carries the user's change."""

    protection_toggled = Signal(str, bool)

    def __init__(self) -> None:
        super().__init__()
        self.boxes: dict[str, QCheckBox] = {}
        self._grid = _grid_in(self)

    @property
    def protected(self) -> tuple[str, ...]:
        """Names of the locked structures."""
        return tuple(name for name, box in self.boxes.items() if box.isChecked())

    def set_structures(self, structures: Mapping[str, int]) -> None:
        """Set the structures, name → label without background; keep the locks."""
        protected = self.protected
        boxes = {name: self._box(name) for name in structures}
        _replace(self._grid, self.boxes.values(), boxes.values(), per_row=3)
        self.boxes = boxes
        self.set_protected(protected)

    def set_protected(self, names: Collection[str]) -> None:
        """Lock these structures only, without a signal."""
        for name, box in self.boxes.items():
            with signals_blocked(box):
                box.setChecked(name in names)

    def _box(self, name: str) -> QCheckBox:
        box = explained(QCheckBox(name), LOCK_HELP.format(name=name))
        box.setAccessibleName(f"Lock {name}")
        box.toggled.connect(lambda on: self.protection_toggled.emit(name, on))
        return box


def _grid_in(parent: QWidget) -> QGridLayout:
    grid = QGridLayout(parent)
    grid.setContentsMargins(0, 0, 0, 0)
    grid.setVerticalSpacing(2)
    return grid


def _replace(
    grid: QGridLayout, old: Iterable[QWidget], new: Iterable[QWidget], *, per_row: int
) -> None:
    for widget in old:
        grid.removeWidget(widget)
        widget.deleteLater()
    for number, widget in enumerate(new):
        row, column = divmod(number, per_row)
        grid.addWidget(widget, row, column)
        grid.setColumnStretch(column, 1)


def _swatch(color: str) -> QIcon:
    pixmap = QPixmap(SWATCH, SWATCH)
    pixmap.fill(Qt.GlobalColor.transparent)
    painter = QPainter(pixmap)
    painter.setRenderHint(QPainter.RenderHint.Antialiasing)
    painter.setPen(Qt.PenStyle.NoPen)
    painter.setBrush(QColor(color))
    painter.drawEllipse(0, 0, SWATCH, SWATCH)
    painter.end()
    return QIcon(pixmap)
