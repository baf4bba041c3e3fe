"""Form for the folders and phases of a cohort."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QWidget

from ..common.dock import form_layout, row_label
from ..common.folder_row import FolderRow
from ..common.form import WheelGuard
from .command import ALL, ED_AND_ES, propose_results

_IMAGES_HELP = (
    "Folder that is searched, with its subfolders, for NIfTI files and DICOM series. It is only "
    "read."
)
RESULTS_HELP = (
    "Folder for a study per image, in the same subfolders as the images, and for the summary "
    "cohort.html."
)
PHASES = {
    ED_AND_ES: (
        "ED and ES",
        "End-diastole and end-systole, from an Info.cfg next to the image or found by the volume "
        "of the left ventricle.",
    ),
    ALL: ("All", "Every phase. The time grows with the number of phases."),
}
_PHASES_HELP = "Phases of cines to segment."


class CohortForm(QWidget):
    """Folders of the images and the results, and the phases to segment.

    New images set the results to a folder next to them.
    """

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._images: Path | None = None
        self.images = FolderRow("Folder of images")
        self.results = FolderRow("Folder for the results")
        self.phases = QComboBox()
        self.phases.installEventFilter(WheelGuard(self.phases))
        self.images.setToolTip(_IMAGES_HELP)
        self.results.setToolTip(RESULTS_HELP)
        for name, (title, help_text) in PHASES.items():
            self.phases.addItem(title, name)
            last = self.phases.count() - 1
            self.phases.setItemData(last, help_text, Qt.ItemDataRole.ToolTipRole)
        self.phases.setToolTip(_PHASES_HELP)
        rows = form_layout(self)
        rows.addRow(row_label("Images"), self.images)
        rows.addRow(row_label("Results"), self.results)
        rows.addRow(row_label("Phases"), self.phases)
        self.images.chosen.connect(self._on_images_chosen)

    def choices(self) -> dict[str, Any]:
        """Return the choices as plain JSON, to be saved."""
        paths = {"images": self.images.path, "results": self.results.path}
        folders = {name: str(path) for name, path in paths.items() if path is not None}
        return {**folders, "phases": self.phases.currentData()}

    def set_choices(self, kept: Mapping[str, Any]) -> None:
        """Show saved choices; whether the folders exist is checked at the start of a run."""
        for name, row in (("images", self.images), ("results", self.results)):
            if isinstance(kept.get(name), str) and kept[name]:
                row.set_path(Path(kept[name]))
        self._images = self.images.path
        self.phases.setCurrentIndex(max(self.phases.findData(kept.get("phases")), 0))

    def _on_images_chosen(self, images: Path | None) -> None:
        """Propose a folder for the results; other images need another one."""
        if images is not None and (self._images is not None or self.results.path is None):
            self.results.set_path(propose_results(images))
        self._images = images
