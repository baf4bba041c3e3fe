"""Questions before an export: where to write, and whether files may be replaced."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Final

from ...app.prediction.output_files import dicom_file_names
from ...app.review.export import export_files
from ...io.dicom.files import may_hold_dicom
from ..common.settings import Settings, existing
from ..layers.metadata import dicom_path
from .export import ReviewExporter

CHOOSE_OUTPUT: Final = "Choose a folder for labels, numbers and report"
CHOOSE_DICOM_IMAGES: Final = "Choose the DICOM images of this study"
CHOOSE_DICOM_OUTPUT: Final = "Choose a folder for DICOM SEG and SR"
NO_DICOM_IMAGES: Final = (
    "{folder} does not contain DICOM images. DICOM SEG and SR refer to the images that the study "
    "was made from. Choose their folder."
)
CHOOSE_DATASET: Final = "Choose an nnU-Net dataset"


class ExportQuestions:
    """Questions to the reader, after which an exporter does what was asked.

    ``choose_folder`` asks for a folder with a title, starting in a folder ("": next to the study),
    and returns "" for none. Files are offered the folder chosen last. ``may_replace`` is asked with
    the names of existing files, ``may_save`` with a doubt about the review.
    """

    def __init__(
        self,
        viewer: Any,
        *,
        choose_folder: Callable[[str, str], str],
        may_replace: Callable[[Sequence[str]], bool],
        may_save: Callable[[str], bool],
        settings: Settings,
    ) -> None:
        self._viewer = viewer
        self._choose_folder = choose_folder
        self._may_replace = may_replace
        self._may_save = may_save
        self._dicom_paths: dict[str, str] = {}
        self._settings = settings

    def export(self, exporter: ReviewExporter) -> None:
        """Write labels, numbers and report to a folder."""
        chosen = self._choose_output(CHOOSE_OUTPUT)
        if chosen and self._may_write(export_files(exporter.session, Path(chosen))):
            exporter.export_to(Path(chosen))

    def export_dicom(self, exporter: ReviewExporter) -> None:
        """Write DICOM SEG and SR to a folder."""
        doubt = exporter.doubt_about_dicom()
        if doubt and not self._may_save(doubt):
            return
        info = exporter.session.study.info
        images = self.dicom_images(info.case) or self._choose_folder(CHOOSE_DICOM_IMAGES, "")
        if images and not may_hold_dicom(Path(images)):
            exporter.refuse(NO_DICOM_IMAGES.format(folder=images))
            return
        chosen = self._choose_output(CHOOSE_DICOM_OUTPUT) if images else ""
        labels, *reports = dicom_file_names(info.case, info.phases)
        if chosen and self._may_write([Path(chosen) / name for name in (*labels, *reports)]):
            exporter.export_dicom_to(Path(chosen), images=Path(images))

    def add_to_training_set(self, exporter: ReviewExporter) -> None:
        """Add the study to a dataset."""
        chosen = self._choose_folder(CHOOSE_DATASET, "")
        if chosen:
            exporter.add_to_training_set(Path(chosen))

    def dicom_images(self, case: str) -> str:
        """Return the folder of the DICOM images of a case that were open in this window, or ""."""
        path = dicom_path(self._viewer.layers, case)
        if path:
            self._dicom_paths[case] = path
        known = self._dicom_paths.get(case, "")
        return known if known and Path(known).exists() else ""

    def _choose_output(self, title: str) -> str:
        """Return the folder to write to, "" for none."""
        start = existing(self._settings.kept.save_folder)
        chosen = self._choose_folder(title, str(start or ""))
        if chosen:
            self._settings.keep(save_folder=chosen)
        return chosen

    def _may_write(self, files: Sequence[Path]) -> bool:
        """Return whether no file exists, or the reader agrees to replace the files."""
        names = [file.name for file in files if file.exists()]
        return not names or self._may_replace(names)
