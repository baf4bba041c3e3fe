"""The schedule of a training: a preset, its numbers and their curve."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QPushButton, QWidget

from ...app.training.request import schedule_notes
from ...core.counts import format_count
from ...core.ensemble.schedule import MemberSelection, RestartSchedule
from ...core.ensemble.training_settings import PRESETS, Preset, TrainingSettings
from ...core.fields import from_values, given_values, settings_of, values_of
from ..common.dock import CollapsibleSection, MessageLabel, column_layout
from ..common.form import DataForm, NarrowComboBox
from ..common.patient_pattern import labelled_row
from .schedule_plot import SchedulePlot

USUAL_FIELDS = ("cycles", "epochs", "per_cycle", "step", "batch_size", "iterations_per_epoch")
RARE_FIELDS = tuple(
    entry.name
    for entry in settings_of(TrainingSettings)
    if "label" in entry.metadata and entry.name not in USUAL_FIELDS
)
"""All other settings, in a section that is collapsed at first."""
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

    With ``add_cycle`` they are those of the run so far, and ``planned`` has the new cycle.
    """

    settings: TrainingSettings
    add_cycle: bool = False

    @property
    def given(self) -> dict[str, Any]:
        """The settings that the form shows, for a request."""
        names = {"preset", "schedule", "selection", *USUAL_FIELDS, *RARE_FIELDS}
        return {
            name: value
            for name, value in given_values(TrainingSettings, self.settings).items()
            if name in names
        }

    @property
    def planned(self) -> RestartSchedule:
        """The schedule including a new cycle."""
        schedule = self.settings.schedule
        return replace(schedule, added_cycles=schedule.added_cycles + self.add_cycle)

    def __str__(self) -> str:
        """Return the numbers of cycles, epochs and members as text."""
        plan = self.planned
        members = sum(1 for _ in self.settings.selection.epochs(plan))
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

    def __init__(self, presets: Mapping[Preset, TrainingSettings] = PRESETS) -> None:
        super().__init__()
        self._presets = presets
        self._run: TrainingSettings | None = None
        self._values: ScheduleValues | None = None
        self.problem = ""
        self.preset = NarrowComboBox()
        self.reset_button = QPushButton("Reset to preset")
        self.explanation = MessageLabel()
        self.summary = MessageLabel()
        self.plot = SchedulePlot()
        kinds = RestartSchedule, MemberSelection, TrainingSettings
        self.usual = DataForm(*kinds, names=USUAL_FIELDS)
        self.rare = DataForm(*kinds, names=RARE_FIELDS)
        self.fields = {field.name: field for field in (*self.usual, *self.rare)}
        self.more = CollapsibleSection("More", self.rare.native)
        titles = {name: title for name, (title, _) in PRESET_TEXTS.items()}
        self.preset.set_choices(titles, {name: text for name, (_, text) in PRESET_TEXTS.items()})
        self._lay_out()
        self.preset.currentIndexChanged.connect(self._on_preset_chosen)
        # Only a choice by the user is emitted so, not one by `choose_preset`.
        self.preset.activated.connect(lambda _: self.preset_picked.emit(self.preset.currentData()))
        self.reset_button.clicked.connect(self._on_preset_chosen)
        for form in (self.usual, self.rare):
            form.changed.connect(self._on_edited)
        self.set_extension(None)
        self._on_preset_chosen()

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

    def set_extension(self, run: TrainingSettings | None, *, reason: str = "") -> None:
        """Offer one more cycle of a run with these settings; None disables it for ``reason``."""
        self._run = run
        index = self.preset.findData(EXTENSION)
        item = self.preset.model().item(index)
        item.setEnabled(self._run is not None)
        item.setToolTip(PRESET_TEXTS[EXTENSION][1] if self._run else reason or NO_RUN)
        if self.preset.currentIndex() == index:
            if self._run is None:
                # What cannot be done any more must not stay chosen.
                self.preset.setCurrentIndex(0)
            else:
                self._on_preset_chosen()

    @property
    def _adds_cycle(self) -> bool:
        return bool(self.preset.currentData() == EXTENSION and self._run is not None)

    @property
    def _start(self) -> TrainingSettings:
        """The settings before any edit."""
        if self._run is not None and self._adds_cycle:
            return self._run
        return self._presets[self.preset.currentData()]

    def _on_preset_chosen(self) -> None:
        numbers = values_of(self._start)
        # One preset changes all numbers, which is told once.
        with self.usual.changed.blocked(), self.rare.changed.blocked():
            for name, field in self.fields.items():
                field.value = numbers[name]
                field.enabled = not self._adds_cycle
        text = PRESET_TEXTS[self.preset.currentData()][1]
        self.explanation.show_message(text)
        self.preset.setToolTip(text)
        self._on_edited()

    def _on_edited(self) -> None:
        start = values_of(self._start)
        # Settings without a row stay those of the preset.
        numbers = start | self.usual.asdict() | self.rare.asdict()
        self.reset_button.setVisible(numbers != start)
        self._show_problems(self._find_problems())
        self._values = None
        if not self.problem:
            settings = from_values(TrainingSettings, numbers)
            self._values = ScheduleValues(settings=settings, add_cycle=self._adds_cycle)
        self._show_notes()
        self._show_values()
        self.changed.emit()

    def _show_notes(self) -> None:
        """Show the notes on the numbers, except those that the preset has too."""
        preset_notes = schedule_notes(self._start.schedule, self._start.selection)
        settings = self._values.settings if self._values else self._start
        notes = schedule_notes(settings.schedule, settings.selection)
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
        self.plot.set_done(values.settings.schedule.all_epochs if values.add_cycle else 0)
        self.plot.set_schedule(values.planned, values.settings.selection)

    def _find_problems(self) -> dict[str, str]:
        """Return field name → problem, for the invalid fields."""
        # Epochs and cycles are judged together, because all cycles have the same length.
        problems = {"epochs": self.usual.find_problem(RestartSchedule, "epochs", "cycles")}
        for name in RARE_FIELDS:
            of_schedule = name in RestartSchedule.__dataclass_fields__
            kind = RestartSchedule if of_schedule else TrainingSettings
            problems[name] = self.rare.find_problem(kind, name)
        return {name: problems[name] for name in self.fields if problems.get(name)}

    def _show_problems(self, problems: Mapping[str, str]) -> None:
        label, text = next(((self.fields[n].label, t) for n, t in problems.items()), ("", ""))
        # Some sentences begin with the name of their setting already.
        self.problem = text if text.startswith(label) else f"{label}: {text}"
        for form in (self.usual, self.rare):
            form.show_problems(problems)
        if any(name in problems for name in RARE_FIELDS):
            self.more.expand()  # so that the problem is seen

    def _lay_out(self) -> None:
        self.reset_button.setToolTip("Restore the numbers of the preset.")
        self.more.setToolTip("Settings that rarely need a change.")
        choice = labelled_row("Preset", self.preset, self.reset_button)
        parts = (self.explanation, self.plot, self.summary, self.usual.native, self.more)
        column_layout(self, choice, *parts)
