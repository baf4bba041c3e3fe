"""The Segment dock."""

from __future__ import annotations

from collections.abc import Sequence
from functools import partial
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any

from napari.layers import Image
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import QMainWindow, QVBoxLayout, QWidget

from ...app import AppError
from ...app.messages import FINISHED, STOPPED
from ...app.prediction.output_files import FOUND_BY_VOLUME
from ...core.command import BAYES_NNUNET
from ...core.durations import duration_text
from ...core.heart.measurements import canonical_structure
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ..cohort.command import CohortSettings
from ..cohort.process import CohortRun
from ..common.background import Background
from ..common.display_form import DisplayForm
from ..common.dock import (
    CollapsibleSection,
    DockContent,
    FittingScrollArea,
    MessageLabel,
    heading,
    line,
    raise_dock,
)
from ..common.folder_drop import FolderDrop
from ..common.settings import Settings, open_settings
from ..common.window_thread import ShortCollections
from ..common.wording import in_the_window
from ..layers.front import bring_to_front, is_set_aside, set_aside
from ..layers.image_input import ImageInput
from ..layers.metadata import bayes_metadata, layer_case, layer_phase_cases, layer_source
from ..layers.orientation_letters import PatientLetters
from ..layers.result import SegmentationResult
from ..layers.result_layers import (
    kept_results,
    prepare_labels,
    refresh_result,
)
from ..layers.structure_contours import apply_display, find_contours
from ..layers.viewing import turn_once
from ..reading.key_sheet import add_keys_to_help
from .ensemble_form import EnsembleForm
from .image_form import ImageForm
from .inference_child import InferenceChild
from .job import (
    STOPPED_EARLY,
    SegmentationJob,
)
from .method_form import MethodForm
from .result_actions import REVIEW_DOCK, ResultActions, import_review_dock
from .result_view import ResultView
from .run_form import RunForm

if TYPE_CHECKING:
    from ..cohort.dialog import CohortWindow

STILL_LOOKING = "The ensemble is still being checked. Try again in a moment."
CANNOT_FIND_PHASES = "ED and ES are found from the LV, which this ensemble does not segment."
NO_ENSEMBLE = "No ensemble is chosen. Choose an ensemble first."
NO_USABLE_MEMBER = "{ensemble} has no usable model. See Details for the reasons."
WAITING_FOR_ENSEMBLE = "Waiting for the ensemble"
IMAGE_REMOVED = "The image was removed."
PHASES_BY_VOLUME = "ED is phase {ed}, ES is phase {es} ({source})."
FINISHED_IN = "Finished in {duration}."
UNUSUAL_OPTIONS = "Options under Details that differ from the defaults."
DETAILS, KEPT_DETAILS = "Details", "Segment details"
"""Title of the folded part, and its name in the settings."""


