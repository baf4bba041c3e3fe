"""The check of a dataset before a training: cases, patients, fold, device and disk."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import partial
from html import escape
from pathlib import Path

from qtpy.QtCore import Qt, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QFileDialog, QPushButton, QWidget

from ...app.dataset.label_example import LabelExample, example_of_dataset
from ...app.devices import find_devices
from ...app.training.disk_space import size_text
from ...app.training.preflight import (
    LEFT_OUT,
    TRAINING,
    VALIDATION,
    Preflight,
    PreflightRow,
    assess_request,
    check_cases,
)
from ...app.training.request import TrainingRequest
from ...core.counts import format_count
from ...core.heart.structures import lacks_lv
from ...io.dataset.check import CaseCheck, DatasetProblem
from ...io.dataset.patients import DEFAULT_PATIENT
from ...io.dataset.raw_dataset import FOLDS, RawDataset
from ..common.background import Background
from ..common.device_box import DeviceBox
from ..common.dock import MessageLabel, column_layout
from ..common.form import NarrowComboBox
from ..common.levels import Level, level_color
from ..common.long_work import LongWork, Steps
from ..common.patient_pattern import PatientForm, labelled_row
from ..common.progress_row import ProgressRow
from ..common.rows_table import Column, Row, RowsTable, copy_path
from ..common.wording import in_the_window
from .schedule_form import ScheduleValues
from .structure_names import StructureNames

_ALL = "all"
CONFIGURATION = "2d"
NO_DATA = "Choose or make a dataset first."
FOLD_HELP = (
    "The patients are divided into five folds. Those of the chosen fold are used for validation. "
    "“all” trains on every case, without validation."
)
SPLIT_HELP = (
    "Read the folds from a file like nnU-Net's splits_final.json, which lists training and "
    "validation cases."
)
DISK_SPACE = "{needed} needed, {free} free"
FEW_FOLDS = "This split has only {folds} folds."
NO_VALIDATION = "All cases are used for training, without validation."
PATIENT_FOLDS = "The patients are divided into {folds} folds."
DATASET_FOLDS = "The folds are those of the dataset's splits_final.json."
FILE_FOLDS = "The folds are those of {name}."
RUN_FOLDS = "The folds are those of the training in {name}."
MORE_PROBLEMS = "… and {count} more."
MORE_IN_TABLE = "… and {count} more in the table."
_PROBLEMS_SHOWN = 3


PREFLIGHT_COLUMNS = (
    Column("Case", "Name of the case. Double-click to copy the path of the file."),
    Column("Problem", "Red problems prevent the training. Amber problems are warnings."),
    Column("Shape", "Voxels: slices (z) × rows (y) × columns (x)."),
    Column("Spacing", "Distance between voxels in mm: slices (z) × rows (y) × columns (x)."),
    Column("Labels", "Label values in the file."),
    Column("Use", "Use of the case in the chosen fold: training or validation."),
    Column("Patient", "Patient of the case, taken from its name."),
)
PROBLEM = 1
"""Index of the column of problems."""
_ORDER: tuple[Level, ...] = ("blocking", "warning", "fine")


@dataclass(frozen=True)
class _Plan:
    """Settings of the rest of the dock on which the check depends.

    ``names_fold``: whether an added cycle names its fold, because the run has several.
    """

    output: Path
    values: ScheduleValues | None = None
    names_fold: bool = False


class PreflightForm(QWidget):
    """The check of a dataset. ``changed`` is emitted for a new ``preflight`` or device.

    ``preflight`` is the result for the current plan, None until it is known.
    ``split`` is the split file that the user has chosen.
    """

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._dataset: RawDataset | None = None
        self._checks: Sequence[CaseCheck] | None = None
        self._plan: _Plan | None = None
        self.split: Path | None = None
        self.preflight: Preflight | None = None
        self._problems: list[DatasetProblem] = []
        self._has_searched_devices = False
        self._checking, self._assessing = LongWork(self), LongWork(self)
        self._background = Background(self)
        self._make_parts()
        self._lay_out()
        self._connect()
        self.set_dataset(None)

    @property
    def fold(self) -> str:
        """The number of the chosen fold, or "all"."""
        return str(self.folds.currentData())

    @property
    def patient(self) -> str | None:
        """The pattern of the patient's name, None for the default and for a continued run."""
        pattern = self.patients.pattern
        return None if self._continues_run or pattern == DEFAULT_PATIENT else pattern

    @property
    def label_names(self) -> dict[int, str] | None:
        """Names of label values that replace those of the dataset, None if there are none."""
        dataset, names = self._dataset, self.structures.names
        if dataset is None or not self._can_be_named or self.structures.problem:
            return None
        changed = {v: names[v] for n, v in dataset.labels.items() if names.get(v, n) != n}
        return changed or None

    @property
    def _can_be_named(self) -> bool:
        """Whether structures can get other names, as those of a dataset without an LV."""
        dataset = self._dataset
        return dataset is not None and lacks_lv(dataset.labels) and not self._continues_run

    @property
    def _continues_run(self) -> bool:
        plan = self._plan
        return plan is not None and plan.values is not None and plan.values.add_cycle

    @property
    def device(self) -> str:
        """The name of a device, or "auto" for the fastest."""
        return self.devices.device

    def set_dataset(self, dataset: RawDataset | None) -> None:
        """Check ``dataset`` in the background, and discard the last result."""
        self._checking.drop()
        self._dataset, self._checks, self.split = dataset, None, None
        self.structures.show_names({}, None)
        self._discard_result()
        self.table.set_rows(())
        self.progress.hide()
        for part in (self.table, self.settings):
            part.hide()
        self.summary.show_message("" if dataset is not None else NO_DATA)
        if dataset is not None:
            self.progress.begin("Checking case {done} of {total}")
            self._checking.start(
                partial(check_cases, dataset), self._on_checked, self._on_check_failed
            )
        self.changed.emit()

    def set_plan(self, output: Path, values: ScheduleValues, *, names_fold: bool = False) -> None:
        """Assess this output folder and schedule, without reading the cases again.

        ``names_fold``: whether an added cycle names its fold, because the run has several.
        """
        plan = _Plan(output, values, names_fold)
        if plan != self._plan:
            self._plan = plan
            self._reassess()

    def _make_parts(self) -> None:
        self.progress = ProgressRow(can_stop=False)
        self.summary = MessageLabel()
        self.table = RowsTable(PREFLIGHT_COLUMNS)
        self.detail = MessageLabel()
        self.problems = MessageLabel()
        self.structures = StructureNames()
        self.patients = PatientForm()
        self.folds = NarrowComboBox()
        self.split_button = QPushButton("Choose split…")
        self.no_split_button = QPushButton("×")
        self.split_text = MessageLabel()
        self.devices = DeviceBox()
        self.disk = MessageLabel()
        self.folds.set_choices({fold: fold for fold in (*map(str, range(FOLDS)), _ALL)})
        self.folds.setToolTip(FOLD_HELP)
        self.split_button.setToolTip(SPLIT_HELP)
        self.no_split_button.setToolTip("Do not use this split file.")
        self.no_split_button.setFixedWidth(28)
        # Its links copy the paths of files.
        self.problems.setTextFormat(Qt.TextFormat.RichText)
        self.problems.setAlignment(Qt.AlignmentFlag.AlignTop)
        self.problems.setTextInteractionFlags(Qt.TextInteractionFlag.TextBrowserInteraction)

    def _lay_out(self) -> None:
        self.settings = QWidget()
        rows = (
            labelled_row("Fold", self.folds, self.split_button, self.no_split_button),
            labelled_row("", self.split_text),
            labelled_row("Device", self.devices),
            labelled_row("Disk", self.disk),
        )
        column_layout(self.settings, self.structures, self.patients, *rows)
        parts = (self.progress, self.summary, self.table, self.detail, self.problems, self.settings)
        column_layout(self, *parts)

    def _connect(self) -> None:
        self._checking.progressed.connect(self.progress.progress)
        self.table.row_chosen.connect(self._on_row_chosen)
        self.problems.linkActivated.connect(self._on_link)
        self.structures.changed.connect(self._reassess)
        self.patients.changed.connect(self._reassess)
        self.folds.currentIndexChanged.connect(self._reassess)
        self.split_button.clicked.connect(self._on_split_clicked)
        self.no_split_button.clicked.connect(partial(self.choose_split, None))
        self.devices.currentIndexChanged.connect(self.changed)

    def choose_split(self, file: Path | None, *_: object) -> None:
        """Read the folds from ``file``; None divides the patients again."""
        self.split = file
        self._reassess()

    def showEvent(self, event: QShowEvent) -> None:
        """Search for devices when the form is first shown, because that takes seconds."""
        super().showEvent(event)
        if not self._has_searched_devices:
            self._has_searched_devices = True
            unknown = self.devices.set_unknown
            self._background.run(find_devices, self._on_devices_found, unknown)

    def _on_devices_found(self, devices: Mapping[str, str]) -> None:
        self.devices.set_devices(devices)
        self.changed.emit()

    def _on_checked(self, checks: Sequence[CaseCheck]) -> None:
        self.progress.hide()
        self._checks = checks
        dataset = self._dataset
        assert dataset is not None
        show = partial(self._on_example, dataset)
        # Without an example the form only lacks a picture.
        self._background.run(partial(example_of_dataset, dataset), show, lambda _: None)
        self._reassess()
        for part in (self.table, self.settings):
            part.show()

    def _on_example(self, dataset: RawDataset, example: LabelExample | None) -> None:
        """Show a slice with the labels; a dataset without an LV can be given other names."""
        if dataset is self._dataset:
            names = {value: name for name, value in dataset.labels.items()}
            self.structures.show_names(names, example, editable=lacks_lv(dataset.labels))

    def _on_check_failed(self, sentence: str) -> None:
        self.progress.hide()
        self._show_problems([DatasetProblem(sentence, None)])
        self.changed.emit()

    def _discard_result(self) -> None:
        self._assessing.drop()
        self.preflight = None
        self._show_problems(())

    def _reassess(self, *_: object) -> None:
        """Assess again, in the background, because the output folder may be on a slow drive."""
        self._assessing.drop()
        self.preflight = None
        self.no_split_button.setVisible(self.split is not None)
        dataset, checks = self._dataset, self._checks
        if dataset is None or checks is None:
            return
        # Wrong names of structures are not left out in silence: they would need a new training.
        misnamed = self._can_be_named and self.structures.problem
        if self.patients.pattern is None or misnamed:
            self.changed.emit()
            return
        work = partial(_assess_steps, self.request(dataset), dataset, checks)
        self._assessing.start(work, self._on_assessed, self._on_assess_failed)

    def request(self, dataset: RawDataset) -> TrainingRequest:
        """Return the request for a training with the current plan and choices."""
        plan = self._plan or _Plan(dataset.path.parent / f"{dataset.path.name} training")
        if self._continues_run:  # and keeps the settings of the run
            return TrainingRequest(
                dataset=dataset.path,
                output=plan.output,
                fold=self.fold if plan.names_fold else None,
                device=self.device,
                add_cycle=True,
            )
        return TrainingRequest(
            dataset=dataset.path,
            output=plan.output,
            configuration=CONFIGURATION,
            fold=self.fold,
            split=self.split,
            patient=self.patient,
            labels=self.label_names,
            device=self.device,
            **(plan.values.given if plan.values else {}),
        )

    def _on_assessed(self, result: tuple[Preflight, list[Row]]) -> None:
        self.preflight, rows = result
        if rows != self.table.rows:  # keeps the chosen row and the scroll position
            self.table.set_rows(rows)
            self.table.setColumnHidden(PROBLEM, not faults_text(rows))
        self._show(self.preflight, rows)
        self.changed.emit()

    def _on_assess_failed(self, sentence: str) -> None:
        self._show_problems([DatasetProblem(sentence, self.split)])
        self.changed.emit()

    def _show(self, preflight: Preflight, rows: Sequence[Row]) -> None:
        faults = faults_text(rows)
        self.summary.show_message(cases_text(preflight) + (f" {faults}" if faults else ""))
        self._show_problems(preflight.problems, preflight.case_problems)
        if preflight.rows:
            first = preflight.rows[0]
            example = f"{first.check.name} → {first.patient}"
            self.patients.example.show_message(f"{example}; {patients_text(preflight)}.")
        self.patients.set_given(self._continues_run)
        self.split_text.show_message(_split_text(preflight, self.split))
        self.split_text.setToolTip(str(preflight.split_file or ""))
        self._offer_folds(preflight)
        disk = preflight.disk
        needed, free = size_text(disk.needed_bytes), size_text(disk.free_bytes)
        self.disk.show_message(DISK_SPACE.format(needed=needed, free=free))
        parts = [f"{name}: {size_text(size)}" for name, size in disk.parts.items()]
        self.disk.setToolTip("\n".join(["At most:", *parts]))

    def _offer_folds(self, preflight: Preflight) -> None:
        """Disable the folds that do not exist."""
        count = FOLDS if preflight.splits is None else len(preflight.splits)
        for index in range(FOLDS):
            # A QComboBox disables an entry only through its model.
            item = self.folds.model().item(index)
            item.setEnabled(index < count)
            item.setToolTip("" if index < count else FEW_FOLDS.format(folds=count))

    def _show_problems(
        self, problems: Sequence[DatasetProblem], case_problems: Sequence[DatasetProblem] = ()
    ) -> None:
        """Show the worst problems of the dataset and of the cases, whose rows shorten them."""
        self._problems = []
        lines = []
        for group, more_text in ((problems, MORE_PROBLEMS), (case_problems, MORE_IN_TABLE)):
            worst_first = sorted(group, key=lambda problem: not problem.blocks)
            shown = enumerate(worst_first[:_PROBLEMS_SHOWN], start=len(self._problems))
            lines += [_problem_html(number, problem, self.problems) for number, problem in shown]
            more = len(worst_first) - _PROBLEMS_SHOWN
            lines += [more_text.format(count=more)] if more > 0 else []
            self._problems += worst_first
        self.problems.show_message(
            "".join(f"<p style='margin: 0 0 4px 0'>{line}</p>" for line in lines)
        )
        # Hundreds of lines would be higher than the screen.
        self.problems.setToolTip(
            "\n".join(in_the_window(problem.text) for problem in self._problems[:30])
        )

    def _on_link(self, number: str) -> None:
        file = self._problems[int(number)].file
        if file is not None:
            copy_path(file, self.problems)

    def _on_row_chosen(self, row: Row | None) -> None:
        self.detail.show_message(row.help if row is not None and row.level != "fine" else "")
        self.detail.setToolTip(str(row.file or "") if row is not None else "")

    def _on_split_clicked(self) -> None:
        start = str(self._dataset.path) if self._dataset is not None else ""
        chosen, _ = QFileDialog.getOpenFileName(self, "Split file", start, "JSON (*.json)")
        if chosen:
            self.choose_split(Path(chosen))


