"""Questions before files are written, and files opened in other programs."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from qtpy.QtCore import QUrl
from qtpy.QtGui import QDesktopServices
from qtpy.QtWidgets import QFileDialog, QInputDialog, QMessageBox, QWidget

NOT_OPENED: Final = (
    "{path} could not be opened. Check that it still exists and that an application is associated "
    "with it."
)
OTHER_TAGS = "This may not be a short-axis cine, because {reason}."
Choose = Callable[[QWidget, str, str], str]
"""Function that asks for a folder or a file, starting in a folder, and returns "" for none."""


def open_path(path: Path) -> bool:
    """Open a page in the browser or a folder in the file manager. Return False on failure."""
    return bool(QDesktopServices.openUrl(QUrl.fromLocalFile(str(path))))


def ask_to_replace(parent: QWidget, names: Sequence[str]) -> bool:
    """Ask the user and return True if the files may be replaced."""
    text = "Replace these files?\n\n" + "\n".join(names)
    answer = QMessageBox.question(parent, "Replace files", text)
    return bool(answer == QMessageBox.StandardButton.Yes)


def ask_to_save(parent: QWidget, doubt: str) -> bool:
    """Ask the user and return True if files may be saved despite a doubt."""
    return _ask_despite(parent, "Slices not accepted", f"{doubt}\n\nSave anyway?")


def ask_to_segment(parent: QWidget, reason: str) -> bool:
    """Ask the user and return whether to segment an image that may not be a short-axis cine."""
    text = f"{OTHER_TAGS.format(reason=reason)}\n\nSegment anyway?"
    return _ask_despite(parent, "Not a short-axis cine", text)


def _ask_despite(parent: QWidget, title: str, text: str) -> bool:
    buttons = QMessageBox.StandardButton.Yes | QMessageBox.StandardButton.No
    # A quick Return must not answer with yes.
    no = QMessageBox.StandardButton.No
    answer = QMessageBox.question(parent, title, text, buttons, no)
    return bool(answer == QMessageBox.StandardButton.Yes)


def ask_name(parent: QWidget, question: str) -> str:
    """Ask for the name of a reader; return "" for none."""
    text, is_given = QInputDialog.getText(parent, "Reader", question)
    return text.strip() if is_given else ""


def choose_folder(parent: QWidget, title: str, start: str) -> str:
    """Ask for a folder."""
    return str(QFileDialog.getExistingDirectory(parent, title, start))


def choose_csv(parent: QWidget, title: str, start: str) -> str:
    """Ask for a CSV file."""
    return str(QFileDialog.getOpenFileName(parent, title, start, "CSV (*.csv)")[0])


def choose_image(parent: QWidget, title: str, start: str) -> str:
    """Ask for a NIfTI file."""
    return str(QFileDialog.getOpenFileName(parent, title, start, "NIfTI (*.nii *.nii.gz)")[0])
