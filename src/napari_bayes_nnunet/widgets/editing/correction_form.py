"""Form of the corrections in the *Review* dock."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Mapping
from dataclasses import dataclass
from typing import Final

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QGridLayout,
    QHBoxLayout,
    QLabel,
    QMenu,
    QSizePolicy,
    QVBoxLayout,
    QWidget,
)
from superqt import QElidingLabel

from ...core.counts import format_count
from ...core.fields import setting
from ..common.dock import form_layout, row_label
from ..common.form import DataForm
from .contour_handles import CONTOUR_HELP
from .ends_form import EndsForm, SlicePresence
from .level_slider import ANSWER_SHOWN, LevelSlider
from .scribble_tool import SCRIBBLE_BUTTONS
from .slice_buttons import key_button
from .structure_chips import LockBoxes, StructureChips

NOTHING_TO_CORRECT: Final = "Segment an image or open a study first."
EVERY_STRUCTURE: Final = "all"
NO_ALTERNATIVES: Final = "No answers in this slice"
ALL_AGREE: Final = "All {models} nearly agree in this slice"
PREVIOUS_ANSWER, NEXT_ANSWER = "‹ Previous answer", "Next answer ›"
COPIES: Final = ("slice above", "slice below", "previous phase", "next phase")

CORRECTION_HELP: Final[Mapping[str, str]] = {
    "level": "Grow or shrink the structure in this slice along the posterior. Double-click to "
    "return to the prediction.",
    "alternatives": "Step through the answers of the models: their distinct segmentations of "
    "this slice, the most common first. Ctrl+Z discards the one on screen.",
    "base or apex": "Move the base or the apex of the structure by one slice. In a new slice it "
    "appears as predicted, or as most models draw it.",
    "scribble": "Draw a stroke: the structure takes the level or the answer that agrees with "
    "it and changes least. Ctrl with the left button draws outside. J or Escape ends.",
    "contour": CONTOUR_HELP,
    "uncertain brush": "Limit brush, eraser, fill and polygon to voxels above this entropy (0 bit: "
    "the models are certain). They are hatched while such a tool is chosen.",
    "interpolate": "Interpolate the structure between the nearest corrected or accepted slices.",
    "revert": "Return this slice to the prediction. Ctrl+Z undoes this.",
    "bring back": "Draw in all slices of this phase what was removed because it lies apart from "
    "the heart.",
    "absent": "Remove the structure from this slice, for example beyond the base or the apex. At "
    "the base the myocardium is removed with the LV.",
    "carry": "Carry the correction of this slice to the same slice of the other phases, along the "
    "motion of the heart, where at least one model agrees. You see pictures before you keep it. "
    "Accepted slices stay.",
    "copy": "Copy the structure from an adjacent slice or phase.",
    "most uncertain": "Centre on the voxel of this slice on which the models disagree most.",
    "ED or ES": "Switch between ED and ES in the same slice.",
    "play": "Play the cine with the contours. Stop returns to the phase at which it began; , and . "
    "stop at the phase on screen.",
}
"""Part of the form → its tooltip."""


@dataclass(frozen=True, kw_only=True)
class Brush:
    """Limit of the brush: voxels ``above`` an entropy in bit, or all voxels (None)."""

    above: float | None = setting(
        None,
        CORRECTION_HELP["uncertain brush"],
        label="Brush",
        condition="Entropy above",
        example=0.2,
        unit="bit",
        limits=(0.0, 2.0),
        step=0.05,
    )


class CorrectionForm(QWidget):
    """Form whose signals carry the reader's requests; setters emit none. Disabled at first."""

    structure_chosen = Signal(str)
    protection_toggled = Signal(str, bool)
    level_moved = Signal(float)
    level_released = Signal()
    alternative_requested = Signal(int)  # +1 for the next, -1 for the previous one
    alternative_taken = Signal()
    end_moved = Signal(object, bool)  # an End, and whether it moves outwards
    slice_chosen = Signal(int)  # from 0
    scribble_requested = Signal()  # on or off
    contour_requested = Signal()
    contour_applied = Signal()
    contour_cancelled = Signal()
    brush_limited = Signal(object)  # entropy in bit, None for no limit
    interpolate_requested = Signal()
    revert_requested = Signal()
    bring_back_requested = Signal()
    absent_requested = Signal()
    carry_requested = Signal()
    copy_requested = Signal(str)  # one of COPIES
    most_uncertain_requested = Signal()
    landmark_requested = Signal()
    play_requested = Signal()

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.structures = StructureChips()
        self.locks = LockBoxes()
        self.level = LevelSlider()
        self.ends = EndsForm()
        self.alternative = QElidingLabel()
        # Or a longer text would widen the dock beyond its window.
        self.alternative.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.previous_button = key_button(PREVIOUS_ANSWER, "previous alternative")
        self.next_button = key_button(NEXT_ANSWER, "next alternative")
        self.take_button = key_button("Use this", "accept")
        self.scribble_button = key_button("Draw", "scribble")
        self.scribble_button.setCheckable(True)
        self.scribble_buttons = QLabel(SCRIBBLE_BUTTONS)
        self.edit_button = key_button("Edit")
        self.apply_button = key_button("Apply")
        self.cancel_button = key_button("Cancel")
        self.brush = DataForm(Brush)
        self.interpolate_button = key_button("Interpolate", "interpolate")
        self.revert_button = key_button("Revert slice", "revert")
        self.bring_back_button = key_button("Bring back", "bring back")
        self.absent_button = key_button("Mark absent", "absent")
        self.carry_button = key_button("Carry to phases", "carry")
        self.copy_button = key_button("Copy from…")
        self.uncertain_button = key_button("Most uncertain", "most uncertain")
        self.landmark_button = key_button("ED ↔ ES", "ED or ES")
        self.play_button = key_button("Play")
        self._copies = self._copy_menu()
        self._reasons: dict[str, str] = {EVERY_STRUCTURE: NOTHING_TO_CORRECT}
        self._is_contour_active = False
        self._number = 0
        self._rate = ""
        self._lay_out()
        self._connect()
        self.set_alternative(0, 0, 0)
        self._enable()

    @property
    def structure(self) -> str:
        """Name of the structure to correct."""
        return self.structures.structure

    @property
    def brush_limit(self) -> float | None:
        """Entropy above which the brush paints, bit; None for no limit."""
        return self.brush.make(Brush).above

    def set_structures(self, structures: Mapping[str, int]) -> None:
        """Set the structures, name → label without background."""
        self.structures.set_structures(structures)
        self.locks.set_structures(structures)
        self._enable()

    def set_structure(self, name: str) -> None:
        """Choose a structure."""
        self.structures.set_structure(name)

    def set_protected(self, names: Collection[str]) -> None:
        """Lock these structures, and no others."""
        self.locks.set_protected(names)

    def set_level(self, margin: float | None) -> None:
        """Move the slider; 0 is the prediction, None a structure that another tool changed."""
        if self._number:
            self.level.set_level(None, ANSWER_SHOWN.format(number=self._number))
        else:
            self.level.set_level(margin)

    def set_volume(self, volume: float | None) -> None:
        """Show the volume of the structure in this slice, mL."""
        self.level.set_volume(volume)

    def set_alternative(self, number: int, count: int, total: int) -> None:
        """Show that ``total`` members have ``count`` alternatives, of which ``number`` is shown.

        The number 0 stands for the current labels; the canvas names the one on screen.
        """
        models = format_count(total, "model")
        text = f"{format_count(count, 'answer')} from {models}"
        if count == 1 and total > 1:
            text = ALL_AGREE.format(models=models)
        self.alternative.setText(text if count else NO_ALTERNATIVES)
        self._number = number
        self._enable()

    def set_presence(self, presence: SlicePresence) -> None:
        """Show in which slices the structure is seen and drawn."""
        self.ends.strip.set_presence(presence)

    def set_scribble_active(self, active: bool) -> None:
        """Show whether the mouse draws strokes."""
        self.scribble_button.setChecked(active)

    def set_contour_active(self, active: bool) -> None:
        """Set whether a contour is being edited."""
        self._is_contour_active = active
        self._enable()

    def set_largest_entropy(self, bits: float) -> None:
        """Set the upper end of the entropy scale, bit."""
        with self.brush.changed.blocked():
            self.brush.above.editor.box.max = bits

    def set_playing(self, playing: bool, rate: str = "") -> None:
        """Show whether the cine plays, and its ``rate`` in words."""
        self.play_button.setText("Stop" if playing else "Play")
        self._rate = f" {rate}." if rate else ""
        self._enable()

    def set_unusable(self, reasons: Mapping[str, str]) -> None:
        """Disable parts of the form, each with its reason, and enable all others.

        Keys are those of ``CORRECTION_HELP`` and ``COPIES``, or "all". Raises ValueError for
        any other key.
        """
        unknown = set(reasons) - {EVERY_STRUCTURE, *CORRECTION_HELP, *COPIES}
        if unknown:
            raise ValueError(f"Unknown corrections: {', '.join(sorted(unknown))}.")
        self._reasons = dict(reasons)
        self._enable()

    def _enable(self) -> None:
        """Enable the usable parts and give the reasons in the tooltips of the others."""
        for part, widgets in self._parts().items():
            reason = self._reasons.get(EVERY_STRUCTURE) or self._reasons.get(part, "")
            for widget in widgets:
                widget.setEnabled(not reason)
                widget.setToolTip(reason or self._help(part))
        for name, action in self._copies.items():
            action.setEnabled(name not in self._reasons)
            action.setToolTip(self._reasons.get(name, ""))
        for choice in (self.structures, self.locks):
            choice.setEnabled(EVERY_STRUCTURE not in self._reasons)
        self.take_button.setEnabled(self.take_button.isEnabled() and self._number > 0)
        active, usable = self._is_contour_active, self.edit_button.isEnabled()
        self.edit_button.setEnabled(usable and not active)
        for button in (self.apply_button, self.cancel_button):
            button.setEnabled(usable and active)

    def _help(self, part: str) -> str:
        return CORRECTION_HELP[part] + (self._rate if part == "play" else "")

    def _parts(self) -> dict[str, Iterable[QWidget]]:
        brush = self.brush.above.editor
        answers = self.previous_button, self.next_button, self.take_button
        return {
            "level": (self.level,),
            "alternatives": (self.alternative, *answers),
            "base or apex": self.ends.buttons.values(),
            "scribble": (self.scribble_button, self.scribble_buttons),
            "contour": (self.edit_button, self.apply_button, self.cancel_button),
            "uncertain brush": (brush.check.native, brush.box.native),
            "interpolate": (self.interpolate_button,),
            "revert": (self.revert_button,),
            "bring back": (self.bring_back_button,),
            "absent": (self.absent_button,),
            "carry": (self.carry_button,),
            "copy": (self.copy_button,),
            "most uncertain": (self.uncertain_button,),
            "ED or ES": (self.landmark_button,),
            "play": (self.play_button,),
        }

    def _connect(self) -> None:
        self.structures.structure_chosen.connect(self.structure_chosen)
        self.locks.protection_toggled.connect(self.protection_toggled)
        self.level.level_moved.connect(self.level_moved)
        self.level.level_released.connect(self.level_released)
        self.previous_button.clicked.connect(lambda: self.alternative_requested.emit(-1))
        self.next_button.clicked.connect(lambda: self.alternative_requested.emit(1))
        self.ends.end_moved.connect(self.end_moved)
        self.ends.slice_chosen.connect(self.slice_chosen)
        self.brush.changed.connect(self._on_brush)
        for button, signal in (
            (self.take_button, self.alternative_taken),
            (self.scribble_button, self.scribble_requested),
            (self.edit_button, self.contour_requested),
            (self.apply_button, self.contour_applied),
            (self.cancel_button, self.contour_cancelled),
            (self.interpolate_button, self.interpolate_requested),
            (self.revert_button, self.revert_requested),
            (self.bring_back_button, self.bring_back_requested),
            (self.absent_button, self.absent_requested),
            (self.carry_button, self.carry_requested),
            (self.uncertain_button, self.most_uncertain_requested),
            (self.landmark_button, self.landmark_requested),
            (self.play_button, self.play_requested),
        ):
            button.clicked.connect(signal)

    def _on_brush(self) -> None:
        self.brush_limited.emit(self.brush_limit)

    def _copy_menu(self) -> dict[str, QAction]:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.copy_button.setMenu(menu)
        return {name: self._copy_action(menu, name) for name in COPIES}

    def _copy_action(self, menu: QMenu, name: str) -> QAction:
        action = menu.addAction(name[0].upper() + name[1:])
        action.triggered.connect(lambda: self.copy_requested.emit(name))
        return action

    def _lay_out(self) -> None:
        rows = form_layout()
        rows.addRow(row_label("Structure"), self.structures)
        rows.addRow(row_label("Lock"), self.locks)
        rows.addRow(row_label("Level"), self.level)
        rows.addRow(row_label("Answers"), self.alternative)
        rows.addRow(_side_by_side(self.previous_button, self.next_button))
        rows.addRow(row_label(""), self.take_button)
        rows.addRow(row_label("Base, apex"), self.ends)
        rows.addRow(
            row_label("Scribble"), _side_by_side(self.scribble_button, self.scribble_buttons)
        )
        rows.addRow(
            row_label("Contour"),
            _side_by_side(self.edit_button, self.apply_button, self.cancel_button),
        )
        rows.addRow(self.brush.native)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(rows)
        column.addLayout(
            _in_two_columns(
                self.interpolate_button, self.revert_button, self.absent_button,
                self.copy_button, self.carry_button, self.uncertain_button, self.landmark_button,
                self.play_button, self.bring_back_button,
            )
        )  # fmt: skip


def _side_by_side(*widgets: QWidget) -> QHBoxLayout:
    row = QHBoxLayout()
    row.setContentsMargins(0, 0, 0, 0)
    row.setSpacing(4)
    for widget in widgets:
        row.addWidget(widget)
    return row


def _in_two_columns(*widgets: QWidget) -> QGridLayout:
    grid = QGridLayout()
    grid.setContentsMargins(0, 0, 0, 0)
    for number, widget in enumerate(widgets):
        grid.addWidget(widget, *divmod(number, 2))
    for column in (0, 1):
        grid.setColumnStretch(column, 1)
    return grid