def _assess_steps(
    request: TrainingRequest, dataset: RawDataset, checks: Sequence[CaseCheck]
) -> Steps:
    """Return the preflight and its rows."""
    yield 0, 1
    preflight = assess_request(request, dataset, checks)
    return preflight, case_rows(preflight)


def _split_text(preflight: Preflight, chosen: Path | None) -> str:
    """Return a sentence on the origin of the folds."""
    file = preflight.split_file
    if preflight.fold == _ALL:
        return NO_VALIDATION
    if file is None:
        folds = len(preflight.splits or ())
        return PATIENT_FOLDS.format(folds=folds) if folds else ""
    if file.parent == preflight.dataset.path and file.name == "splits_final.json":
        return DATASET_FOLDS
    if file == chosen:
        return FILE_FOLDS.format(name=file.name)
    return RUN_FOLDS.format(name=file.parent.name)


def _problem_html(number: int, problem: DatasetProblem, label: QWidget) -> str:
    color = level_color(level_of([problem]), label)
    link = f" <a href='{number}' style='color:{color}'>Copy&nbsp;path</a>" if problem.file else ""
    # The label shows HTML, and names of files may have its characters.
    return f"<span style='color:{color}'>{escape(short_text(problem))}</span>{link}"


def case_rows(preflight: Preflight) -> list[Row]:
    """Return a row per case: errors first, then warnings, then the rest."""
    rows = [_row(row) for row in preflight.rows]
    return sorted(rows, key=lambda row: _ORDER.index(row.level))


