"""What the dock Train asks before it does what cannot be taken back."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import QMessageBox, QWidget

from ...app.training.progress import TrainingProgress

GO_ON, STOP, STAY = "go on", "stop", "stay"


def ask_on_closing(parent: QWidget, running: Sequence[Path]) -> str:
    """Whether the trainings in these folders go on when napari is closed: one of the three."""
    names = ", ".join(path.name for path in running)
    box = QMessageBox(parent)
    box.setWindowTitle("A training is running")
    box.setText(f"Shall the training of {names} go on when napari is closed?")
    box.setInformativeText(
        "It does not need the window. When napari is started again, it is in the list of the dock "
        "Train and can be followed further."
    )
    go_on = box.addButton("Go on training", QMessageBox.ButtonRole.AcceptRole)
    stop = box.addButton("Stop after this epoch", QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton("Do not close", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(go_on)
    box.setEscapeButton(stay)
    box.exec()
    answers = {go_on: GO_ON, stop: STOP}
    return answers.get(box.clickedButton(), STAY)


def may_kill(parent: QWidget, progress: TrainingProgress) -> bool:
    """Whether the training may be ended in the middle of an epoch."""
    text = (
        "End the training at once?\n\nThe members so far stay usable, and Resume repeats the "
        "epochs since the last saved state. “Stop after this epoch” loses nothing."
    )
    answer = QMessageBox.question(parent, "Kill the training", text)
    return bool(answer == QMessageBox.StandardButton.Yes)