class SegmentWidget(FolderDrop, DockContent):
    """Coordinator of the forms, the inference child and the layers."""

    TITLE = "Segment"

    def __init__(
        self,
        napari_viewer: Any,
        *,
        child: InferenceChild | None = None,
        cohort_command: Sequence[str] = BAYES_NNUNET,
        settings: Settings | None = None,
        demo: Path | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._running: Image | None = None
        self._growing: SegmentationResult | None = None
        self._refusal = ""
        self._is_first = self._is_waiting = self._had_looks = False
        self._started = 0.0
        self.child = child or InferenceChild()
        self.job = SegmentationJob(self.child, parent=self)
        self.cohort = CohortRun(cohort_command)
        self.cohort_window: CohortWindow | None = None
        self._settings = open_settings(settings)
        self.ensemble = EnsembleForm(self._settings, demo=demo)
        self.image = ImageForm(napari_viewer)
        self.method = MethodForm(self._settings)
        self.run = RunForm()
        self.display = DisplayForm(self._settings)
        self.shown = ResultView(napari_viewer, self.image, self.run, self.display, self)
        self.actions = ResultActions(
            napari_viewer,
            self.run,
            self._settings,
            chosen=lambda: self.shown.chosen,
            parent=self,
        )
        self._letters = PatientLetters(napari_viewer)
        self._background = Background(self)
        self._collections = ShortCollections()
        self._lay_out()
        self._connect()
        self.run.set_title(self.image.title)
        self._on_image_changed(self.image.layer)
        self._on_ensemble_changed(None)

    @property
    def result(self) -> SegmentationResult | None:
        """The chosen result of the chosen image."""
        return self.shown.result

    @property
    def is_running(self) -> bool:
        """Whether a segmentation runs, or its last layers are still being shown."""
        return self._running is not None

    def segment(self) -> None:
        """Segment the chosen image with the chosen options, or show what is missing."""
        if self.job.is_running:
            return
        self._stop_waiting()
        self.shown.turns.finish()
        try:
            self.actions.check_nothing_is_written()
            image = self.image.image()
            if self.ensemble.is_looking:
                self._wait_for_ensemble()
                return
            path, folder = self._usable_ensemble()
        except (AppError, DataError) as error:
            self._refusal = in_the_window(error)
            self.run.show_messages(self._refusal)
            return
        if not self.image.is_wanted():
            return
        bring_to_front(self._viewer, *self.image.layers)
        self._running, self._is_first, self._had_looks = self.image.layer, True, False
        self._started = perf_counter()
        self._growing = result = self._result_for(image, path, folder)
        self.run.show_messages()
        self.run.set_running(True)
        self._collections.start()
        self.job.start(image, result)
        self._offer_result()

    def close_child(self) -> None:
        """End the job and the child process; showing the dock starts another."""
        self._stop_waiting()
        if self.job.is_running:
            self.job.forget()
            self.shown.turns.finish()
        self._collections.end()
        self.child.close()

    def _wait_for_ensemble(self) -> None:
        """Segment once the ensemble is found; a choice, a failure or Stop cancels this."""
        self._is_waiting = True
        self.run.show_messages()
        self.run.set_running(True)
        self.run.show_stage(WAITING_FOR_ENSEMBLE)

    def _stop_waiting(self) -> bool:
        """Stop waiting for the ensemble and return True if the dock was waiting."""
        was_waiting, self._is_waiting = self._is_waiting, False
        if was_waiting:
            self.run.set_running(False)
        return was_waiting

    def _usable_ensemble(self) -> tuple[Path, EnsembleFolder]:
        """Return the chosen folder and its content. Raises AppError if it cannot segment yet."""
        folder, path = self.ensemble.folder, self.ensemble.path
        if self.ensemble.is_looking:
            raise AppError(STILL_LOOKING)
        if folder is None or path is None:
            raise AppError(NO_ENSEMBLE)
        if not folder.usable:
            raise AppError(NO_USABLE_MEMBER, ensemble=folder.name)
        return path, folder

    def _result_for(
        self, image: ImageInput, path: Path, folder: EnsembleFolder
    ) -> SegmentationResult:
        """Return the method's result so far if ensemble and settings are the same, or a new one."""
        layer, settings = self.image.layer, self.method.settings
        assert layer is not None
        result = kept_results(layer).get(settings.method)
        if result is None or not result.is_of(image, folder, settings):
            result = SegmentationResult(
                case=layer_case(layer),
                shape=image.shape,
                classes=len(folder.labels),
                structures={name: label for name, label in folder.labels.items() if label},
                folder=path,
                ensemble=folder.name,
                made_by=folder,
                settings=settings,
                source=layer_source(layer),
                geometry=self.image.geometry(),
                spacing=image.spacing,
                channels=image.layers,
                phase_cases=layer_phase_cases(layer),
                image_notes=tuple(map(in_the_window, bayes_metadata(layer).get("notes", ()))),
            )
        result.settings = settings  # equal settings may differ in the device
        if self.image.known_phases is not None:
            result.known_phases = self.image.known_phases
            result.phases_from = self.image.phases_from
        return result

    def _lay_out(self) -> None:
        content = QWidget()
        column = QVBoxLayout(content)
        details = self._lay_out_details()
        for title, form in (
            ("Ensemble", self.ensemble),
            ("Image", self.image),
            ("", self.run),
            ("Picture", self.display),
        ):
            column.addWidget(heading(title) if title else line())
            if form is self.run:
                column.addWidget(self.chosen_options)
            column.addWidget(form)
        # What changes its height is last, so that no control moves.
        last = self.run.maps, details, line(), self.run.outcome
        for part in last:
            column.addWidget(part)
        column.addStretch(1)
        whole = QVBoxLayout(self)
        whole.setContentsMargins(0, 0, 0, 0)
        whole.addWidget(FittingScrollArea(content))
        self.setAcceptDrops(True)

    def _lay_out_details(self) -> CollapsibleSection:
        """Return the section of members and options, which remembers whether it is open."""
        content = QWidget()
        column = QVBoxLayout(content)
        column.setContentsMargins(0, 0, 0, 0)
        for part in (self.ensemble.members, self.method.native):
            column.addWidget(part)
        self.details = CollapsibleSection(DETAILS, content)
        self.chosen_options = MessageLabel(level="warning")
        self.chosen_options.setToolTip(UNUSUAL_OPTIONS)
        if self._settings.kept.open_sections.get(KEPT_DETAILS):
            self.details.expand()
        self.details.toggled.connect(self._on_details_toggled)
        return self.details

    def _connect(self) -> None:
        self.ensemble.ensemble_changed.connect(self._on_ensemble_changed)
        self.ensemble.found.connect(self._on_ensemble_found)
        self.ensemble.failed.connect(self._on_ensemble_failed)
        self.image.image_changed.connect(self._on_image_changed)
        self.image.image_picked.connect(self._on_image_picked)
        self.image.title_changed.connect(self.run.set_title)
        self.run.segment_requested.connect(self.segment)
        self.run.stop_requested.connect(self._on_stop_requested)
        self.run.map_chosen.connect(self.shown.show_map)
        self.run.results.chosen.connect(self._on_result_chosen)
        self.run.results.remove_requested.connect(self._on_result_removed)
        self.method.changed.connect(self._show_options)
        self.method.remote.test_requested.connect(self.job.test)
        self.job.devices_found.connect(self.method.set_devices)
        self.job.connection_tested.connect(self.method.remote.show_test)
        self.job.members_refused.connect(self.ensemble.refuse)
        self.job.stage_started.connect(self.run.show_stage)
        self.job.progressed.connect(self.run.show_progress)
        self.job.noticed.connect(self.run.add_message)
        self.job.phases_found.connect(self._on_phases_found)
        self.job.result_grown.connect(self._on_result_grown)
        self.job.volumes_changed.connect(self.shown.show_numbers)
        self.job.ended.connect(self._on_ended)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        self.display.changed.connect(self.shown.show_display)
        self.run.folder_requested.connect(self._on_folder_requested)
        # They are not Qt children of this widget, so that they still exist when it is destroyed.
        self.destroyed.connect(self.child.close)
        self.destroyed.connect(self.cohort.close)

    def _on_ensemble_changed(self, folder: EnsembleFolder | None) -> None:
        self.run.set_missing("" if self.ensemble.path else NO_ENSEMBLE)
        self.method.set_ensemble(folder)
        self._show_options()
        if folder is None:
            self._stop_waiting()
            return
        self._remove_outdated_refusal()
        self.image.set_channels(folder.channels)
        knows_lv = any(canonical_structure(name) == "LV" for name in folder.labels)
        self.image.set_finds_phases("" if knows_lv else CANNOT_FIND_PHASES)

    def _on_ensemble_found(self, path: Path) -> None:
        self.job.load_ensemble(path, self.method.device_name)
        if self._stop_waiting():
            self.segment()

    def _on_ensemble_failed(self, sentence: str) -> None:
        if self._stop_waiting():
            self.run.show_messages(sentence)

    def _on_stop_requested(self) -> None:
        if self._stop_waiting():
            self.run.show_messages(STOPPED_EARLY)
        self.job.stop()

    def _on_image_changed(self, layer: Image | None) -> None:
        self._stop_waiting()
        self._remove_outdated_refusal()
        self.shown.caption.set_image(layer)
        self._offer_result()
        self.shown.show_numbers()
        if layer is None:
            return
        turn_once(self._viewer, layer)
        self.display.refresh()  # this dock may be behind the one in which it was chosen
        apply_display(self._viewer, layer, self.display.display)
        if is_set_aside(self._viewer, layer):
            bring_to_front(self._viewer, *self.image.layers)
        if not self.job.is_running:
            self.run.show_messages(*self.shown.notes())

    def _on_image_picked(self, layer: Image) -> None:
        """Show the picked image, with the result that a review has hidden, and make it active."""
        bring_to_front(self._viewer, *self.image.layers)
        if self.shown.is_held and self.result is not None:
            self._on_result_chosen(self.result.settings.method)
        self._viewer.layers.selection.active = layer

    def _remove_outdated_refusal(self) -> None:
        """Remove the message about what Segment lacked, because the choice has changed."""
        if self._refusal and self.run.status.text() == self._refusal:
            self.run.show_messages()
        self._refusal = ""

    def _on_phases_found(self, ed: int, es: int) -> None:
        self.run.add_message(PHASES_BY_VOLUME.format(ed=ed, es=es, source=FOUND_BY_VOLUME))

    def _on_result_grown(self, result: SegmentationResult, phase: int | None) -> None:
        layer = self._running
        # A read that a stopped or killed job left behind may be of another image.
        if layer is None or result is not self._growing or layer not in self._viewer.layers:
            return
        if self._is_first:
            self._is_first = False
            self.shown.show_first(layer, result, phase)
        else:
            refresh_result(self._viewer, layer, result)
        is_look = phase in result.phases and result.phases[phase].provisional
        if self._had_looks and not is_look:
            self.shown.show_requested(layer, result, phase)
        self._had_looks = is_look

    def _on_result_chosen(self, method: str) -> None:
        self.shown.choose(method)
        self._show_result()

    def _on_result_removed(self, method: str) -> None:
        layer = self.image.layer
        kept = kept_results(layer) if layer is not None else {}
        if self.job.is_running and kept.get(method) is self._growing:
            self.job.stop()
        self.shown.remove(method)
        self._show_result()

    def _show_result(self) -> None:
        """Show what belongs to the result that was chosen."""
        self._offer_result()
        self.shown.show_numbers()
        if not self.job.is_running:
            self.run.show_messages(*self.shown.notes())

    def _on_details_toggled(self, is_open: bool) -> None:
        self._settings.add("open_sections", {KEPT_DETAILS: is_open})
        self._show_options()

    def _show_options(self) -> None:
        """Show unusual options next to the button, and the message above unfolded details."""
        is_open = self.details.isExpanded()
        self.chosen_options.show_message(self.method.summary)
        self.run.set_outcome_far(is_open)

    def _offer_result(self) -> None:
        """Enable saving and review of the result, unless a job is running."""
        result = None if self.job.is_running else self.result
        self.run.set_result(result.classes if result is not None else None)

    def _on_ended(self, outcome: str, sentence: str) -> None:
        """Show the end of the job when its layers are shown."""
        self.shown.turns.then(partial(self._show_end, outcome, sentence))

    def _show_end(self, outcome: str, sentence: str) -> None:
        self._collections.end()
        self.run.set_running(False)
        self._offer_result()
        running, self._running = self._running, None
        kept = kept_results(running).values() if running is not None else ()
        growing, self._growing = self._growing, None
        result = growing if growing in kept else None
        self.shown.show_numbers()
        is_lost = outcome == STOPPED and result is None
        duration = duration_text(perf_counter() - self._started)
        finished = FINISHED_IN.format(duration=duration) if outcome == FINISHED else sentence
        whose = f"{running.name}: " if running not in (None, self.image.layer) else ""
        self.run.add_message(whose + (STOPPED_EARLY if is_lost else finished))
        if running is not None and result is not None:
            if (contours := find_contours(self._viewer, running)) is not None:
                contours.draw()  # with the posterior of the last phase
            self.run.add_message(self.shown.where_is(running))
        for note in result.notes if outcome == FINISHED and result is not None else ():
            self.run.add_message(note)

    def _on_folder_requested(self) -> None:
        if self.cohort_window is None:
            self.cohort_window = self._make_cohort_window()
        self.cohort_window.show()
        self.cohort_window.raise_()
        self.cohort_window.activateWindow()

    def _make_cohort_window(self) -> CohortWindow:
        from ..cohort.dialog import CohortWindow  # not needed to open the dock

        read = self._read_cohort_settings
        window = CohortWindow(self.cohort, self._settings, read_settings=read, parent=self)
        self.ensemble.ensemble_changed.connect(window.refresh_settings)
        self.method.changed.connect(window.refresh_settings)
        window.progressed.connect(self.run.show_folder_progress)
        window.review_requested.connect(self._on_cohort_review_requested)
        return window

    def _read_cohort_settings(self) -> CohortSettings:
        path, folder = self._usable_ensemble()
        return CohortSettings(folder=path, ensemble=folder.name, settings=self.method.settings)

    def _on_cohort_review_requested(self, results: Path) -> None:
        raise_dock(self._viewer, self, REVIEW_DOCK).list_studies(results)

    def _on_layer_removed(self, event: Any) -> None:
        set_aside(self._viewer, event.value)  # its contours would lie on another image
        if event.value is self._running:
            self.job.stop()
            self.run.show_messages(IMAGE_REMOVED)

    def showEvent(self, event: QShowEvent) -> None:
        """Start the child early, choose the last ensemble, and prepare labels and review."""
        super().showEvent(event)
        self.child.start()
        self.ensemble.choose_last()
        prepare_labels(self._background)
        self._background.run(import_review_dock)

    def _on_dock_closed(self) -> None:
        self.close_child()

    def can_take(self, path: Path) -> bool:
        """Return True if ``path`` is a folder or a file of weights; images are for the viewer."""
        return super().can_take(path) or path.suffix == ".pth"

    def take_dropped(self, path: Path) -> None:
        """Choose the dropped ``path`` as ensemble."""
        self.ensemble.choose(path)

    def _on_docked(self, window: QMainWindow) -> None:
        add_keys_to_help(window)

    def _on_taken_out(self) -> None:
        self.shown.turns.finish()
        self.close_child()
        self.cohort.close()
        if self.cohort_window is not None:
            self.cohort_window.close()
        self._letters.close()
        self.shown.close()
        self.image.close_events()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)