def level_of(problems: Sequence[DatasetProblem]) -> Level:
    """Return the level of the worst problem."""
    if not problems:
        return "fine"
    return "blocking" if any(problem.blocks for problem in problems) else "warning"


def short_text(problem: DatasetProblem) -> str:
    """Return the sentence with file names instead of paths, which are too long for a dock."""
    text, file = in_the_window(problem.text), problem.file
    if file is not None and file.name:
        # The file first, because its path contains that of the folder.
        text = text.replace(str(file), file.name)
        if file.parent.name:
            text = text.replace(str(file.parent), file.parent.name)
    return text


def cases_text(preflight: Preflight) -> str:
    """Return a sentence on the number of cases and patients and their use."""
    uses = Counter(row.use for row in preflight.rows)
    parts = [f"{uses[TRAINING]} for training", f"{uses[VALIDATION]} for validation"]
    if uses[LEFT_OUT]:
        parts.append(f"{uses[LEFT_OUT]} unused")
    count = format_count(len(preflight.rows), "case")
    return f"{count} of {patients_text(preflight)}: {', '.join(parts)}."


def patients_text(preflight: Preflight) -> str:
    """Return the number of patients with its noun."""
    return format_count(len({row.patient for row in preflight.rows}), "patient")


def faults_text(rows: Sequence[Row]) -> str:
    """Return a sentence on the number of cases with problems, "" if there are none."""
    levels = Counter(row.level for row in rows)
    parts = []
    if levels["blocking"]:
        parts.append(f"{format_count(levels['blocking'], 'case')} with errors (red)")
    if levels["warning"]:
        parts.append(f"{format_count(levels['warning'], 'case')} with warnings (amber)")
    return f"{', '.join(parts)}." if parts else ""


def _row(row: PreflightRow) -> Row:
    check = row.check
    problems = sorted(check.problems, key=lambda problem: not problem.blocks)
    more = f" (+{len(problems) - 1})" if len(problems) > 1 else ""
    cells = (
        check.name,
        short_text(problems[0]) + more if problems else "",
        " × ".join(map(str, check.shape)),
        " × ".join(f"{step:.3g}" for step in check.spacing or ()),
        " ".join(map(str, check.values)),
        row.use,
        row.patient,
    )
    help_text = "\n".join(in_the_window(problem.text) for problem in problems)
    file = problems[0].file if problems else None
    return Row(cells, help_text, level_of(problems), file)
