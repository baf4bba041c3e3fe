"""The numbers of a schedule: what each is called and means, and what is wrong with it."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields
from typing import Any

from qtpy.QtCore import QEvent, QObject, Signal
from qtpy.QtWidgets import QCheckBox, QComboBox, QLineEdit, QSpinBox, QVBoxLayout, QWidget

from ...app.training.request import PresetValues
from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ..common.dock import MessageLabel
from ..common.rows_table import LEVEL_COLORS

FieldValues = dict[str, Any]
"""Name of a field of RestartSchedule, MemberSelection or PresetValues → its value."""

PROBLEM_COLOR = LEVEL_COLORS["blocking"]
_LARGEST = 20_000
WHOLE = ("cycles", "epochs", "per_cycle", "step", "batch_size", "iterations_per_epoch")
DECAYS = {"T": "Whole training (T)", "Tc": "One cycle (Tc)"}


@dataclass(frozen=True)
class Field:
    """One number: its short title, what it does in plain words, what stands around it."""

    name: str
    title: str
    help: str
    prefix: str = ""
    suffix: str = ""


SCHEDULE_FIELDS = (
    Field(
        "cycles",
        "Cycles",
        "How often the learning rate starts again. Each cycle finds another solution and gives "
        "members of its own: M in the paper.",
    ),
    Field(
        "epochs",
        "Epochs",
        "Length of the whole training, all cycles together: T in Eq. 4. It must be divisible by "
        "the number of cycles.",
    ),
    Field(
        "per_cycle",
        "Members",
        "How many sets of weights are kept of each cycle, the latest ones. Fewer are kept where "
        "the part of the cycle with constant rate is too short.",
        suffix=" a cycle",
        prefix="up to ",
    ),
    Field(
        "step",
        "Step",
        "Epochs from one member to the next, counted back from the end of the cycle: 2 keeps "
        "every second epoch.",
        suffix=" epoch(s)",
    ),
    Field(
        "batch_size",
        "Batch size",
        "Images looked at together in one iteration. A smaller number needs less memory of the "
        "device.",
    ),
    Field(
        "iterations_per_epoch",
        "Iterations",
        "Steps of the training in one epoch, each with one batch. The training takes "
        "proportionally longer.",
        suffix=" an epoch",
    ),
)
MORE_FIELDS = (
    Field(
        "gamma",
        "Plateau γ",
        "Fraction of a cycle, 0 to 1, after which the learning rate stays constant: γ in Eq. 4. "
        "Members come from this last part.",
    ),
    Field(
        "initial_lr",
        "Rate α₀",
        "Learning rate from which every cycle decays: α0 in Eq. 4.",
    ),
    Field(
        "restart_lr",
        "Restart αᵣ",
        "High learning rate of the first epoch of a cycle, which leaves the solution of the cycle "
        "before: αr in Eq. 4.",
    ),
    Field(
        "exponent",
        "Decay ε",
        "How steeply the learning rate decays; 0 keeps it constant: the exponent ε in Eq. 4.",
    ),
    Field(
        "decay_over",
        "Runs over",
        "What the decay is measured by, the denominator in Eq. 4: the whole training T, as printed "
        "in the paper, or one cycle Tc, which ends with a smaller rate.",
    ),
    Field(
        "restart_first_cycle",
        "Start",
        "Whether the first cycle begins with the restart rate too, as printed in Eq. 4, or gently, "
        "which is safer with untrained weights.",
        suffix="Begins with the restart rate",
    ),
)
TITLES = {field.name: field.title for field in (*SCHEDULE_FIELDS, *MORE_FIELDS)}


def numbers_of(values: PresetValues) -> FieldValues:
    """All numbers of a preset."""
    return {
        **asdict(values.schedule),
        **asdict(values.selection),
        "batch_size": values.batch_size,
        "iterations_per_epoch": values.iterations_per_epoch,
    }


def schedule_of(numbers: Mapping[str, Any]) -> RestartSchedule:
    """The schedule in ``numbers``. Raises ValueError where Eq. 4 is not defined."""
    return RestartSchedule(**{f.name: numbers[f.name] for f in fields(RestartSchedule)})


def selection_of(numbers: Mapping[str, Any]) -> MemberSelection:
    """The selection in ``numbers``. Raises ValueError for numbers below 1."""
    return MemberSelection(**{f.name: numbers[f.name] for f in fields(MemberSelection)})


def find_problems(numbers: Mapping[str, Any]) -> dict[str, str]:
    """Field → what is wrong with it, for every field that is; texts stand for no number."""
    found = {
        name: f"A number such as {example} was expected, not “{numbers[name]}”."
        for name, example in (
            ("gamma", 0.8), ("initial_lr", 0.01), ("restart_lr", 0.1), ("exponent", 0.9)
        )
        if isinstance(numbers[name], str)
    }  # fmt: skip
    for name in ("gamma", "initial_lr", "restart_lr", "exponent"):
        if name not in found:
            _try(RestartSchedule, {name: numbers[name]}, name, found)
    lengths = {name: numbers[name] for name in ("epochs", "cycles")}
    _try(RestartSchedule, lengths, "epochs" if numbers["cycles"] >= 1 else "cycles", found)
    for name, other in (("per_cycle", "step"), ("step", "per_cycle")):
        if numbers[name] < 1:
            _try(MemberSelection, {name: numbers[name], other: numbers[other]}, name, found)
    for name in ("batch_size", "iterations_per_epoch"):
        if numbers[name] < 1:
            found[name] = f"{TITLES[name]} must be at least 1, not {numbers[name]}."
    return {name: found[name] for name in TITLES if name in found}


def _try(kind: type, values: Mapping[str, Any], name: str, found: dict[str, str]) -> None:
    try:
        kind(**values)
    except ValueError as error:
        found[name] = str(error)


class NumberField(QWidget):
    """The editor of one number and, under it, what is wrong with the number.

    Whatever is typed is taken; nothing is corrected behind the user's back.
    """

    changed = Signal()

    def __init__(self, field: Field, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self.editor = _editor(field)
        self.editor.setToolTip(field.help)
        self.editor.installEventFilter(WheelGuard(self.editor))
        self.problem = MessageLabel(color=PROBLEM_COLOR)
        self.note = MessageLabel(color=LEVEL_COLORS["warning"])
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.setSpacing(0)
        column.addWidget(self.editor)
        column.addWidget(self.problem)
        column.addWidget(self.note)
        _edited(self.editor).connect(self._on_edited)

    def value(self) -> Any:
        """A number, a choice, or, where no number was typed, the text."""
        editor = self.editor
        if isinstance(editor, QSpinBox):
            return editor.value()
        if isinstance(editor, QCheckBox):
            return editor.isChecked()
        if isinstance(editor, QComboBox):
            return editor.currentData()
        return number_in(editor.text())

    def set_value(self, value: Any) -> None:
        """Show ``value``."""
        editor = self.editor
        if isinstance(editor, QSpinBox):
            editor.setValue(value)
        elif isinstance(editor, QCheckBox):
            editor.setChecked(value)
        elif isinstance(editor, QComboBox):
            editor.setCurrentIndex(editor.findData(value))
        else:
            editor.setText(str(value))

    def set_problem(self, text: str) -> None:
        """Say under the editor what is wrong; "" for nothing."""
        if text == self.problem.text():
            return
        kind = type(self.editor).__name__
        border = f"{kind} {{ border: 1px solid {PROBLEM_COLOR}; }}" if text else ""
        self.editor.setStyleSheet(border)
        self.problem.say(text)

    def _on_edited(self) -> None:
        self.changed.emit()


class WheelGuard(QObject):
    """Keeps the wheel from changing what it only rolls over on the way down the dock."""

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Leave the wheel to the scroll area."""
        if event.type() == QEvent.Type.Wheel:
            event.ignore()
            return True
        return False


def number_in(text: str) -> float | str:
    """The number that was typed, with point or comma; the text where it is none."""
    try:
        return float(text.strip().replace(",", "."))
    except ValueError:
        return text.strip()


def _editor(field: Field) -> QSpinBox | QCheckBox | QComboBox | QLineEdit:
    if field.name in WHOLE:
        box = QSpinBox()
        box.setRange(0, _LARGEST)
        box.setPrefix(field.prefix)
        box.setSuffix(field.suffix)
        return box
    if field.name == "restart_first_cycle":
        return QCheckBox(field.suffix)
    if field.name == "decay_over":
        combo = QComboBox()
        for name, title in DECAYS.items():
            combo.addItem(title, name)
        return combo
    return QLineEdit()


def _edited(editor: QWidget) -> Any:
    """The signal of an editor."""
    for name in ("valueChanged", "toggled", "currentIndexChanged", "textChanged"):
        if hasattr(editor, name):
            return getattr(editor, name)
    raise TypeError(f"{type(editor).__name__} has no signal of an edit.")
