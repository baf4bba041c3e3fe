"""The inputs of an evaluation: predictions, reference labels and a folder for the report."""

from __future__ import annotations

import os  # Path.is_dir raises an error if a drive fails
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QLineEdit, QPushButton, QWidget

from ...app.evaluation.request import DUPLICATE_METHOD, EvaluationRequest
from ..common.dock import CollapsibleSection, ThemeFont, column_layout, heading
from ..common.folder_row import FolderRow
from ..common.patient_pattern import PatientForm, labelled_row

NO_PREDICTIONS = "Choose the folder of the predictions."
NO_OTHERS = "Choose the folder of the predictions to compare with, or remove the row (×)."


class MethodsForm(QWidget):
    """A row for each method. ``changed`` is emitted after every edit."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self.rows: list[MethodRow] = []
        self.add_button = QPushButton("Compare with another method")
        self.add_button.setToolTip(
            "Add predictions of the same cases by another method, such as a single network."
        )
        self._column = column_layout(self, self.add_button)
        self._column.setSpacing(10)
        self.add_button.clicked.connect(self._on_add_clicked)
        self.add_row()

    @property
    def methods(self) -> dict[str, Path]:
        """Name → folder of each row that has a folder; the others are compared with the first."""
        return {row.name: path for row in self.rows if (path := row.folder.path) is not None}

    @property
    def problem(self) -> str:
        """A sentence on what is missing or wrong, "" if nothing is."""
        if self.rows[0].folder.path is None:
            return NO_PREDICTIONS
        if any(row.folder.path is None for row in self.rows):
            return NO_OTHERS
        names = [row.name for row in self.rows]
        duplicate = next((name for name in names if names.count(name) > 1), "")
        return DUPLICATE_METHOD.format(name=duplicate) if duplicate else ""

    def set_methods(self, methods: Sequence[tuple[str, Path]]) -> None:
        """Show (name, folder) pairs; the name "" stands for that of the folder."""
        while len(self.rows) > max(1, len(methods)):
            self._on_remove_requested(self.rows[-1])
        while len(self.rows) < len(methods):
            self.add_row()
        for row, (name, path) in zip(self.rows, methods, strict=False):
            row.choose(path, name)

    def add_row(self) -> MethodRow:
        """Add an empty row after the others, in the Tab order too."""
        row = MethodRow(removable=bool(self.rows))
        self._column.insertWidget(len(self.rows), row)
        previous = self.rows[-1].remove_button if self.rows else None
        self.rows.append(row)
        order = (row.folder.edit, row.folder.button, row.name_edit, row.remove_button)
        for part in (*order, self.add_button):
            if previous is not None:
                self.setTabOrder(previous, part)
            previous = part
        row.changed.connect(self.changed)
        row.remove_requested.connect(self._on_remove_requested)
        return row

    def _on_add_clicked(self) -> None:
        self.add_row().folder.edit.setFocus()
        self.changed.emit()

    def _on_remove_requested(self, row: MethodRow) -> None:
        self.rows.remove(row)
        self._column.removeWidget(row)
        # Until the event loop deletes it, the row would still be seen.
        row.hide()
        row.deleteLater()
        # The focus was in the row, and Qt would give it to any field.
        self.add_button.setFocus()
        self.changed.emit()


_FOLDER_HELP = (
    "Folder written by “bayes-nnunet predict” or “nnUNetv2_predict”. Without saved probabilities, "
    "Dice is measured but calibration is not."
)
NAME_HELP = "Name of the method in tables and figures, by default that of its folder."
_NAME_HINT = "Name of the folder"


class MethodRow(QWidget):
    """Folder and name of one method. ``remove_requested`` carries this row."""

    changed = Signal()
    remove_requested = Signal(object)

    def __init__(self, *, removable: bool = False) -> None:
        super().__init__()
        self.folder = FolderRow("Folder of predictions")
        self.name_edit = QLineEdit()
        ThemeFont(self.name_edit)
        self.remove_button = QPushButton("×")
        self.folder.setToolTip(_FOLDER_HELP)
        self.name_edit.setToolTip(NAME_HELP)
        self.name_edit.setPlaceholderText(_NAME_HINT)
        self.name_edit.setAccessibleName("Name of the method")
        self.remove_button.setToolTip("Remove this method.")
        self.remove_button.setAccessibleName("Remove this method")
        self.remove_button.setFixedWidth(28)
        self.remove_button.setVisible(removable)
        folder = labelled_row("Compare" if removable else "Folder", self.folder)
        column_layout(self, folder, labelled_row("Name", self.name_edit, self.remove_button))
        self.folder.chosen.connect(self._on_chosen)
        self.name_edit.textChanged.connect(self.changed)
        self.remove_button.clicked.connect(lambda: self.remove_requested.emit(self))

    @property
    def own_name(self) -> str:
        """The name typed by the user, "" if the folder's name is used."""
        return str(self.name_edit.text()).strip()

    @property
    def name(self) -> str:
        """Name of the method, "" if it has neither a name nor a folder."""
        return self.own_name or _folder_name(self.folder.path)

    def choose(self, path: Path | None, name: str = "") -> None:
        """Set folder and name as if the user had entered them."""
        self.name_edit.setText(name)
        self.folder.choose(path)

    def _on_chosen(self, path: Path | None) -> None:
        self.name_edit.setPlaceholderText(_folder_name(path) or _NAME_HINT)
        self.changed.emit()


