"""By what the slices of a study are ordered, and which of them are."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QHBoxLayout, QVBoxLayout, QWidget

from ...core.heart.structures import structure_title
from ..common.dock import MessageLabel
from ..common.patient_pattern import labelled_row

ALL_STRUCTURES = "All"
SCORE_HELP = (
    "What the order of the slices goes by. None of the scores is a probability of error: they say "
    "where the models of the ensemble disagree or are unsure."
)
STRUCTURE_HELP = "Order the slices by the disagreement on one structure only."
PHASES_HELP = (
    "Also the slices between end-diastole (ED) and end-systole (ES). Volumes and ejection fraction "
    "need these two phases only."
)
BORDERS_HELP = (
    "Leave out a band one voxel wide along the contours: the border of a structure is always a "
    "little unsure, and that hides what is really wrong."
)


@dataclass(frozen=True)
class ScoreWords:
    """A score in words: its title, its unit ("" for none), and what it is."""

    title: str
    unit: str
    help: str


class QueueForm(QWidget):
    """``changed`` tells that the user has changed a choice; setters are silent.

    ``scores``: name → title, unit, help.
    """

    changed = Signal()

    def __init__(
        self, scores: Mapping[str, tuple[str, str, str]], parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._scores = {name: ScoreWords(*words) for name, words in scores.items()}
        self.scores = QComboBox()
        self.structures = QComboBox()
        self.phases_switch = QCheckBox("All phases")
        self.borders_switch = QCheckBox("Leave out borders")
        self.note = MessageLabel()
        for combo in (self.scores, self.structures):
            combo.setFocusPolicy(Qt.FocusPolicy.TabFocus)  # letters are the keys of the review
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
        """The unit of the chosen score, "" for none."""
        return self._scores[self.score].unit

    @property
    def structure(self) -> str | None:
        """The one structure that counts, None for all."""
        name = self.structures.currentData()
        return None if name is None else str(name)

    @property
    def takes_all_phases(self) -> bool:
        """Whether all phases are queued, not only ED and ES."""
        return bool(self.phases_switch.isChecked())

    @property
    def leaves_out_borders(self) -> bool:
        """Whether a band along the contours does not count."""
        return bool(self.borders_switch.isChecked())

    def set_score(self, name: str, note: str = "") -> None:
        """Choose the score ``name``, and say why in ``note``. KeyError for an unknown one."""
        self._scores[name]
        _choose(self.scores, name)
        self._show_help()
        self.note.say(note)

    def set_structures(self, names: Sequence[str]) -> None:
        """Offer these structures; the chosen one stays where it is among them."""
        chosen = self.structure
        before = self.structures.blockSignals(True)
        self.structures.clear()
        self.structures.addItem(ALL_STRUCTURES, None)
        for name in names:
            self.structures.addItem(name, name)
            place = self.structures.count() - 1
            self.structures.setItemData(place, structure_title(name), Qt.ItemDataRole.ToolTipRole)
        self.structures.blockSignals(before)
        _choose(self.structures, chosen if chosen in names else None)

    def set_structure(self, name: str | None) -> None:
        """Choose one structure, or None for all."""
        _choose(self.structures, name)

    def set_phases(self, count: int) -> None:
        """Say how many phases the study has: with one there is nothing to switch."""
        self.phases_switch.setVisible(count > 2)

    def set_switches(self, *, all_phases: bool, leave_out_borders: bool) -> None:
        """Set both switches."""
        for switch, on in (
            (self.phases_switch, all_phases),
            (self.borders_switch, leave_out_borders),
        ):
            before = switch.blockSignals(True)
            switch.setChecked(on)
            switch.blockSignals(before)

    def _fill(self) -> None:
        for name, words in self._scores.items():
            self.scores.addItem(words.title, name)
            place = self.scores.count() - 1
            self.scores.setItemData(place, _help(words), Qt.ItemDataRole.ToolTipRole)
        for combo in (self.scores, self.structures):
            combo.setSizeAdjustPolicy(
                QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
            )
        self.structures.addItem(ALL_STRUCTURES, None)
        self.structures.setToolTip(STRUCTURE_HELP)
        self.phases_switch.setToolTip(PHASES_HELP)
        self.borders_switch.setToolTip(BORDERS_HELP)

    def _lay_out(self) -> None:
        switches = QWidget()
        row = QHBoxLayout(switches)
        row.setContentsMargins(0, 0, 0, 0)
        row.addWidget(self.phases_switch)
        row.addWidget(self.borders_switch)
        row.addStretch(1)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(labelled_row("Order by", self.scores))
        column.addLayout(labelled_row("Structure", self.structures))
        column.addLayout(labelled_row("", switches))
        column.addWidget(self.note)

    def _show_help(self) -> None:
        words = self._scores.get(self.score)
        self.scores.setToolTip(f"{_help(words)}\n\n{SCORE_HELP}" if words else SCORE_HELP)

    def _on_score_changed(self) -> None:
        self._show_help()
        self.note.say("")
        self.changed.emit()


def _choose(combo: QComboBox, data: object) -> None:
    """Choose the entry of ``data`` without a signal."""
    before = combo.blockSignals(True)
    combo.setCurrentIndex(max(combo.findData(data), 0))
    combo.blockSignals(before)


def _help(words: ScoreWords) -> str:
    return f"{words.help} In {words.unit}." if words.unit else words.help
