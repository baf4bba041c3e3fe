"""Form for the order of the queue and the slices in it."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QCheckBox, QWidget
from superqt.utils import signals_blocked

from ...core.heart.structures import structure_title
from ...core.review.queue import REVIEW_SCORES, Score
from ..common.dock import column_layout, explained, row_layout
from ..common.form import NarrowComboBox
from ..common.patient_pattern import labelled_row

ALL_STRUCTURES = "All"
SCORE_HELP = (
    "Score that orders the slices. Scores show where the members disagree or are uncertain; none "
    "is a probability of error."
)
STRUCTURE_HELP = "Order the slices by a single structure."
PHASES_HELP = (
    "Include all phases, not only end-diastole (ED) and end-systole (ES). Volumes and ejection "
    "fraction need only ED and ES."
)
BORDERS_HELP = (
    "Ignore a band one voxel wide along the contours. Borders are always slightly uncertain and "
    "can hide real errors."
)


UNITS_EXPLAINED = {
    "mm²·bit": " (area times uncertainty; a voxel has 1 bit if two structures are equally probable)"
}
"""Meaning of units that are not used in a clinic."""


class QueueForm(QWidget):
    """Choices of score, structure and slices.

    ``changed`` is emitted when the user changes a choice, not by setters. ``noted`` carries the
    reason if the slices are ordered by another score than the chosen one, else "".
    """

    changed = Signal()
    noted = Signal(str)

    def __init__(self) -> None:
        super().__init__()
        self.scores = explained(NarrowComboBox(), SCORE_HELP)
        self.structures = explained(NarrowComboBox(), STRUCTURE_HELP)
        self.phases_switch = explained(QCheckBox("All phases"), PHASES_HELP)
        self.borders_switch = explained(QCheckBox("Ignore borders"), BORDERS_HELP)
        self._fill()
        self._lay_out()
        self._show_help()
        self.scores.currentIndexChanged.connect(self._on_score_changed)
        self.structures.currentIndexChanged.connect(self.changed)
        self.phases_switch.toggled.connect(self.changed)
        self.borders_switch.toggled.connect(self.changed)

    @property
    def score(self) -> str:
        """The name of the chosen score."""
        return str(self.scores.currentData())

    @property
    def unit(self) -> str:
        """The unit of the chosen score, "" if it has none."""
        return REVIEW_SCORES[self.score].unit

    @property
    def choices(self) -> dict[str, Any]:
        """The choices, by the names of the fields of `ReviewState`."""
        return {
            "score": self.score,
            "structure": self.structures.currentData(),
            "all_phases": self.phases_switch.isChecked(),
            "leave_out_border": self.borders_switch.isChecked(),
        }

    def set_score(self, name: str, note: str = "") -> None:
        """Choose the score ``name`` and emit the reason ``note``."""
        self.scores.choose(name)
        self._show_help()
        self.noted.emit(note)

    def set_structures(self, names: Sequence[str]) -> None:
        """Offer these structures, and keep the chosen structure if it is one of them."""
        texts: dict[str | None, str] = {None: ALL_STRUCTURES} | {name: name for name in names}
        self.structures.set_choices(texts, {name: structure_title(name) for name in names})

    def set_phases(self, count: int) -> None:
        """Set the number of phases; the switch is hidden unless there are more than two."""
        self.phases_switch.setVisible(count > 2)

    def set_switches(self, *, all_phases: bool, leave_out_borders: bool) -> None:
        """Set both switches."""
        for switch, on in (
            (self.phases_switch, all_phases),
            (self.borders_switch, leave_out_borders),
        ):
            with signals_blocked(switch):
                switch.setChecked(on)

    def _fill(self) -> None:
        titles = {name: score.title for name, score in REVIEW_SCORES.items()}
        helps = {name: _describe_score(score) for name, score in REVIEW_SCORES.items()}
        self.scores.set_choices(titles, helps)
        self.set_structures(())

    def _lay_out(self) -> None:
        switches = QWidget()
        row_layout(switches, self.phases_switch, self.borders_switch, None)
        choices = {"Order by": self.scores, "Structure": self.structures, "": switches}
        column_layout(self, *(labelled_row(title, part) for title, part in choices.items()))

    def _show_help(self) -> None:
        description = _describe_score(REVIEW_SCORES[self.score])
        self.scores.setToolTip(f"{description}\n\n{SCORE_HELP}")

    def _on_score_changed(self) -> None:
        self._show_help()
        self.noted.emit("")
        self.changed.emit()


def _describe_score(score: Score) -> str:
    if not score.unit:
        return score.help
    return f"{score.help} Unit: {score.unit}{UNITS_EXPLAINED.get(score.unit, '')}."
