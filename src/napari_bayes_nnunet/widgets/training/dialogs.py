"""Questions that the Train dock asks before it closes or kills a training."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from qtpy.QtWidgets import QMessageBox, QWidget

from ...app.training.progress import TrainingProgress

KEEP_TRAINING, STOP_TRAINING, STAY_OPEN = "continue", "stop", "stay"
"""Answers when the window closes."""


def ask_on_closing(parent: QWidget, running: Sequence[Path]) -> str:
    """Ask what happens to the trainings in these folders; return one of the three answers."""
    names = ", ".join(path.name for path in running)
    box = QMessageBox(parent)
    box.setWindowTitle("A training is running")
    box.setText(f"Continue the training of {names} after napari closes?")
    box.setInformativeText(
        "A training does not need the window. You can follow it again later from the list in the "
        "Train dock."
    )
    keep = box.addButton("Continue training", QMessageBox.ButtonRole.AcceptRole)
    stop = box.addButton("Stop after this epoch", QMessageBox.ButtonRole.DestructiveRole)
    stay = box.addButton("Do not close", QMessageBox.ButtonRole.RejectRole)
    box.setDefaultButton(keep)
    box.setEscapeButton(stay)
    box.exec()
    answers = {keep: KEEP_TRAINING, stop: STOP_TRAINING}
    return answers.get(box.clickedButton(), STAY_OPEN)


def ask_to_kill(parent: QWidget, progress: TrainingProgress) -> bool:
    """Ask whether the training may be ended in the middle of an epoch."""
    text = (
        "End the training now?\n\nThe members so far are kept. Resume repeats the epochs since the "
        "last saved state. “Stop after this epoch” loses nothing."
    )
    answer = QMessageBox.question(parent, "Kill the training", text)
    return bool(answer == QMessageBox.StandardButton.Yes)
