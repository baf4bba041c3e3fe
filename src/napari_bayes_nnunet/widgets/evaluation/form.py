"""What the dock Evaluate needs: predictions, reference labels, and a folder for the report."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Signal
from qtpy.QtWidgets import QVBoxLayout, QWidget

from ...app.evaluation.request import EvaluationRequest
from ..common.dock import CollapsibleSection, heading
from ..common.folder_row import FolderRow
from ..common.patient_pattern import PatientForm, labelled_row
from .methods_form import MethodsForm

NO_LABELS = "Choose the folder of the reference labels."
LABELS_HELP = (
    "Labels drawn by people: NAME.nii.gz or NAME_gt.nii.gz for a case called NAME, with the "
    "dataset.json that says what their numbers mean. A groups.csv beside them (case, vendor, …) "
    "divides the tables."
)
_IMAGES_HELP = (
    "For the pictures of the best and the worst cases; not needed. By default the folder beside "
    "the labels that is called like it: imagesTr for labelsTr."
)
REPORT_HELP = (
    "report.html, cases.csv and summary.json are written here; by default beside the predictions."
)
PATIENT_HELP = (
    "All volumes of a patient are alike, so intervals are drawn over patients. Say which part of a "
    "case's name names the patient."
)


class EvaluationForm(QWidget):
    """``changed`` tells that something else is asked for, or that something is missing."""

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
            row.chosen.connect(self._on_changed)
        self.patient.changed.connect(self.changed)

    @property
    def missing(self) -> str:
        """What is still missing, in one sentence; "" when nothing is."""
        if self.methods.problem:
            return self.methods.problem
        if self.labels.path is None:
            return NO_LABELS
        return self.patient.problem

    def request(self) -> EvaluationRequest | None:
        """What the form says, None while something is missing."""
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
        """The folders as plain JSON, to be remembered; what the dock has set itself is left out."""
        own = {"labels": self.labels.path, "images": self.images.path}
        if self._has_own_report:
            own["report"] = self.report.path
        rows = [row for row in self.methods.rows if row.path is not None]
        methods = [{"name": row.own_name, "folder": str(row.path)} for row in rows]
        return {"methods": methods, **{n: str(path) for n, path in own.items() if path is not None}}

    def set_folders(self, kept: Mapping[str, Any]) -> None:
        """Show what `folders` gave, as far as it is still there."""
        try:
            methods = [(str(one["name"]), Path(one["folder"])) for one in kept.get("methods", [])]
            paths = {
                row: Path(kept[name])
                for row, name in ((self.labels, "labels"), (self.images, "images"))
                if name in kept
            }
            report = Path(kept["report"]) if "report" in kept else None
        except (TypeError, KeyError, AttributeError):  # someone else has written the file
            return
        self.methods.set_methods([(name, path) for name, path in methods if path.is_dir()])
        for row, path in paths.items():
            if path.is_dir():
                row.choose(path)
        if report is not None:
            self.report.choose(report)

    def _lay_out(self) -> None:
        column = QVBoxLayout(self)
        column.setContentsMargins(0, 0, 0, 0)
        column.addWidget(heading("Predictions"))
        column.addWidget(self.methods)
        column.addWidget(heading("Reference"))
        column.addLayout(labelled_row("Labels", self.labels))
        column.addLayout(labelled_row("Images", self.images))
        column.addWidget(heading("Report"))
        column.addLayout(labelled_row("Folder", self.report))
        column.addWidget(self.more)

    def _on_changed(self, _: object) -> None:
        self.changed.emit()

    def _on_methods_changed(self) -> None:
        predictions = self.methods.rows[0].path
        if not self._has_own_report:
            self.report.set_path(None if predictions is None else report_beside(predictions))
        self.changed.emit()

    def _on_report_chosen(self, path: Path | None) -> None:
        """The user's own folder; one that is cleared is set beside the predictions again."""
        self._has_own_report = path is not None
        self._on_methods_changed()


def report_beside(predictions: Path) -> Path:
    """Where the report of a folder of predictions is put, unless somewhere else is asked for."""
    folder = predictions.absolute()
    return folder.with_name(f"{folder.name}_report") if folder.name else folder / "report"
