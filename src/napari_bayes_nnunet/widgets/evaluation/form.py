"""The inputs of an evaluation: predictions, reference labels and a folder for the report."""

from __future__ import annotations

import os  # Path.is_dir raises an error if a drive fails
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QWidget

from ...app.evaluation.request import EvaluationRequest
from ..common.dock import CollapsibleSection, column_layout, heading
from ..common.folder_row import FolderRow
from ..common.patient_pattern import PatientForm, labelled_row
from .methods_form import MethodsForm

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

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
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
        rows = [row for row in self.methods.rows if row.path is not None]
        methods = [{"name": row.own_name, "folder": str(row.path)} for row in rows]
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
        self.methods.set_methods([(name, path) for name, path in methods if os.path.isdir(path)])
        for name, path in paths.items():
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
        predictions = self.methods.rows[0].path
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
