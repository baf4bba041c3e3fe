"""Saving and reviewing of a result of the Segment dock."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from napari.layers import Image
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from ...app import AppError
from ...core.ensemble.maps import ENTROPY
from ...io import DataError
from ...io.study.study import HAS_CORRECTIONS, OTHER_FILES, UNUSABLE_FOLDER, UNWRITABLE_STUDY
from ..common.background import Background
from ..common.dock import raise_dock
from ..common.settings import Settings, existing
from ..common.wording import in_the_window
from ..layers.metadata import layer_voxels
from ..layers.result import SegmentationResult
from .new_study import (
    NOTHING_DONE,
    ResultStudy,
    default_study_folder,
    folder_of_image,
    make_result_study,
    study_folder_in,
)
from .run_form import RunForm
from .save import check_savable, replaced_files, save_result

REVIEW_DOCK = "Review"
FILES_SAVED = "Saved {count} files in {folder}."
MAKING_STUDY = "Writing a study to {folder}…"
STILL_WRITING = "The result is still being saved. Segment again when this has ended."
REPLACE_FILES = "Replace these files in {folder}?\n\n{names}"
_ANOTHER_FOLDER: Final = (OTHER_FILES, UNUSABLE_FOLDER, UNWRITABLE_STUDY, HAS_CORRECTIONS)
"""Problems of a folder that say to choose another one."""


def import_review_dock() -> None:
    """Import the Review dock, which takes 0.15 s; in a thread, so that it opens quickly."""
    import_module("..review.dock", __package__)


class ResultActions(QObject):
    """Handler of the buttons "Save…" and "Review…" of ``run``, which also shows the outcome.

    ``chosen`` returns the chosen image and its result, or None.
    """

    def __init__(
        self,
        viewer: Any,
        run: RunForm,
        settings: Settings,
        *,
        chosen: Callable[[], tuple[Image, SegmentationResult] | None],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._run = run
        self._settings = settings
        self._chosen = chosen
        self._window = parent
        self._background = Background(self)
        self._makes_study = False
        run.save_requested.connect(self._on_save_requested)
        run.review_requested.connect(self._on_review_requested)

    @property
    def _result(self) -> SegmentationResult | None:
        chosen = self._chosen()
        return chosen[1] if chosen is not None else None

    def check_nothing_is_written(self) -> None:
        """Raise AppError while a thread reads a result, which a segmentation would change."""
        if self._background.is_busy:
            raise AppError(STILL_WRITING)

    def save_to(self, folder: Path) -> None:
        """Save the result in ``folder``, replacing files of the same names."""
        result = self._result
        if result is None:
            return
        maps = dict.fromkeys([ENTROPY.name, self._run.shown_map.name])
        self._run.show_messages(f"Saving in {folder}…")
        work = partial(save_result, result, folder, maps=maps)
        self._background.run(work, self._on_saved, self._run.show_messages)

    def review_in(self, folder: Path) -> None:
        """Open the study of the result in the Review dock; write it unless its review has begun."""
        if (chosen := self._chosen()) is not None:
            self._make_study(*chosen, folder)

    def _make_study(
        self, layer: Image, result: SegmentationResult, folder: Path, *, may_ask: bool = False
    ) -> None:
        """Make the study and open it; with ``may_ask``, ask for another folder if needed."""
        if self._makes_study:
            return
        self._makes_study = True  # a second press would overwrite the study that is being opened
        self._run.show_messages(MAKING_STUDY.format(folder=folder))
        make = _make_study_or_refuse if may_ask else make_result_study
        work = partial(make, result, folder, image=layer_voxels(layer))
        made = partial(self._on_study_made, layer, result)
        self._background.run(work, made, self._on_no_study_made)

    def _on_save_requested(self) -> None:
        result = self._result
        if result is None or self._refuses(result, None):
            return
        folder = self._ask_for_folder(f"Save {result.case} in", folder_of_image(result))
        if folder is None or self._refuses(result, folder) or not self._may_replace(folder):
            return
        self._settings.keep(save_folder=str(folder))
        self.save_to(folder)

    def _on_review_requested(self) -> None:
        chosen = self._chosen()
        if chosen is None:
            return
        layer, result = chosen
        if not result.posteriors:
            self._run.show_messages(NOTHING_DONE)
        elif (default := default_study_folder(result)) is not None:
            self._make_study(layer, result, default, may_ask=True)
        else:
            self._make_study_elsewhere(layer, result)

    def _make_study_elsewhere(self, layer: Image, result: SegmentationResult) -> None:
        folder = self._ask_for_study_folder(result)
        if folder is not None:
            self._make_study(layer, result, folder)

    def _ask_for_study_folder(self, result: SegmentationResult) -> Path | None:
        """Ask for the folder of a study that cannot be next to the image."""
        folder = self._ask_for_folder(f"Folder for the study of {result.case}")
        if folder is None:
            return None
        self._settings.keep(save_folder=str(folder))
        return study_folder_in(result, folder)

    def _ask_for_folder(self, title: str, start: Path | None = None) -> Path | None:
        """Ask for a folder, from ``start`` on, or else from the one that was chosen last."""
        start = start or existing(self._settings.kept.save_folder) or Path.home()
        chosen = QFileDialog.getExistingDirectory(self._window, title, str(start))
        return Path(chosen) if chosen else None

    def _on_study_made(
        self, layer: Image, result: SegmentationResult, study: ResultStudy | DataError
    ) -> None:
        """Open the study, or ask for another folder if this one was refused."""
        self._makes_study = False
        if isinstance(study, DataError):
            self._run.show_messages(in_the_window(study))
            self._make_study_elsewhere(layer, result)
            return
        self._run.show_messages(study.sentence)
        raise_dock(self._viewer, self._window, REVIEW_DOCK).open(study.folder)

    def _on_no_study_made(self, sentence: str) -> None:
        self._makes_study = False
        self._run.show_messages(sentence)

    def _refuses(self, result: SegmentationResult, folder: Path | None) -> bool:
        """Show why the result cannot be saved and return True, or return False."""
        try:
            check_savable(result, folder)
        except AppError as error:
            self._run.show_messages(in_the_window(error))
            return True
        return False

    def _may_replace(self, folder: Path) -> bool:
        """Return True if no file would be replaced or deleted, or if the user agrees."""
        result = self._result
        assert result is not None
        names = [file.name for file in replaced_files(result, folder)]
        if not names:
            return True
        text = REPLACE_FILES.format(folder=folder, names="\n".join(names))
        answer = QMessageBox.question(self._window, "Replace files", text)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _on_saved(self, files: list[Path]) -> None:
        self._run.show_messages(FILES_SAVED.format(count=len(files), folder=files[0].parent))


def _make_study_or_refuse(
    result: SegmentationResult, folder: Path, *, image: Any
) -> ResultStudy | DataError:
    """Return the study, or the problem if the folder cannot be used; call it in a thread."""
    try:
        return make_result_study(result, folder, image=image)
    except DataError as error:
        if error.statement.template in _ANOTHER_FOLDER:
            return error
        raise
