"""Choosing the schedule of a training: a preset, its numbers, and the curve they give."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, replace
from typing import cast

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import (
    QComboBox,
    QFormLayout,
    QHBoxLayout,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...app.training.request import PRESETS, Preset, PresetValues, schedule_notes
from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ..common.dock import FoldButton, MessageLabel, form_layout, row_label
from .schedule_fields import (
    MORE_FIELDS,
    SCHEDULE_FIELDS,
    TITLES,
    Field,
    FieldValues,
    NumberField,
    WheelGuard,
    find_problems,
    numbers_of,
    schedule_of,
    selection_of,
)
from .schedule_plot import SchedulePlot

EXTENSION = "add_cycle"
NO_RUN = "Choose a finished run first."
PRESET_TEXTS = {
    "paper": ("Paper", "As in the paper: 1200 epochs with the full network. Made for a GPU."),
    "quick": (
        "Quick look",
        "A small network, minutes on a CPU: to see how everything goes, not to rely on.",
    ),
    "demo": (
        "Demo",
        "A small network, about an hour on two CPU cores.",
    ),
    "tiny": (
        "Tiny",
        "The smallest network, for comparing methods on a CPU; not to segment with.",
    ),
    EXTENSION: (
        "One more cycle",
        "The chosen run goes on for one cycle more, with the rates of its last one. Its other "
        "numbers stay as they were.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class ScheduleValues:
    """What the form says.

    With ``add_cycle`` the schedule is the one the run has so far; ``planned`` has the new cycle.
    """

    preset: Preset
    schedule: RestartSchedule
    selection: MemberSelection
    batch_size: int
    iterations_per_epoch: int
    add_cycle: bool = False

    @property
    def planned(self) -> RestartSchedule:
        """The schedule at the end of the training that is about to start."""
        added = self.schedule.added_cycles + self.add_cycle
        return replace(self.schedule, added_cycles=added)

    def __str__(self) -> str:
        """How many cycles, epochs and members, in words."""
        plan = self.planned
        members = sum(1 for _ in self.selection.epochs(plan))
        per_cycle = members // plan.all_cycles
        new = ", the last one new" if self.add_cycle else ""
        return (
            f"{_count(plan.all_cycles, 'cycle')} × {_count(plan.cycle_length, 'epoch')}{new}, "
            f"{_count(members, 'member')} kept ({per_cycle} per cycle)"
        )


class ScheduleForm(QWidget):
    """A preset, a curve that follows every edit, and the numbers.

    ``changed`` comes with every edit; ``values`` is None while something is wrong, and
    ``problem`` says what.
    """

    changed = Signal()

    def __init__(
        self, presets: Mapping[str, PresetValues] = PRESETS, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._presets = presets
        self._run: tuple[Preset, FieldValues] | None = None
        self._values: ScheduleValues | None = None
        self._problem = ""
        self._is_filling = False
        self.preset = QComboBox()
        self.reset_button = QPushButton("Reset to preset")
        self.explanation = MessageLabel()
        self.summary = MessageLabel()
        self.plot = SchedulePlot()
        self.fields = {field.name: NumberField(field) for field in (*SCHEDULE_FIELDS, *MORE_FIELDS)}
        self.folded = QWidget()
        self.more = FoldButton("More", self.folded)
        self._fill_presets()
        self._lay_out()
        self.preset.currentIndexChanged.connect(self._on_preset_chosen)
        self.reset_button.clicked.connect(self._on_preset_chosen)
        for field in self.fields.values():
            field.changed.connect(self._on_edited)
        self.set_extension(None)
        self._on_preset_chosen()

    @property
    def problem(self) -> str:
        """What is wrong with the first number that is; "" if nothing."""
        return self._problem

    def values(self) -> ScheduleValues | None:
        """What is to be trained; None while a number is wrong."""
        return self._values

    def choose_preset(self, name: str) -> None:
        """Choose a preset by its name, or "add_cycle" once there is a run to extend."""
        self.preset.setCurrentIndex(self.preset.findData(name))

    def set_extension(
        self,
        schedule: RestartSchedule | None,
        selection: MemberSelection | None = None,
        *,
        preset: str = "paper",
        batch_size: int | None = None,
        iterations_per_epoch: int | None = None,
        reason: str = "",
    ) -> None:
        """Offer one more cycle of the run that was trained so; None greys it for ``reason``.

        What is left out of a run's numbers is taken from its preset.
        """
        self._run = None
        if schedule is not None:
            known = cast(Preset, preset if preset in self._presets else next(iter(self._presets)))
            numbers = numbers_of(self._presets[known]) | asdict(schedule)
            numbers |= asdict(selection) if selection is not None else {}
            numbers |= {"batch_size": batch_size} if batch_size else {}
            if iterations_per_epoch:
                numbers["iterations_per_epoch"] = iterations_per_epoch
            self._run = known, numbers
        index = self.preset.findData(EXTENSION)
        item = self.preset.model().item(index)
        item.setEnabled(self._run is not None)
        item.setToolTip(PRESET_TEXTS[EXTENSION][1] if self._run else reason or NO_RUN)
        if self.preset.currentIndex() == index:
            if self._run is None:
                self.preset.setCurrentIndex(0)
            else:
                self._on_preset_chosen()

    @property
    def _adds_cycle(self) -> bool:
        return bool(self.preset.currentData() == EXTENSION and self._run is not None)

    @property
    def _start(self) -> tuple[Preset, FieldValues]:
        """Preset and numbers the form was filled with."""
        if self._run is not None and self._adds_cycle:
            return self._run
        name = self.preset.currentData()
        return name, numbers_of(self._presets[name])

    def _on_preset_chosen(self) -> None:
        _, numbers = self._start
        self._is_filling = True
        for name, field in self.fields.items():
            field.set_value(numbers[name])
            field.setEnabled(not self._adds_cycle)
        self._is_filling = False
        text = PRESET_TEXTS.get(self.preset.currentData(), ("", ""))[1]
        self.explanation.say(text)
        self.preset.setToolTip(text)
        self._on_edited()

    def _on_edited(self) -> None:
        if self._is_filling:
            return
        preset, start = self._start
        typed = {name: field.value() for name, field in self.fields.items()}
        numbers = {**start, **typed}
        self.reset_button.setVisible(numbers != start)
        self._show_problems(find_problems(numbers))
        self._values = None if self._problem else self._read(preset, numbers)
        self._show_notes(start)
        self._show_values()
        self.changed.emit()

    def _read(self, preset: Preset, numbers: FieldValues) -> ScheduleValues:
        return ScheduleValues(
            preset=preset,
            schedule=schedule_of(numbers),
            selection=selection_of(numbers),
            batch_size=numbers["batch_size"],
            iterations_per_epoch=numbers["iterations_per_epoch"],
            add_cycle=self._adds_cycle,
        )

    def _show_notes(self, start: FieldValues) -> None:
        """What is to be said of the numbers, but for those the form was filled with."""
        usual = schedule_notes(schedule_of(start), selection_of(start))
        values = self._values
        notes = schedule_notes(values.schedule, values.selection) if values else {}
        for name, field in self.fields.items():
            field.note.say("" if notes.get(name) == usual.get(name) else notes.get(name, ""))

    def _show_values(self) -> None:
        values = self._values
        if values is None:
            self.summary.say("There is something to mend below.")
            self.plot.set_schedule(None)
            return
        self.summary.say(str(values))
        self.plot.set_done(values.schedule.all_epochs if values.add_cycle else 0)
        self.plot.set_schedule(values.planned, values.selection)

    def _show_problems(self, problems: Mapping[str, str]) -> None:
        self._problem = next((f"{TITLES[name]}: {text}" for name, text in problems.items()), "")
        for name, field in self.fields.items():
            field.set_problem(problems.get(name, ""))
        if any(field.name in problems for field in MORE_FIELDS):
            self.more.setChecked(True)  # what is folded away is not read

    def _fill_presets(self) -> None:
        policy = QComboBox.SizeAdjustPolicy.AdjustToMinimumContentsLengthWithIcon
        self.preset.setSizeAdjustPolicy(policy)
        self.preset.installEventFilter(WheelGuard(self.preset))
        known = [name for name in PRESET_TEXTS if name in self._presets]
        for name in (*known, *(name for name in self._presets if name not in known), EXTENSION):
            title, text = PRESET_TEXTS.get(name, (name, ""))
            self.preset.addItem(title, name)
            self.preset.setItemData(self.preset.count() - 1, text, Qt.ItemDataRole.ToolTipRole)

    def _lay_out(self) -> None:
        self.reset_button.setToolTip("Take back all changes of the numbers.")
        self.more.setToolTip("The numbers of Eq. 4, which rarely need a change.")
        choice = QHBoxLayout()
        choice.addWidget(row_label("Preset"))
        choice.addWidget(self.preset, 1)
        choice.addWidget(self.reset_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(choice)
        for part in (self.explanation, self.plot, self.summary):
            column.addWidget(part)
        rows = form_layout()
        self._add_rows(rows, SCHEDULE_FIELDS)
        column.addLayout(rows)
        self._add_rows(form_layout(self.folded), MORE_FIELDS)
        column.addWidget(self.more)
        column.addWidget(self.folded)

    def _add_rows(self, rows: QFormLayout, fields: tuple[Field, ...]) -> None:
        for field in fields:
            label = row_label(field.title)
            label.setToolTip(field.help)
            rows.addRow(label, self.fields[field.name])


def _count(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
