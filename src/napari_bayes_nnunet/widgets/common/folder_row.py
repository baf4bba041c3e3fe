"""Row of a form for a folder that is typed, chosen or dropped."""

from __future__ import annotations

from pathlib import Path

from qtpy.QtCore import QSize, Signal
from qtpy.QtWidgets import QFileDialog, QLineEdit, QPushButton, QWidget

from ...io.files.given_path import expand_home
from .dock import ThemeFont, row_layout
from .folder_drop import FolderDrop

DROP_HINT = "Choose or drop a folder"


class HintedLine(QLineEdit):
    """Text field that is wide enough for its hint, in the font of the theme."""

    def __init__(self, hint: str) -> None:
        super().__init__()
        self.setPlaceholderText(hint)
        ThemeFont(self)

    def minimumSizeHint(self) -> QSize:
        """Return the size at which the hint is not cut off."""
        size = super().minimumSizeHint()
        hint = self.fontMetrics().horizontalAdvance(f"{self.placeholderText()}  ")
        return QSize(max(size.width(), hint), size.height())


class FolderRow(FolderDrop, QWidget):
    """Field and button for a folder; ``chosen`` carries its Path, or None, after a change.

    ``path`` is the folder, None if the field is empty.
    """

    chosen = Signal(object)

    def __init__(self, title: str, *, hint: str = DROP_HINT) -> None:
        super().__init__()
        self._title = title
        self.path: Path | None = None
        self.edit = HintedLine(hint)
        self.edit.setAcceptDrops(False)  # the row takes the drop; the field would insert a URL
        self.button = QPushButton("Choose…")
        row_layout(self, self.edit, self.button, wide=self.edit)
        self.setAcceptDrops(True)
        self.edit.editingFinished.connect(self.commit)
        self.button.clicked.connect(self._on_choose_clicked)

    def set_path(self, path: Path | None) -> None:
        """Show ``path`` without a signal."""
        self.path = path
        self.edit.setText("" if path is None else str(path))
        self.edit.setToolTip(self.edit.text())

    def choose(self, path: Path | None) -> None:
        """Set ``path`` and emit ``chosen``, as if the user had chosen it."""
        self.set_path(path)
        self.chosen.emit(path)

    def commit(self) -> None:
        """Choose what is typed, as when the field loses the focus.

        A button that was clicked does not take it on macOS.
        """
        text = self.edit.text().strip()
        path = expand_home(text) if text else None
        if path != self.path:
            self.choose(path)

    def _on_choose_clicked(self) -> None:
        # In the parent, so that the folders next to it can be chosen.
        start = "" if self.path is None else str(self.path.parent)
        chosen = QFileDialog.getExistingDirectory(self, self._title, start)
        if chosen:
            self.choose(Path(chosen))

    def take_dropped(self, path: Path) -> None:
        """Choose a dropped folder."""
        self.choose(path)
