"""Form of the corrections in the *Review* dock."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from qtpy.QtCore import Signal
from qtpy.QtGui import QAction
from qtpy.QtWidgets import (
    QGridLayout,
    QMenu,
    QPushButton,
    QSizePolicy,
    QWidget,
)
from superqt import QElidingLabel

from ...app.review.ends import End
from ...core.counts import format_count
from ...core.fields import setting
from ..common.dock import column_layout, form_layout, row_label, row_layout
from ..common.form import DataForm
from ..layers.keys import KEYS
from .contour_handles import CONTOUR_HELP
from .drawing_tools import PUSH_HELP
from .level_slider import ANSWER_SHOWN, LevelSlider
from .presence_strip import PresenceStrip
from .slice_buttons import add_key, key_button
from .structure_chips import LockBoxes, StructureChips
from .tool_strip import PAIRS, TOOLS, ToolStrip, pair_text

NOTHING_TO_CORRECT: Final = "Segment an image or open a study first."
EVERY_STRUCTURE: Final = "all"
NO_ALTERNATIVES: Final = "No answers"
COPIES: Final = ("slice above", "slice below", "previous phase", "next phase")

CORRECTION_HELP: Final[Mapping[str, str]] = {
    "level": "Grow or shrink the structure in this slice along the posterior. Double-click the "
    "slider to return to the prediction.",
    "alternatives": "Step through the answers of the members: their distinct segmentations of "
    "this slice, the most common first. Ctrl+Z discards the one on screen.",
    "base or apex": "Move the base or the apex of the structure by one slice. In a new slice it "
    "appears as predicted, or as most members draw it.",
    "scribble": "Draw a stroke: the structure takes the level or the answer that agrees with "
    "it and changes least. Ctrl with the left button draws outside. J or Escape ends.",
    "push": f"{PUSH_HELP} O or Escape ends.",
    "contour": CONTOUR_HELP,
    "move": "Drags move the image, the wheel shows other slices. Ends every other tool.",
    "brush": "Paint the structure with napari's brush, or erase it. Z ends both.",
    "uncertain brush": "Limit brush, eraser, fill and polygon to voxels above this entropy (0 bit: "
    "the members are certain). They are hatched while such a tool is chosen.",
    "interpolate": "Interpolate the structure between the nearest corrected or accepted slices.",
    "revert": "Return this slice to the prediction. Ctrl+Z undoes this.",
    "bring back": "Draw in all slices of this phase what was removed because it lies apart from "
    "the heart.",
    "absent": "Remove the structure from this slice, for example beyond the base or the apex. At "
    "the base the myocardium is removed with the LV.",
    "valve plane": "Remove the LV with its myocardium, and the RV, from the slices of this phase "
    "of which more than half lies beyond the valve plane.",
    "carry": "Carry the correction of this slice to the same slice of the other phases, along the "
    "motion of the heart, where at least one member agrees. You see pictures before you keep it. "
    "Accepted slices stay.",
    "copy": "Copy the structure from an adjacent slice or phase.",
    "most uncertain": "Centre on the voxel of this slice on which the members disagree most.",
    "ED or ES": "Switch between ED and ES in the same slice.",
    "play": "Play the cine with the contours. Stop returns to the phase at which it began; , and . "
    "stop at the phase on screen.",
}
"""Part of the form → its tooltip."""
END_BUTTONS: Final[Mapping[str, tuple[str, End, bool]]] = {
    "base outwards": ("‹", End.BASE, True),
    "base inwards": ("›", End.BASE, False),
    "apex inwards": ("‹", End.APEX, False),
    "apex outwards": ("›", End.APEX, True),
}
"""Action → text of its button, the end it moves, and whether it moves outwards."""
BUTTONS: Final[Mapping[str, tuple[str, str]]] = {
    "move": ("Move", "move"),
    "scribble": ("Scribble", "scribble"),
    "push": ("Push", "push"),
    "contour": ("Handles", "contour"),
    "apply contour": ("✓", "contour"),
    "cancel contour": ("✕", "contour"),
    "brush": ("Brush", "brush"),
    "eraser": ("Eraser", "brush"),
    "shrink": ("−", "level"),
    "grow": ("+", "level"),
    "previous alternative": ("‹", "alternatives"),
    "next alternative": ("›", "alternatives"),
    **{action: (text, "base or apex") for action, (text, _, _) in END_BUTTONS.items()},
    "use answer": ("Use", "alternatives"),
    "absent": ("Absent", "absent"),
    "interpolate": ("Interpolate", "interpolate"),
    "copy": ("Copy from", "copy"),
    "revert": ("Revert", "revert"),
    "carry": ("Carry", "carry"),
    "bring back": ("Bring back", "bring back"),
    "valve plane": ("Valve plane", "valve plane"),
    "ED or ES": ("ED ↔ ES", "ED or ES"),
    "most uncertain": ("Most uncertain", "most uncertain"),
    "play": ("Play", "play"),
}
"""Action → text of its button, in the order of the form, and part of the form it belongs to."""
IN_COLUMNS: Final = "absent", "interpolate", "copy", "carry", "bring back", "valve plane"
"""Buttons of `more`, in columns."""
LOOKS: Final = ("ED or ES", "most uncertain", "play")
"""Buttons that correct nothing."""
BUTTON_COLUMNS: Final = 3


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
    """Form whose signals carry the reader's requests; setters emit none. Disabled at first.

    ``requested`` carries the action of a button, as in `ReviewController.act`. ``structures``,
    ``locks``, ``level`` and ``strip`` have signals of their own.
    """

    requested = Signal(str)
    brush_limited = Signal(object)  # entropy in bit, None for no limit
    copy_requested = Signal(str)  # one of COPIES

    def __init__(self) -> None:
        super().__init__()
        self.structures = StructureChips()
        self.locks = LockBoxes()
        self.level = LevelSlider()
        self.strip = PresenceStrip()
        self.alternative = QElidingLabel()
        # Or a longer text would widen the dock beyond its window.
        self.alternative.setSizePolicy(QSizePolicy.Policy.Ignored, QSizePolicy.Policy.Preferred)
        self.buttons = {action: self._make_button(action) for action in BUTTONS}
        self.tools = ToolStrip(self.structures, self.buttons)
        """Structures and tools, which are placed beside the canvas."""
        self.limits = QWidget()
        """Locks and the limit of the brush, which are placed elsewhere, as are the other two."""
        self.looks = QWidget()
        self.more = QWidget()
        self.brush = DataForm(Brush)
        self._copies = self._copy_menu()
        self._reasons: dict[str, str] = {EVERY_STRUCTURE: NOTHING_TO_CORRECT}
        self._tool = "move"
        self._number = 0
        self._rate = ""
        self._lay_out()
        self.brush.changed.connect(self._on_brush)
        self.set_alternative(0, 0)

    def _make_button(self, action: str) -> QPushButton:
        text, _ = BUTTONS[action]
        is_in_pair = any(action in pair for pair in PAIRS.values())
        button = key_button(text, action if action in KEYS and not is_in_pair else "")
        if is_in_pair:
            button.setText(pair_text(text, action))
        if action != "copy":  # which has a menu
            button.clicked.connect(lambda: self.requested.emit(action))
        return button

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

    def set_level(self, margin: float | None) -> None:
        """Move the slider; 0 is the prediction, None a structure that another tool changed."""
        if self._number:
            self.level.set_level(None, ANSWER_SHOWN.format(number=self._number))
        else:
            self.level.set_level(margin)

    def set_alternative(self, number: int, count: int) -> None:
        """Show that the members have ``count`` alternatives, of which ``number`` is shown.

        The number 0 stands for the current labels; the canvas names the one on screen.
        """
        self.alternative.setText(format_count(count, "answer") if count else NO_ALTERNATIVES)
        self._number = number
        self._enable()

    def set_tool(self, tool: str) -> None:
        """Show what the mouse does: one of `TOOLS`, "" for a tool of napari that has no button."""
        self._tool = tool
        for name in TOOLS:
            self.buttons[name].setChecked(name == tool)
        self._enable()

    def set_largest_entropy(self, bits: float) -> None:
        """Set the upper end of the entropy scale, bit."""
        with self.brush.changed.blocked():
            self.brush.above.editor.box.max = bits

    def set_playing(self, playing: bool, rate: str = "") -> None:
        """Show whether the cine plays, and its ``rate`` in words."""
        self.buttons["play"].setText(add_key("Stop" if playing else "Play", "play"))
        self._rate = f" {rate}." if rate else ""
        self._enable()

    def set_unusable(self, reasons: Mapping[str, str]) -> None:
        """Disable parts and buttons of the form, each with its reason, and enable all others.

        Keys are those of ``CORRECTION_HELP``, ``BUTTONS`` and ``COPIES``, or "all".
        """
        self._reasons = dict(reasons)
        self._enable()

    def _enable(self) -> None:
        """Enable the usable parts and give the reasons in the tooltips of the others."""
        every = self._reasons.get(EVERY_STRUCTURE, "")
        for widget, part, action in self._parts():
            reason = every or self._reasons.get(part) or self._reasons.get(action, "")
            widget.setEnabled(not reason)
            rate = self._rate if part == "play" else ""
            widget.setToolTip(reason or CORRECTION_HELP[part] + rate)
        for name, action in self._copies.items():
            action.setEnabled(name not in self._reasons)
            action.setToolTip(self._reasons.get(name, ""))
        for choice in (self.structures, self.locks):
            choice.setEnabled(not every)
        is_usable = {
            "use answer": self._number > 0,
            "apply contour": self._tool == "contour",
            "cancel contour": self._tool == "contour",
        }
        for name, usable in is_usable.items():
            self.buttons[name].setEnabled(self.buttons[name].isEnabled() and usable)
            # Use keeps its room, so that nothing moves; the other two share a row with their tool.
            self.buttons[name].setVisible(usable or name == "use answer")
        handles, _ = BUTTONS["contour"]  # without its key there is room for the other two
        has_room = self._tool != "contour"
        self.buttons["contour"].setText(add_key(handles, "contour") if has_room else handles)

    def _parts(self) -> Iterator[tuple[QWidget, str, str]]:
        """Yield each widget with its part of the form, and the action of a button."""
        yield self.level, "level", ""
        yield self.alternative, "alternatives", ""
        brush = self.brush.above.editor
        for widget in (brush.check.native, brush.box.native):
            yield widget, "uncertain brush", ""
        for action, button in self.buttons.items():
            yield button, BUTTONS[action][1], action

    def _on_brush(self) -> None:
        self.brush_limited.emit(self.brush_limit)

    def _copy_menu(self) -> dict[str, QAction]:
        menu = QMenu(self)
        menu.setToolTipsVisible(True)
        self.buttons["copy"].setMenu(menu)
        return {name: self._copy_action(menu, name) for name in COPIES}

    def _copy_action(self, menu: QMenu, name: str) -> QAction:
        action = menu.addAction(name[0].upper() + name[1:])
        action.triggered.connect(lambda: self.copy_requested.emit(name))
        return action

    def _lay_out(self) -> None:
        buttons = self.buttons
        buttons["use answer"].setSizePolicy(QSizePolicy.Policy.Maximum, QSizePolicy.Policy.Fixed)
        answers = row_layout(None, self.alternative, buttons["use answer"], wide=self.alternative)
        answers.setSpacing(4)
        columns = QGridLayout(self.more)
        columns.setContentsMargins(0, 0, 0, 0)
        columns.setSpacing(4)
        for number, action in enumerate(IN_COLUMNS):
            columns.addWidget(buttons[action], *divmod(number, BUTTON_COLUMNS))
            columns.setColumnStretch(number % BUTTON_COLUMNS, 1)
        column_layout(self, self.level, answers, self.strip).setSpacing(4)
        rows = form_layout()
        rows.addRow(row_label("Lock"), self.locks)
        rows.addRow(self.brush.native)
        column_layout(self.limits, rows)
        row_layout(self.looks, *(buttons[action] for action in LOOKS)).setSpacing(4)
