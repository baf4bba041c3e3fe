"""What is done with a result of the dock Segment: it is saved, or reviewed as a study."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Any

from napari.layers import Image
from qtpy.QtCore import QObject
from qtpy.QtWidgets import QFileDialog, QMessageBox, QWidget

from ...app import AppError
from ..common.background import Background
from ..common.wording import in_the_window
from ..layers.metadata import layer_voxels
from ..layers.result import SegmentationResult
from .new_study import NOTHING_DONE, ResultStudy, folder_beside, folder_in, study_of
from .run_form import RunForm
from .save import check_savable, result_files, save

PLUGIN, REVIEW = "napari-bayes-nnunet", "Review"


class ResultActions(QObject):
    """Answers the buttons "Save…" and "Review…" of ``run``, and says there what came of it.

    ``chosen`` gives the chosen image and what is known of it, or None.
    """

    def __init__(
        self,
        viewer: Any,
        run: RunForm,
        *,
        chosen: Callable[[], tuple[Image, SegmentationResult] | None],
        parent: QWidget,
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._run = run
        self._chosen = chosen
        self._window = parent
        self._background = Background(self)
        self._makes_study = False
        run.save_requested.connect(self._on_save_requested)
        run.review_requested.connect(self._on_review_requested)

    @property
    def makes_study(self) -> bool:
        """Whether a study is being written."""
        return self._makes_study

    @property
    def _result(self) -> SegmentationResult | None:
        chosen = self._chosen()
        return chosen[1] if chosen is not None else None

    def save_to(self, folder: Path) -> None:
        """Save the result in ``folder``, replacing files of the same names."""
        result = self._result
        if result is None:
            return
        both = self._run.mutual_information.isChecked()
        self._run.say(f"Saving in {folder}…")
        work = partial(save, result, folder, mutual_information=both)
        self._background.run(work, self._on_saved, self._run.say)

    def review_in(self, folder: Path) -> None:
        """Make a study of the result and open it in the dock Review; one begun is gone on with."""
        chosen = self._chosen()
        if chosen is None or self._makes_study:
            return
        layer, result = chosen
        self._makes_study = True  # a second press would write over what is being opened
        self._run.say(f"Making a study in {folder}…")
        work = partial(study_of, result, folder, image=layer_voxels(layer))
        self._background.run(work, self._on_study_made, self._on_no_study_made)

    def _on_save_requested(self) -> None:
        result = self._result
        if result is None or self._refuses(result, None):
            return
        start = str(result.source.parent) if result.source is not None else ""
        chosen = QFileDialog.getExistingDirectory(self._window, f"Save {result.case} in", start)
        if chosen and not self._refuses(result, Path(chosen)) and self._may_replace(Path(chosen)):
            self.save_to(Path(chosen))

    def _on_review_requested(self) -> None:
        result = self._result
        if result is None:
            return
        if not result.posteriors:
            self._run.say(NOTHING_DONE)
            return
        folder = folder_beside(result) or self._ask_for_folder(result)
        if folder is not None:
            self.review_in(folder)

    def _ask_for_folder(self, result: SegmentationResult) -> Path | None:
        """Where the study shall be, if it cannot be beside the image."""
        title = f"A folder for the study of {result.case}"
        chosen = QFileDialog.getExistingDirectory(self._window, title)
        return folder_in(result, Path(chosen)) if chosen else None

    def _on_study_made(self, study: ResultStudy) -> None:
        self._makes_study = False
        self._run.say(study.sentence)
        shown_review(self._viewer).open(study.folder)

    def _on_no_study_made(self, sentence: str) -> None:
        self._makes_study = False
        self._run.say(sentence)

    def _refuses(self, result: SegmentationResult, folder: Path | None) -> bool:
        """Say why the result cannot be saved, if so."""
        try:
            check_savable(result, folder)
        except AppError as error:
            self._run.say(in_the_window(error))
            return True
        return False

    def _may_replace(self, folder: Path) -> bool:
        """Ask where files of the same names are there already."""
        result = self._result
        assert result is not None
        both = self._run.mutual_information.isChecked()
        files = result_files(result, folder, mutual_information=both)
        names = [file.name for file in files if file.exists()]
        if not names:
            return True
        text = f"Replace these files in {folder}?\n\n" + "\n".join(names)
        answer = QMessageBox.question(self._window, "Replace files", text)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _on_saved(self, files: list[Path]) -> None:
        self._run.say(f"Saved {len(files)} files in {files[0].parent}.")


def shown_review(viewer: Any) -> Any:
    """The dock Review, opened where it was not, in front of the others."""
    dock, review = viewer.window.add_plugin_dock_widget(PLUGIN, REVIEW, tabify=True)
    dock.show()  # it may be there, but closed or behind others
    dock.raise_()
    return review
