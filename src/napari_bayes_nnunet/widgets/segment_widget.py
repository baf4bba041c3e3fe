"""The dock "Segment": an ensemble, an image, and labels with uncertainty over it."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import Any

from napari.layers import Image
from qtpy.QtGui import QDragEnterEvent, QDropEvent, QShowEvent
from qtpy.QtWidgets import (
    QDockWidget,
    QFileDialog,
    QMessageBox,
    QVBoxLayout,
    QWidget,
)

from ..app import AppError
from ..app.case_files import FOUND_BY_VOLUME, INFO_CFG
from ..core.cardiac import canonical_structure
from ..io import DataError
from ..io.ensemble_folder import EnsembleFolder
from .background import Background
from .child_process import COMMAND, InferenceChild
from .dock_layout import WIDTH, heading, line, scrolling
from .docked import Docked
from .ensemble_form import EnsembleForm
from .image_form import ImageForm
from .image_input import ImageInput, case_of, geometry_of_layer, source_of, voxels_of
from .layers import prepare, put_result, refresh_result, show_mutual_information
from .method_form import MethodForm
from .new_study import NOTHING_DONE, ResultStudy, folder_beside, folder_in, study_of
from .patient_letters import PatientLetters
from .result import Question, Result
from .run_form import RunForm
from .saving import check_savable, files_of, save
from .segmentation_job import FAILED, FINISHED, SegmentationJob, clock
from .settings import Settings
from .viewing import current_phase, go_to_phase, turn

PLUGIN, REVIEW = "napari-bayes-nnunet", "Review"
NO_LV = "ED and ES are found by the LV, which this ensemble does not segment."


class SegmentWidget(Docked):
    """Coordinates the forms, the child process and the layers; each of them does its own part."""

    def __init__(
        self,
        napari_viewer: Any,
        *,
        command: Sequence[str] = COMMAND,
        settings: Settings | None = None,
        demo: Path | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._results: dict[Any, Result] = {}
        self._turned: set[Any] = set()
        self._running: Image | None = None
        self._is_first = False
        self._makes_study = False
        self._started = 0.0
        self._dock: QDockWidget | None = None
        self.child = InferenceChild(command)
        self.job = SegmentationJob(self.child, parent=self)
        settings = settings or Settings()
        self.ensemble = EnsembleForm(settings, demo=demo)
        self.image = ImageForm(napari_viewer)
        self.method = MethodForm(settings)
        self.run = RunForm()
        self._letters = PatientLetters(napari_viewer)
        self._background = Background(self)
        self._lay_out()
        self._connect()
        self._on_image_changed(self.image.layer)

    @property
    def result(self) -> Result | None:
        """What is known of the chosen image."""
        layer = self.image.layer
        return self._results.get(layer.unique_id) if layer is not None else None

    def segment(self) -> None:
        """Segment the chosen image as the forms say; what is missing is said in the dock."""
        if self.job.is_running:
            return
        try:
            image = self.image.image()
            question = self._question()
        except (AppError, DataError) as error:
            self.run.say(str(error))
            return
        self._running, self._is_first = self.image.layer, True
        self._started = perf_counter()
        result = self._result_for(image, question)
        self._background.run(prepare, _ignore, _ignore)
        self.run.say()
        self.run.set_running(True)
        self.job.start(image, result, device=self.method.device_name)
        self._offer_result()

    def save_to(self, folder: Path) -> None:
        """Save the result of the chosen image in ``folder``, replacing files of the same names."""
        result = self.result
        if result is None:
            return
        both = self.run.mutual_information.isChecked()
        self.run.say(f"Saving in {folder}…")
        work = partial(save, result, folder, mutual_information=both)
        self._background.run(work, self._on_saved, self.run.say)

    def review_in(self, folder: Path) -> None:
        """Make a study of the result and open it in the dock Review; one begun is gone on with."""
        result, layer = self.result, self.image.layer
        if result is None or layer is None or self._makes_study:
            return
        self._makes_study = True  # a second press would write over what is being opened
        self.run.say(f"Making a study in {folder}…")
        work = partial(study_of, result, folder, image=voxels_of(layer))
        self._background.run(work, self._on_study_made, self._on_no_study_made)

    def close_child(self) -> None:
        """Stop what runs and end the child process; showing the dock starts another."""
        self.job.forget()
        self.child.close()

    def _question(self) -> Question:
        folder, path = self.ensemble.folder, self.ensemble.path
        if folder is None or path is None:
            raise AppError("Choose an ensemble first.")
        if not folder.usable:
            raise AppError(f"{folder.name} holds no usable member; see the table.")
        return Question(
            folder=path,
            ensemble=folder.name,
            method=self.method.method.currentData(),
            members=self.method.members.value(),
            mirroring=self.method.mirroring.currentData(),
            temperature=self.method.temperature.value(),
        )

    def _result_for(self, image: ImageInput, question: Question) -> Result:
        """The image's result so far, if the question is the same, else a new one."""
        layer, folder = self.image.layer, self.ensemble.folder
        assert layer is not None
        assert folder is not None
        result = self._results.get(layer.unique_id)
        if result is None or result.question != question or not _same_grid(result, image):
            result = Result(
                case=case_of(layer),
                shape=image.shape,
                classes=len(folder.labels),
                structures={name: label for name, label in folder.labels.items() if label},
                question=question,
                source=source_of(layer),
                geometry=geometry_of_layer(layer),
                spacing=image.spacing,
            )
        if self.image.known_phases is not None:
            result.known_phases = self.image.known_phases
            result.phases_from = INFO_CFG
        return result

    def _lay_out(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        for title, form in (
            ("Ensemble", self.ensemble),
            ("Image", self.image),
            ("Options", self.method),
            ("", self.run),
        ):
            column.addWidget(heading(title) if title else line())
            column.addWidget(form)
        column.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(scrolling(content))
        self.setMinimumWidth(WIDTH)
        self.setAcceptDrops(True)

    def _connect(self) -> None:
        self.ensemble.ensemble_changed.connect(self._on_ensemble_changed)
        self.ensemble.found.connect(self._on_ensemble_found)
        self.image.image_changed.connect(self._on_image_changed)
        self.run.segment_requested.connect(self.segment)
        self.run.stop_requested.connect(self.job.stop)
        self.run.save_requested.connect(self._on_save_requested)
        self.run.review_requested.connect(self._on_review_requested)
        self.run.mutual_information_toggled.connect(self._on_mutual_information_toggled)
        self.method.remote.test_requested.connect(self.job.test)
        self.job.devices_found.connect(self.method.set_devices)
        self.job.connection_tested.connect(self.method.remote.show_test)
        self.job.members_refused.connect(self.ensemble.refuse)
        self.job.stage_started.connect(self.run.show_stage)
        self.job.progressed.connect(self.run.show_progress)
        self.job.noticed.connect(self.run.say_also)
        self.job.phases_found.connect(self._on_phases_found)
        self.job.result_grown.connect(self._on_result_grown)
        self.job.ended.connect(self._on_ended)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        # The child is no Qt child of this widget, so that it can still be told when that is gone.
        self.destroyed.connect(self.child.close)

    def _on_ensemble_changed(self, folder: EnsembleFolder | None) -> None:
        self.method.set_ensemble(folder)
        if folder is None:
            return
        self.image.set_channels(folder.channels)
        knows_lv = any(canonical_structure(name) == "LV" for name in folder.labels)
        self.image.set_finds_phases("" if knows_lv else NO_LV)

    def _on_ensemble_found(self, path: Path) -> None:
        self.job.look_into(path, self.method.device_name)

    def _on_image_changed(self, layer: Image | None) -> None:
        self._letters.set_layer(layer)
        self._offer_result()
        if layer is not None and layer.unique_id not in self._turned:
            self._turned.add(layer.unique_id)
            turn(self._viewer, layer)

    def _on_phases_found(self, ed: int, es: int) -> None:
        self.run.say_also(f"ED is phase {ed}, ES is phase {es} ({FOUND_BY_VOLUME}).")

    def _on_result_grown(self, result: Result, phase: int | None) -> None:
        layer = self._running
        if layer is None or layer not in self._viewer.layers:
            return
        if self._is_first:
            self._show_first(layer, result, phase)
        else:
            refresh_result(self._viewer, layer, result)

    def _show_first(self, layer: Image, result: Result, phase: int | None) -> None:
        """Put the layers there, and go where there is something to see."""
        self._is_first = False
        self._results[layer.unique_id] = result
        both = self.run.mutual_information.isChecked()
        put_result(self._viewer, layer, result, mutual_information=both)
        if phase is not None and current_phase(self._viewer, layer) not in result.phases:
            go_to_phase(self._viewer, layer, phase)

    def _offer_result(self) -> None:
        """While a job runs, its result is not yet one to be saved."""
        result = None if self.job.is_running else self.result
        self.run.set_result(result.largest_entropy if result is not None else None)

    def _on_ended(self, outcome: str, sentence: str) -> None:
        self.run.set_running(False)
        self._offer_result()
        result = self._results.get(self._running.unique_id) if self._running else None
        kept = " What was found is kept." if result is not None and not self._is_first else ""
        took = clock(perf_counter() - self._started)
        words = {FINISHED: f"Finished in {took}.", FAILED: sentence}
        self.run.say_also(words.get(outcome, f"Stopped.{kept}"))
        self._running = None
        for warning in _warnings(result) if outcome == FINISHED else ():
            self.run.say_also(warning)

    def _on_layer_removed(self, event: Any) -> None:
        self._results.pop(event.value.unique_id, None)
        if event.value is self._running:
            self.job.stop()
            self.run.say("The image was removed.")

    def _on_mutual_information_toggled(self, shown: bool) -> None:
        layer, result = self.image.layer, self.result
        if layer is not None and result is not None:
            show_mutual_information(self._viewer, layer, result, shown)

    def _on_save_requested(self) -> None:
        result = self.result
        if result is None or self._refuses(result, None):
            return
        start = str(result.source.parent) if result.source is not None else ""
        chosen = QFileDialog.getExistingDirectory(self, f"Save {result.case} in", start)
        if chosen and not self._refuses(result, Path(chosen)) and self._may_replace(Path(chosen)):
            self.save_to(Path(chosen))

    def _on_review_requested(self) -> None:
        result = self.result
        if result is None:
            return
        if not result.posteriors:
            self.run.say(NOTHING_DONE)
            return
        folder = folder_beside(result) or self._ask_for_folder(result)
        if folder is not None:
            self.review_in(folder)

    def _ask_for_folder(self, result: Result) -> Path | None:
        """Where the study shall be, if it cannot be beside the image."""
        title = f"A folder for the study of {result.case}"
        chosen = QFileDialog.getExistingDirectory(self, title)
        return folder_in(result, Path(chosen)) if chosen else None

    def _on_study_made(self, study: ResultStudy) -> None:
        self._makes_study = False
        self.run.say(study.sentence)
        dock, review = self._viewer.window.add_plugin_dock_widget(PLUGIN, REVIEW, tabify=True)
        dock.show()  # it may be there, but closed or behind others
        dock.raise_()
        review.open(study.folder)

    def _on_no_study_made(self, sentence: str) -> None:
        self._makes_study = False
        self.run.say(sentence)

    def _refuses(self, result: Result, folder: Path | None) -> bool:
        """Say why the result cannot be saved, if so."""
        try:
            check_savable(result, folder)
        except AppError as error:
            self.run.say(str(error))
            return True
        return False

    def _may_replace(self, folder: Path) -> bool:
        """Ask where files of the same names are there already."""
        assert self.result is not None
        both = self.run.mutual_information.isChecked()
        files = files_of(self.result, folder, mutual_information=both)
        names = [file.name for file in files if file.exists()]
        if not names:
            return True
        text = f"Replace these files in {folder}?\n\n" + "\n".join(names)
        answer = QMessageBox.question(self, "Replace files", text)
        return bool(answer == QMessageBox.StandardButton.Yes)

    def _on_saved(self, files: list[Path]) -> None:
        self.run.say(f"Saved {len(files)} files in {files[0].parent}.")

    def showEvent(self, event: QShowEvent) -> None:
        """Start the child, so that it finds the devices while the user chooses."""
        super().showEvent(event)
        self.child.start()

    def _on_dock_closed(self) -> None:
        self.close_child()

    def dragEnterEvent(self, event: QDragEnterEvent) -> None:
        """Accept folders; image files go on to the viewer."""
        if dropped_folder(event) is not None:
            event.acceptProposedAction()

    def dropEvent(self, event: QDropEvent) -> None:
        """Take the dropped folder as ensemble."""
        folder = dropped_folder(event)
        if folder is not None:
            self.ensemble.choose(folder)
            event.acceptProposedAction()

    def _on_taken_out(self) -> None:
        self.close_child()
        self._letters.close()
        self.image.close_events()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)


def dropped_folder(event: QDropEvent) -> Path | None:
    """The one folder, or file of weights, that is dropped."""
    urls = event.mimeData().urls()
    path = Path(urls[0].toLocalFile()) if len(urls) == 1 and urls[0].isLocalFile() else None
    return path if path is not None and (path.is_dir() or path.suffix == ".pth") else None


def _same_grid(result: Result, image: ImageInput) -> bool:
    return (result.shape, result.spacing) == (image.shape, image.spacing)


def _warnings(result: Result | None) -> list[str]:
    """What the reports of the phases warn of, each once."""
    reports = [state.report for state in result.phases.values()] if result is not None else []
    found = [
        sentence
        for report in reports
        if report is not None
        for key in ("warnings", "notes")
        for sentence in report.get(key, [])
    ]
    return list(dict.fromkeys(found))


def _ignore(_: object) -> None:
    """What nobody waits for has ended."""
