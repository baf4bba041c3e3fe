"""Question before files are replaced."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QMessageBox, QWidget


def ask_to_replace(parent: QWidget, names: Sequence[str]) -> bool:
    """Ask the user and return True if the files may be replaced."""
    text = "Replace these files?\n\n" + "\n".join(names)
    answer = QMessageBox.question(parent, "Replace files", text)
    return bool(answer == QMessageBox.StandardButton.Yes)
