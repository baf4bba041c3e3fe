"""Which studies are to be segmented: a folder of images, one for the results, and the phases."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

from qtpy.QtCore import Qt
from qtpy.QtWidgets import QComboBox, QWidget

from ..common.dock import form_layout, row_label
from ..common.folder_row import FolderRow
from .command import ALL, ED_AND_ES, results_beside

_IMAGES_HELP = (
    "Everything in this folder and the folders in it is looked through for NIfTI files and DICOM "
    "series. It is only read. It can be dropped on this window."
)
RESULTS_HELP = (
    "Every study gets a folder here, in the same tree as the images: labels, uncertainty and all "
    "that a review needs. cohort.html here sums them up, the worst first."
)
PHASES = {
    ED_AND_ES: (
        "ED and ES",
        "End-diastole and end-systole: those of an Info.cfg beside the image, else found by the "
        "volume of the left ventricle.",
    ),
    ALL: ("All", "Every phase: takes as many times longer as there are phases."),
}


class CohortForm(QWidget):
    """The results are proposed beside the images until another folder is chosen."""

    def __init__(self, parent: QWidget | None = None) -> None:
        super().__init__(parent)
        self._images: Path | None = None
        self.images = FolderRow("Folder of images")
        self.results = FolderRow("Folder for the results")
        self.phases = QComboBox()
        self.images.setToolTip(_IMAGES_HELP)
        self.results.setToolTip(RESULTS_HELP)
        for name, (title, help_text) in PHASES.items():
            self.phases.addItem(title, name)
            last = self.phases.count() - 1
            self.phases.setItemData(last, help_text, Qt.ItemDataRole.ToolTipRole)
        self.phases.setToolTip("Of cines. " + "\n".join(f"{t}: {h}" for t, h in PHASES.values()))
        rows = form_layout(self)
        rows.addRow(row_label("Images"), self.images)
        rows.addRow(row_label("Results"), self.results)
        rows.addRow(row_label("Phases"), self.phases)
        self.images.chosen.connect(self._on_images_chosen)

    def choices(self) -> dict[str, Any]:
        """What is chosen as plain JSON, to be remembered."""
        paths = {"images": self.images.path, "results": self.results.path}
        folders = {name: str(path) for name, path in paths.items() if path is not None}
        return {**folders, "phases": self.phases.currentData()}

    def set_choices(self, kept: Mapping[str, Any]) -> None:
        """Show what `choices` gave. Whether it is still there is seen later: drives can be slow."""
        for name, row in (("images", self.images), ("results", self.results)):
            if isinstance(kept.get(name), str):
                row.set_path(Path(kept[name]))
        self._images = self.images.path
        self.phases.setCurrentIndex(max(self.phases.findData(kept.get("phases")), 0))

    def _on_images_chosen(self, images: Path | None) -> None:
        """The results of other images have no place in the folder of those before."""
        if images is not None and (self._images is not None or self.results.path is None):
            self.results.set_path(results_beside(images))
        self._images = images
