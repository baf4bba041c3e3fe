"""Questions before files are written."""

from __future__ import annotations

from collections.abc import Sequence

from qtpy.QtWidgets import QMessageBox, QWidget


def ask_to_replace(parent: QWidget, names: Sequence[str]) -> bool:
    """Ask the user and return True if the files may be replaced."""
    text = "Replace these files?\n\n" + "\n".join(names)
    answer = QMessageBox.question(parent, "Replace files", text)
    return bool(answer == QMessageBox.StandardButton.Yes)


def ask_to_save(parent: QWidget, doubt: str) -> bool:
    """Ask the user and return True if files may be saved despite a doubt."""
    text = f"{doubt}\n\nSave anyway?"
    buttons = QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No
    no = QMessageBox.StandardButton.No
    answer = QMessageBox.question(parent, "Slices not accepted", text, buttons, no)
    return bool(answer == QMessageBox.StandardButton.Yes)
