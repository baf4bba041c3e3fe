"""The schedule of a training: a preset, its numbers and their curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass, fields, replace
from typing import Any, cast

from qtpy.QtCore import Qt, Signal
from qtpy.QtWidgets import QHBoxLayout, QPushButton, QVBoxLayout, QWidget

from ...app.training.request import PRESETS, Preset, PresetValues, schedule_notes
from ...core.choices import Augmentation
from ...core.counts import format_count
from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ..common.dock import CollapsibleSection, MessageLabel, row_label
from ..common.form import DataForm, NarrowComboBox
from .schedule_plot import SchedulePlot

FieldValues = dict[str, Any]
"""Name of a field of RestartSchedule, MemberSelection or PresetValues → its value."""

USUAL_FIELDS = ("cycles", "epochs", "per_cycle", "step", "batch_size", "iterations_per_epoch")
RARE_FIELDS = (
    "gamma", "initial_lr", "restart_lr", "exponent", "decay_over", "restart_first_cycle",
    "augmentation",
)  # fmt: skip
"""The other numbers of Eq. 4 and the augmentation, in a section that is collapsed at first."""
EXTENSION = "add_cycle"
NO_RUN = "Choose a finished run first."
PRESET_TEXTS = {
    "paper": ("Paper", "As in the paper: 1200 epochs with the full network. Made for a GPU."),
    "quick": (
        "Quick look",
        "A small network, trained in minutes on a CPU. For a first try, not for results.",
    ),
    "demo": (
        "Demo",
        "A small network, trained in about an hour on two CPU cores.",
    ),
    "tiny": (
        "Tiny",
        "The smallest network. For comparing methods on a CPU, not for segmentation.",
    ),
    EXTENSION: (
        "One more cycle",
        "Continue the chosen run for one cycle, with the learning rates of its last cycle. Its "
        "other numbers stay the same.",
    ),
}


@dataclass(frozen=True, kw_only=True)
class ScheduleValues:
    """The values of the form.

    With ``add_cycle``, ``schedule`` is that of the run so far, and ``planned`` has the new cycle.
    """

    preset: Preset
    schedule: RestartSchedule
    selection: MemberSelection
    batch_size: int
    iterations_per_epoch: int
    augmentation: Augmentation = "nnunet"
    add_cycle: bool = False

    @property
    def planned(self) -> RestartSchedule:
        """The schedule including a new cycle."""
        added = self.schedule.added_cycles + self.add_cycle
        return replace(self.schedule, added_cycles=added)

    def __str__(self) -> str:
        """Return the numbers of cycles, epochs and members as text."""
        plan = self.planned
        members = sum(1 for _ in self.selection.epochs(plan))
        per_cycle = members // plan.all_cycles
        new = " (the last is new)" if self.add_cycle else ""
        return (
            f"{format_count(plan.all_cycles, 'cycle')} × "
            f"{format_count(plan.cycle_length, 'epoch')}{new}, "
            f"{format_count(members, 'member')} kept ({per_cycle} per cycle)"
        )


class ScheduleForm(QWidget):
    """A preset, its numbers and their curve.

    ``changed`` is emitted after every edit, ``preset_picked`` with its name when the user picks a
    preset. While a number is invalid, ``values`` returns None and ``problem`` is a sentence on it.
    """

    changed = Signal()
    preset_picked = Signal(str)

    def __init__(
        self, presets: Mapping[str, PresetValues] = PRESETS, parent: QWidget | None = None
    ) -> None:
        super().__init__(parent)
        self._presets = presets
        self._run: tuple[Preset, FieldValues] | None = None
        self._values: ScheduleValues | None = None
        self._problem = ""
        self.preset = NarrowComboBox()
        self.reset_button = QPushButton("Reset to preset")
        self.explanation = MessageLabel()
        self.summary = MessageLabel()
        self.plot = SchedulePlot()
        self.usual = DataForm(*(RestartSchedule, MemberSelection, PresetValues), names=USUAL_FIELDS)
        self.rare = DataForm(RestartSchedule, PresetValues, names=RARE_FIELDS)
        self.fields = {field.name: field for field in (*self.usual, *self.rare)}
        self.more = CollapsibleSection("More", self.rare.native)
        self._fill_presets()
        self._lay_out()
        self.preset.currentIndexChanged.connect(self._on_preset_chosen)
        self.preset.activated.connect(lambda _: self.preset_picked.emit(self.preset.currentData()))
        self.reset_button.clicked.connect(self._on_preset_chosen)
        for form in (self.usual, self.rare):
            form.changed.connect(self._on_edited)
        self.set_extension(None)
        self._on_preset_chosen()

    @property
    def problem(self) -> str:
        """A sentence on the first invalid number, "" if all are valid."""
        return self._problem

    @property
    def is_preset(self) -> bool:
        """Whether the numbers are those of a preset, not of a run or edited."""
        return not self._adds_cycle and self.reset_button.isHidden()

    def values(self) -> ScheduleValues | None:
        """Return the values of the form, or None while a number is invalid."""
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
        reason: str = "",
        **settings: Any,
    ) -> None:
        """Offer one more cycle of a run with this schedule; None disables it for ``reason``.

        ``settings`` are other values of the form; missing ones are taken from the preset of the
        run.
        """
        self._run = None
        if schedule is not None:
            name = cast(Preset, preset if preset in self._presets else next(iter(self._presets)))
            numbers = numbers_of(self._presets[name]) | asdict(schedule)
            numbers |= asdict(selection) if selection is not None else {}
            self._run = name, numbers | settings
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
        """The preset and the numbers before any edit."""
        if self._run is not None and self._adds_cycle:
            return self._run
        name = self.preset.currentData()
        return name, numbers_of(self._presets[name])

    def _on_preset_chosen(self) -> None:
        _, numbers = self._start
        with self.usual.changed.blocked(), self.rare.changed.blocked():
            for name, field in self.fields.items():
                field.value = numbers[name]
                field.enabled = not self._adds_cycle
        text = PRESET_TEXTS.get(self.preset.currentData(), ("", ""))[1]
        self.explanation.show_message(text)
        self.preset.setToolTip(text)
        self._on_edited()

    def _on_edited(self) -> None:
        preset, start = self._start
        numbers = start | self.usual.asdict() | self.rare.asdict()
        self.reset_button.setVisible(numbers != start)
        self._show_problems(self._find_problems())
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
            augmentation=numbers["augmentation"],
            add_cycle=self._adds_cycle,
        )

    def _show_notes(self, start: FieldValues) -> None:
        """Show the notes on the numbers, except those that the preset has too."""
        preset_notes = schedule_notes(schedule_of(start), selection_of(start))
        values = self._values
        notes = schedule_notes(values.schedule, values.selection) if values else {}
        for name, field in self.fields.items():
            note = notes.get(name, "")
            field.note.show_message("" if note == preset_notes.get(name) else note)

    def _show_values(self) -> None:
        values = self._values
        if values is None:
            self.summary.show_message("Correct the marked fields below.")
            self.plot.set_schedule(None)
            return
        self.summary.show_message(str(values))
        self.plot.set_done(values.schedule.all_epochs if values.add_cycle else 0)
        self.plot.set_schedule(values.planned, values.selection)

    def _find_problems(self) -> dict[str, str]:
        """Return field name → problem, for the invalid fields."""
        usual, rare = self.usual, self.rare
        lengths = usual.find_problem(RestartSchedule, "epochs", "cycles")
        problems = {"epochs" if usual.cycles.value >= 1 else "cycles": lengths}
        for name in ("per_cycle", "step"):
            problems[name] = usual.find_problem(MemberSelection, name)
        for name in ("batch_size", "iterations_per_epoch"):
            field = usual[name]
            is_wrong = field.value < 1
            problems[name] = f"{field.label} must be at least 1, not {field.value}." * is_wrong
        for name in RARE_FIELDS:
            if name in RestartSchedule.__dataclass_fields__:
                problems[name] = rare.find_problem(RestartSchedule, name)
        return {name: problems[name] for name in self.fields if problems.get(name)}

    def _show_problems(self, problems: Mapping[str, str]) -> None:
        sentences = (f"{self.fields[name].label}: {text}" for name, text in problems.items())
        self._problem = next(sentences, "")
        for form in (self.usual, self.rare):
            form.show_problems(problems)
        if any(name in problems for name in RARE_FIELDS):
            self.more.expand()  # so that the problem is seen

    def _fill_presets(self) -> None:
        ordered = [name for name in PRESET_TEXTS if name in self._presets]
        others = [name for name in self._presets if name not in ordered]
        for name in (*ordered, *others, EXTENSION):
            title, text = PRESET_TEXTS.get(name, (name, ""))
            self.preset.addItem(title, name)
            self.preset.setItemData(self.preset.count() - 1, text, Qt.ItemDataRole.ToolTipRole)

    def _lay_out(self) -> None:
        self.reset_button.setToolTip("Restore the numbers of the preset.")
        self.more.setToolTip("Settings that rarely need a change.")
        choice = QHBoxLayout()
        choice.addWidget(row_label("Preset"))
        choice.addWidget(self.preset, 1)
        choice.addWidget(self.reset_button)
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addLayout(choice)
        for part in (self.explanation, self.plot, self.summary):
            column.addWidget(part)
        for part in (self.usual.native, self.more):
            column.addWidget(part)


def numbers_of(values: PresetValues) -> FieldValues:
    """Return all numbers of a preset."""
    return {
        **asdict(values.schedule),
        **asdict(values.selection),
        "batch_size": values.batch_size,
        "iterations_per_epoch": values.iterations_per_epoch,
        "augmentation": values.augmentation,
    }


def schedule_of(numbers: Mapping[str, Any]) -> RestartSchedule:
    """Return the schedule in ``numbers``. Raises ValueError if Eq. 4 is not defined for them."""
    return RestartSchedule(**{f.name: numbers[f.name] for f in fields(RestartSchedule)})


def selection_of(numbers: Mapping[str, Any]) -> MemberSelection:
    """Return the selection in ``numbers``. Raises ValueError for numbers below 1."""
    return MemberSelection(**{f.name: numbers[f.name] for f in fields(MemberSelection)})