def _folder_name(path: Path | None) -> str:
    return "" if path is None else path.absolute().name or str(path)


NO_LABELS = "Choose the folder of the reference labels."
LABELS_HELP = (
    "NAME.nii.gz or NAME_gt.nii.gz for each case NAME, and dataset.json with the names of the "
    "labels. A groups.csv (case, vendor, …) splits the tables."
)
_IMAGES_HELP = (
    "Images for the pictures of the best and worst cases. By default the matching folder next to "
    "the labels, such as imagesTr for labelsTr."
)
REPORT_HELP = (
    "Folder for report.html, cases.csv and summary.json. By default next to the predictions."
)
PATIENT_HELP = (
    "Confidence intervals are computed over patients. Choose the part of the case name that "
    "identifies the patient."
)


class EvaluationForm(QWidget):
    """The inputs of an evaluation. ``changed`` is emitted after every edit."""

    changed = Signal()

    def __init__(self) -> None:
        super().__init__()
        self._has_own_report = False
        self.methods = MethodsForm()
        self.labels = FolderRow("Folder of reference labels")
        self.images = FolderRow("Folder of images", hint="Optional")
        self.report = FolderRow("Folder for the report", hint="Automatic")
        self.patient = PatientForm()
        self.more = CollapsibleSection("More", self.patient)
        self.labels.setToolTip(LABELS_HELP)
        self.images.setToolTip(_IMAGES_HELP)
        self.report.setToolTip(REPORT_HELP)
        self.patient.choice.setToolTip(PATIENT_HELP)
        self._lay_out()
        self.methods.changed.connect(self._on_methods_changed)
        self.report.chosen.connect(self._on_report_chosen)
        for row in (self.labels, self.images):
            row.chosen.connect(self.changed)
        self.patient.changed.connect(self.changed)

    @property
    def missing(self) -> str:
        """A sentence on the first missing or invalid input, "" if there is none."""
        if self.methods.problem:
            return self.methods.problem
        if self.labels.path is None:
            return NO_LABELS
        return self.patient.problem

    def request(self) -> EvaluationRequest | None:
        """Return the request, or None while an input is missing."""
        labels, report, pattern = self.labels.path, self.report.path, self.patient.pattern
        if self.missing or labels is None or report is None or pattern is None:
            return None
        return EvaluationRequest(
            methods=self.methods.methods,
            labels=labels,
            report=report,
            images=self.images.path,
            patient=pattern,
        )

    def folders(self) -> dict[str, Any]:
        """Return the folders the user chose, as plain JSON."""
        chosen = {"labels": self.labels.path, "images": self.images.path}
        if self._has_own_report:
            chosen["report"] = self.report.path
        rows = [row for row in self.methods.rows if row.folder.path is not None]
        methods = [{"name": row.own_name, "folder": str(row.folder.path)} for row in rows]
        return {"methods": methods, **{k: str(path) for k, path in chosen.items() if path}}

    def set_folders(self, saved: Mapping[str, Any]) -> None:
        """Show the folders that `folders` returned, except those that no longer exist."""
        try:
            methods = [
                (str(m["name"]), Path(m["folder"])) for m in saved.get("methods", []) if m["folder"]
            ]
            paths = {
                name: Path(saved[name])
                for name in ("labels", "images", "report")
                if saved.get(name)
            }
        except (TypeError, KeyError, AttributeError):  # the settings file was edited by hand
            return
        # Unlike Path.is_dir, this raises nothing for a drive that has failed.
        self.methods.set_methods([(name, path) for name, path in methods if os.path.isdir(path)])
        for name, path in paths.items():
            # The folder of a report is made when it is written.
            if name == "report" or os.path.isdir(path):
                getattr(self, name).choose(path)

    def _lay_out(self) -> None:
        rows = labelled_row("Labels", self.labels), labelled_row("Images", self.images)
        folder = labelled_row("Folder", self.report)
        column_layout(
            self,
            *(heading("Predictions"), self.methods),
            *(heading("Reference"), *rows),
            *(heading("Report"), folder, self.more),
        )

    def _on_methods_changed(self) -> None:
        predictions = self.methods.rows[0].folder.path
        if not self._has_own_report:
            self.report.set_path(None if predictions is None else default_report(predictions))
        self.changed.emit()

    def _on_report_chosen(self, path: Path | None) -> None:
        """Keep the chosen folder; if it was cleared, use the default again."""
        self._has_own_report = path is not None
        self._on_methods_changed()


def default_report(predictions: Path) -> Path:
    """Return the default folder of the report, next to the predictions."""
    folder = predictions.absolute()
    return folder.with_name(f"{folder.name}_report") if folder.name else folder / "report"
