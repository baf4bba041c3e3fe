"""The Segment dock, from the click on *Segment* to the picture, the saved files and the review."""

from __future__ import annotations

import threading
from collections.abc import Callable, Generator, Mapping, Sequence
from dataclasses import dataclass, field
from functools import partial
from importlib import import_module
from pathlib import Path
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final
from weakref import WeakSet

from napari.layers import Image
from qtpy.QtCore import QTimer, Signal
from qtpy.QtGui import QShowEvent
from qtpy.QtWidgets import (
    QFileDialog,
    QMainWindow,
    QMessageBox,
    QPushButton,
    QWidget,
)

from ...app import AppError
from ...app.messages import (
    FAILED,
    FINISHED,
    STOPPED,
    ChildReady,
    EnsembleLoaded,
    FirstLookReady,
    JobEnded,
    LoadEnsemble,
    Message,
    Notice,
    PhaseDone,
    PhasesFound,
    SegmentImage,
    SnapshotReady,
    StageStarted,
    StopJob,
)
from ...app.prediction.output_files import FOUND_BY_VOLUME
from ...app.remote.device import RemoteDevice, is_remote
from ...app.segmentation.recipe import are_of_one_examination
from ...core.command import BAYES_NNUNET
from ...core.counts import phase_names
from ...core.durations import duration_text
from ...core.ensemble.maps import ENTROPY
from ...core.ensemble.stored_posterior import StoredPosterior
from ...core.heart.structures import lacks_lv
from ...io import DataError
from ...io.ensemble.ensemble_folder import EnsembleFolder
from ...io.files.access import UNWRITABLE
from ...io.images.nifti import CardiacPhases
from ...io.study.study import HAS_CORRECTIONS, OTHER_FILES
from ..cohort.command import COHORT_SUBJECT, CohortSettings
from ..common.background import Background, ShortCollections, Turns, single_shot
from ..common.display_form import DisplayForm
from ..common.dock import (
    CollapsibleSection,
    DockContent,
    MessageLabel,
    column_layout,
    heading,
    line,
    raise_dock,
    row_layout,
)
from ..common.folder_drop import FolderDrop
from ..common.process import InferenceChild, JobProcess
from ..common.settings import Display, Settings, existing, open_settings
from ..common.wording import in_the_window
from ..layers.captions import FrontCaption, ResultCaption
from ..layers.front import bring_to_front, is_set_aside, set_aside
from ..layers.image_input import ImageInput
from ..layers.metadata import (
    LONG_AXES,
    bayes_metadata,
    layer_case,
    layer_patient,
    layer_phase_cases,
    layer_source,
    layer_voxels,
)
from ..layers.result import PhaseState, SegmentationResult
from ..layers.result_layers import (
    LabelsWarmUp,
    forget_result,
    keep_result,
    kept_result,
    kept_results,
    refresh_result,
    remove_layers_of,
    result_layers,
    show_map,
    steps_to_put,
)
from ..layers.review_layers import (
    hide_closed_review,
    is_reviewed,
    other_is_reviewed,
    show_hidden_result,
)
from ..layers.structure_contours import apply_display, find_contours, steps_to_show_contours
from ..layers.viewing import current_phase, go_to_phase, turn_once
from ..reading.key_sheet import HidePatientAction, KeysAction, menu_action
from .ensemble_form import EnsembleForm
from .image_form import ImageForm
from .method_form import MethodForm
from .run_form import RunForm
from .save import (
    NOTHING_DONE,
    ResultStudy,
    check_savable,
    default_study_folder,
    folder_of_image,
    make_result_study,
    replaced_files,
    save_result,
    study_folder_in,
)

if TYPE_CHECKING:
    from ..cohort.dialog import CohortWindow

SHARE_STEPS: Final = 1000
"""Parts of a segmentation on the bar."""
STOP_WITHIN_MS = 600
"""A child that has not stopped by then is killed, so that Stop takes less than a second."""
STOPPED_EARLY = "Stopped."
STOPPED_AFTER = "Stopped{phases} after {members}. The result so far is kept."
PROVISIONAL_PHASES = "Provisional, from one network: {phases}."
LEFT_OUT_OF_REVIEW = "Review… leaves out {phases}. Press Segment to finish."
RESULT_KEPT = "The result so far is kept."
CONNECTING = "Connecting to {address}…"
PREPARING = "Preparing the image"
WAITING = "Waiting for the first member"
OF_OTHER_ENSEMBLE = (
    "The earlier result of {phases} was removed, because the ensemble has changed since. Segment "
    "again to replace it."
)
STILL_LOOKING = "The ensemble is still being checked. Try again in a moment."
CANNOT_FIND_PHASES = "ED and ES are found from the LV, which this ensemble does not segment."
NO_ENSEMBLE = "No ensemble is chosen. Choose an ensemble first."
NO_USABLE_MEMBER = "{ensemble} has no usable member. See Details for the reasons."
IMAGE_REMOVED = "The image was removed."
PHASES_BY_VOLUME = "ED is phase {ed}, ES is phase {es} ({source})."
FINISHED_IN = "Finished in {duration}."
UNUSUAL_OPTIONS = "Options under Details that differ from the defaults."
CHOOSE_TO_SEE = "The result of {image} is hidden. Choose {image} to see it."
IN_REVIEW = "A review of {image} hides its result. Close the review, then choose {image} to see it."
PREDICTION_REMOVED = (
    "The layer with the prediction was removed, so the result is not on screen. Segment again to "
    "show it. Save… and Review… still work."
)
FILES_SAVED = "Saved {count} files of the prediction in {folder}."
MAKING_STUDY = "Writing a study to {folder}…"
STILL_WRITING = "The result is still being saved. Segment again when this has ended."
REPLACE_FILES = "Replace these files in {folder}?\n\n{names}"
_ANOTHER_FOLDER: Final = (OTHER_FILES, UNWRITABLE, HAS_CORRECTIONS)
"""Problems of a folder that say to choose another one."""
REVIEW_DOCK = "Review"
ARCHIVE_HELP = "Find a study in an archive (PACS), fetch and open it."
DETAILS, KEPT_DETAILS = "Details", "Segment details"
"""Title of the folded part, and its name in the settings."""


@dataclass(eq=False)
class _Job:
    """A segmentation of the image of ``layer``, with this number of ``phases``, in the child.

    ``shares`` are the finished shares of the phases in the child, ``shown`` the phases with a
    snapshot in the result. ``has_shown`` says whether the result is on screen, ``had_looks``
    whether what arrived last was the first look at a phase.
    """

    number: int
    layer: Image
    image: ImageInput
    result: SegmentationResult
    file: Path
    phases: int
    shares: dict[int | None, float] = field(default_factory=dict)
    shown: list[int | None] = field(default_factory=list)
    is_sent: bool = False
    gives_up: threading.Event = field(default_factory=threading.Event)
    has_shown: bool = False
    had_looks: bool = False
    started: float = field(default_factory=perf_counter)

    def phase(self, sent: int | None) -> int | None:
        """Return the phase of the cine for a phase as the child counts them."""
        return None if sent is None else self.image.sent_phases[sent - 1]


class SegmentWidget(FolderDrop, DockContent):
    """Controller of the dock: choice, segmentation, layers and numbers, files and review.

    Each image keeps its results, one for each method. While an image is reviewed, a new result of
    it is held back until the review is closed.

    One segmentation at a time runs in the inference child. ``ended`` carries its outcome, as in
    `JobEnded`, and a sentence on the failure or the progress made, once all layers are shown.
    """

    TITLE = "Segment"
    READS_IMAGES = True
    ended = Signal(str, str)

    def __init__(
        self,
        napari_viewer: Any,
        *,
        child: InferenceChild | None = None,
        cohort_command: Sequence[str] = BAYES_NNUNET,
        settings: Settings | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._number = 0
        self._job: _Job | None = None
        self._shown_job: _Job | None = None  # until its end is shown
        # They wait for the end of a review; the images keep them.
        self._held: WeakSet[SegmentationResult] = WeakSet()
        self._makes_study = False
        self.child = child or InferenceChild()
        self._patience = single_shot(self, self._on_patience_lost, STOP_WITHIN_MS)
        self.cohort = JobProcess(cohort_command, subject=COHORT_SUBJECT)
        self.cohort_window: CohortWindow | None = None
        self._settings = open_settings(settings)
        self.ensemble = EnsembleForm(self._settings)
        self.image = ImageForm(napari_viewer)
        self.archive_button = QPushButton("Archive…")
        self.archive_button.setToolTip(ARCHIVE_HELP)
        self.method = MethodForm(self._settings)
        self.run = RunForm()
        self.display = DisplayForm(self._settings)
        self.turns = Turns(self)
        self._caption = ResultCaption(napari_viewer)
        self._strip = FrontCaption.shared(napari_viewer)
        self._background = Background(self)
        LabelsWarmUp(self._background)
        self._reader = Background(self)
        self._writer = Background(self)
        self._collections = ShortCollections()
        self._lay_out()
        self._connect()
        self.run.set_title(self.image.title)
        self._on_image_changed(self.image.layer)
        self._on_ensemble_changed(None)

    def _lay_out(self) -> None:
        image, details = heading("Image"), self._lay_out_details()
        self._lay_out_page(
            *(heading("Ensemble"), self.ensemble),
            *(row_layout(None, image, self.archive_button, wide=image), self.image),
            *(line(), self.chosen_options, self.run),
            *(heading("Picture"), self.display),
            # What changes its height is last, so that no control moves.
            *(self.run.maps, details, line(), self.run.outcome),
        )
        self.setAcceptDrops(True)

    def _lay_out_details(self) -> CollapsibleSection:
        """Return the section of members and options, which remembers whether it is open."""
        content = QWidget()
        column_layout(content, self.ensemble.members, self.method.native)
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
        self.image.image_changed.connect(self._on_image_changed)
        self.image.image_picked.connect(self._on_image_picked)
        self.image.title_changed.connect(self.run.set_title)
        self.archive_button.clicked.connect(self._on_archive_clicked)
        self.method.changed.connect(self._show_options)
        self.method.remote.connect_button.clicked.connect(self._on_connect_clicked)
        self.run.segment_button.clicked.connect(self.segment)
        self.run.stop_button.clicked.connect(self.stop)
        self.run.save_button.clicked.connect(self._on_save_clicked)
        self.run.review_button.clicked.connect(self._on_review_clicked)
        self.run.folder_button.clicked.connect(self._on_folder_clicked)
        self.run.map_chosen.connect(self._show_map)
        self.run.results.chosen.connect(self._on_result_chosen)
        self.run.results.remove_requested.connect(self._on_result_removed)
        self.display.changed.connect(self._show_display)
        self.child.message_received.connect(self._on_message)
        self.child.died.connect(self._on_child_died)
        self._viewer.layers.events.removed.connect(self._on_layer_removed)
        # They are not Qt children of this widget, so that they still exist when it is destroyed.
        self.destroyed.connect(self.child.close)
        self.destroyed.connect(self.cohort.close)

    # What is chosen

    @property
    def result(self) -> SegmentationResult | None:
        """The chosen result of the chosen image."""
        layer = self.image.layer
        return kept_result(layer) if layer is not None else None

    @property
    def _shown_result(self) -> SegmentationResult | None:
        """The chosen result unless another image is reviewed: no numbers of two patients."""
        layer = self.image.layer
        is_other = layer is not None and other_is_reviewed(self._viewer, layer)
        return None if is_other else self.result

    @property
    def is_running(self) -> bool:
        """Whether a segmentation runs, or its last layers are still being shown."""
        return self._shown_job is not None

    def _on_ensemble_changed(self, folder: EnsembleFolder | None) -> None:
        self.run.set_missing(self._what_is_missing())
        self.method.set_ensemble(folder)
        self._show_options()
        if folder is not None:
            self.image.set_channels(folder.channels)
            self.image.set_finds_phases(CANNOT_FIND_PHASES if lacks_lv(folder.labels) else "")

    def _what_is_missing(self) -> str:
        """Return why the ensemble cannot segment yet, "" if it can."""
        try:
            self._usable_ensemble()
        except AppError as error:
            return in_the_window(error)
        return ""

    def _on_ensemble_found(self, path: Path) -> None:
        # It is loaded before Segment is pressed, so that the first picture comes earlier.
        self.child.send(LoadEnsemble(folder=str(path), device=self.method.device_name))

    def _on_image_changed(self, layer: Image | None) -> None:
        self._caption.set_image(layer)
        self._show_result()
        if layer is None:
            return
        # Only once, as it resets the camera and would throw a reader out of the heart.
        turn_once(self._viewer, layer)
        self.display.refresh()  # this dock may be behind the one in which it was chosen
        apply_display(self._viewer, layer, self.display.display)
        # Side by side the user compares images, so the others must stay visible.
        is_beside = self._viewer.canvas.grid.enabled or other_is_reviewed(self._viewer, layer)
        if not is_beside or is_set_aside(self._viewer, layer):
            bring_to_front(self._viewer, *self.image.layers)

    def _on_image_picked(self, layer: Image) -> None:
        """Show the picked image, with the result that a review has hidden, and make it active."""
        bring_to_front(self._viewer, *self.image.layers)
        result, layers = self.result, result_layers(self._viewer, layer).values()
        is_hidden = result in self._held or not any(part.visible for part in layers)
        if result is not None and is_hidden and not is_reviewed(self._viewer, layer):
            self._on_result_chosen(result.settings.method)
        self._viewer.layers.selection.active = layer

    def _on_details_toggled(self, is_open: bool) -> None:
        self._settings.add("open_sections", {KEPT_DETAILS: is_open})
        self._show_options()

    def _show_options(self) -> None:
        """Show unusual options next to the button, and the message above unfolded details."""
        self.chosen_options.show_message(self.method.summary)
        self.run.set_outcome_far(self.details.isExpanded())

    def _on_connect_clicked(self) -> None:
        """Let the other computer load the ensemble, unless it is busy with a segmentation."""
        if self.ensemble.path is None:
            self.run.show_messages(NO_ENSEMBLE)
        elif self._job is None:
            device = self.method.device_name
            self.run.show_messages(CONNECTING.format(address=RemoteDevice.parse(device).address))
            self.child.send(LoadEnsemble(folder=str(self.ensemble.path), device=device))

    # From the click to the first picture

    def segment(self) -> None:
        """Segment the chosen image with the chosen options, or show what is missing."""
        if self._job is not None:
            return
        self.turns.finish()
        try:
            if self._writer.is_busy:  # it reads a result that a segmentation would change
                raise AppError(STILL_WRITING)
            image = self.image.image()
            path, folder = self._usable_ensemble()
        except (AppError, DataError) as error:
            self.run.show_messages(in_the_window(error))
            return
        layer = self.image.layer
        if layer is not None and self.image.is_wanted():
            bring_to_front(self._viewer, *self.image.layers)
            self.start(layer, image, self._result_for(layer, image, path, folder))

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
        self, layer: Image, image: ImageInput, path: Path, folder: EnsembleFolder
    ) -> SegmentationResult:
        """Return the method's result so far if ensemble and settings are the same, or a new one."""
        settings = self.method.settings
        result = kept_results(layer).get(settings.method)
        if result is None or not result.is_of(image, folder, settings):
            result = SegmentationResult(
                case=layer_case(layer),
                shape=image.shape,
                classes=folder.classes,
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
                patient=layer_patient(layer),
            )
        result.settings = settings  # equal settings may differ in the device
        if self.image.known_phases is not None:
            result.known_phases = self.image.known_phases
            result.phases_from = self.image.phases_from
        return result

    def start(self, layer: Image, image: ImageInput, result: SegmentationResult) -> None:
        """Segment the ``image`` of a layer into ``result``, with the settings of the result.

        The result keeps everything received until the end.
        """
        self._number += 1
        result.requested = {*(image.phases or ())}
        phases = len(image.phases or ()) or (2 if image.is_cine else 1)
        file = self.child.scratch / f"image-{self._number}.npy"
        job = _Job(self._number, layer, image, result, file, phases)
        self._job = self._shown_job = job
        self.run.show_messages()
        self.run.set_running(True)
        self.run.show_stage(PREPARING)
        # A full garbage collection looks at 400,000 objects of napari and takes 0.2 s.
        self._collections.start()
        write = partial(image.write, file, should_stop=job.gives_up.is_set)
        self._read(job, write, partial(self._on_prepared, job))
        self._offer_result()

    def _read(self, job: _Job, work: Callable[[], Any], on_result: Callable[[Any], None]) -> None:
        """Do work on the large arrays of a job in the thread; an error ends the job."""
        self._reader.run(work, on_result, partial(self._on_failed, job))

    def _on_prepared(self, job: _Job, _: object) -> None:
        if job is not self._job:
            # It was stopped while its image was being written.
            job.file.unlink(missing_ok=True)
            return
        job.is_sent = True
        image, result = job.image, job.result
        finds_phases = image.is_cine and image.phases is None
        chosen = [image.sent_phases.index(phase) + 1 for phase in image.phases or ()]
        request = SegmentImage(
            job=job.number,
            image=str(job.file),
            spacing=image.spacing,
            folder=str(result.folder),
            phases=None if finds_phases else chosen,
            settings=result.settings,
            doubt=image.doubt,
        )
        self.child.send(request)
        self.run.show_stage(WAITING)

    def _on_message(self, message: Message) -> None:
        """Handle a message of the child, and drop late ones of an earlier job."""
        job, number = self._job, getattr(message, "job", 0)
        if number and (job is None or number != job.number):
            # Nobody else would delete its arrays.
            message.delete_files()
        elif job is not None and number:
            self._on_answer(job, message)
        elif isinstance(message, ChildReady):
            self.method.set_devices(message.devices)
        elif isinstance(message, EnsembleLoaded):
            self.ensemble.refuse(message.folder, message.refused)
        elif isinstance(message, StageStarted):
            self.run.show_stage(message.text)
        elif isinstance(message, Notice | JobEnded):  # an end that concerns no segmentation
            self.run.add_message(in_the_window(message.sentence))

    def _on_answer(self, job: _Job, message: Message) -> None:
        """Handle a message on the segmentation that is running."""
        if isinstance(message, PhasesFound):
            self._on_phases_found(job, message.end_diastole, message.end_systole)
        elif isinstance(message, FirstLookReady):
            self._on_first_look(job, message)
        elif isinstance(message, SnapshotReady):
            self._on_snapshot(job, message)
        elif isinstance(message, PhaseDone):
            self._on_phase_done(job, message)
        elif isinstance(message, JobEnded):
            # Through the thread of the arrays, so that the end comes after all that was sent
            # before.
            self._read(job, lambda: message, partial(self._on_all_read, job))

    def _on_phases_found(self, job: _Job, ed: int, es: int) -> None:
        result = job.result
        result.known_phases, result.phases_from = CardiacPhases(ed, es), FOUND_BY_VOLUME
        result.requested = {ed, es}
        text = PHASES_BY_VOLUME.format(ed=ed, es=es, source=FOUND_BY_VOLUME)
        self.run.add_message(self._whose(job.layer) + text)
        self.run.show_stage(WAITING)

    def _on_first_look(self, job: _Job, message: FirstLookReady) -> None:
        phase = job.phase(message.phase)
        finish = partial(self._on_look_read, job, phase, message)
        self._read(job, partial(job.result.read, message, phase), finish)

    def _on_look_read(
        self, job: _Job, phase: int | None, message: FirstLookReady, _: object
    ) -> None:
        job.result.count_look(phase, message.volumes)
        self._show_grown(job, phase)
        self._show_numbers()

    def _on_snapshot(self, job: _Job, message: SnapshotReady) -> None:
        phase, done, total = job.phase(message.phase), message.done, message.total
        job.shares[phase] = done / total
        stage = StageStarted(
            text=f"{'Member' if phase is None else f'Phase {phase}: member'} {done} of {total}",
            done=round(SHARE_STEPS * sum(job.shares.values()) / job.phases),
            total=SHARE_STEPS,
            eta_seconds=message.eta_seconds,
        )
        finish = partial(self._on_snapshot_read, job, phase, message, stage)
        self._read(job, partial(job.result.read, message, phase), finish)

    def _on_snapshot_read(
        self, job: _Job, phase: int | None, message: SnapshotReady, stage: StageStarted, _: object
    ) -> None:
        job.result.count(phase, message.done, message.total)
        if phase not in job.shown:
            job.shown.append(phase)
        self._show_grown(job, phase)
        if job is self._job:
            self.run.show_progress(stage)

    def _show_grown(self, job: _Job, phase: int | None) -> None:
        """Show what has arrived; the first time in steps, between which the window answers."""
        layer, result = job.layer, job.result
        # What a stopped or killed job left to be read is not shown any more.
        if job is not self._shown_job or layer not in self._viewer.layers:
            return
        if job.has_shown:
            refresh_result(self._viewer, layer, result)
        else:
            job.has_shown = True
            self.turns.run(self._steps_to_first(layer, result, phase))
        is_look = phase in result.phases and result.phases[phase].provisional
        if job.had_looks and not is_look:
            self._leave_look(layer, result, phase)
        job.had_looks = is_look

    def _steps_to_first(
        self, layer: Image, result: SegmentationResult, phase: int | None
    ) -> Generator[None, None, None]:
        """Show layers and a segmented phase; if the user has left the image, on return."""
        yield from self._steps_to_put(layer, result)
        yield
        if layer is not self.image.layer or other_is_reviewed(self._viewer, layer):
            set_aside(self._viewer, layer)
        elif not is_reviewed(self._viewer, layer):
            bring_to_front(self._viewer, *self.image.layers)
            if phase is not None and current_phase(self._viewer, layer) not in result.phases:
                go_to_phase(self._viewer, layer, phase)

    def _steps_to_put(
        self, layer: Image, result: SegmentationResult
    ) -> Generator[None, None, None]:
        """Make a result the chosen one of its image, and show it unless a review holds it back."""
        keep_result(layer, result)
        if is_reviewed(self._viewer, layer):
            self._held.add(result)
            return
        self._held.discard(result)
        shown = self.run.shown_map.title
        yield from steps_to_put(self._viewer, layer, result, shown=shown)
        yield
        hide_closed_review(self._viewer, layer)
        if layer in self._viewer.layers:
            display = self.display.display
            yield from steps_to_show_contours(self._viewer, layer, result, display)

    def _leave_look(self, layer: Image, result: SegmentationResult, phase: int | None) -> None:
        """Show a segmented phase in place of one that has only a look and is not to be segmented.

        Nothing changes if the user has left the image, or reviews it.
        """
        if phase is None or layer is not self.image.layer or is_reviewed(self._viewer, layer):
            return
        if current_phase(self._viewer, layer) not in result.requested:
            go_to_phase(self._viewer, layer, phase)

    # The end

    def _on_phase_done(self, job: _Job, message: PhaseDone) -> None:
        """Read the posterior, after the snapshots and before the end of the job."""
        phase = job.phase(message.phase)
        job.shares[phase] = 1
        finish = partial(self._on_posterior_read, job, phase, message.report)
        self._read(job, partial(job.result.read_posterior, message, phase), finish)

    def _on_posterior_read(
        self, job: _Job, phase: int | None, report: dict[str, Any], posterior: StoredPosterior
    ) -> None:
        """Finish a phase, and remove those of earlier jobs if another ensemble made them."""
        job.result.finish(phase, report, posterior)
        self._show_numbers()
        new = {*job.shown, *job.result.provisional}
        earlier = [p for p in job.result.phases if p not in new]
        reports = (job.result.phases[p].report for p in earlier)
        # The folder may have changed since, and the child uses what is there now.
        if not all(known is None or are_of_one_examination(known, report) for known in reports):
            job.result.forget(earlier)
            self._show_grown(job, phase)
            self.run.add_message(OF_OTHER_ENSEMBLE.format(phases=phase_names(earlier)))

    def _on_all_read(self, job: _Job, message: JobEnded) -> None:
        if job is self._job:
            self._end(job, message.outcome, in_the_window(message.sentence))

    def stop(self) -> None:
        """End the segmentation within a second and keep the result so far."""
        job = self._job
        if job is None or job.gives_up.is_set():
            return  # a second press must not grant the child more time
        job.gives_up.set()
        if job.is_sent:
            self.child.send(StopJob(job=job.number))
            self._patience.start()
        else:
            self._end(job, STOPPED, "")

    def _on_patience_lost(self) -> None:
        if (job := self._job) is not None:
            self.child.restart()
            folder, device = str(job.result.folder), job.result.settings.device
            if not is_remote(device):  # which may lack the ensemble, and would get it again
                self.child.send(LoadEnsemble(folder=folder, device=device))
            self._end(job, STOPPED, "")

    def _on_child_died(self, sentence: str) -> None:
        if self._job is not None:
            self._end(self._job, FAILED, sentence)
        else:
            self.run.add_message(sentence)

    def _on_failed(self, job: _Job, sentence: str) -> None:
        if job is not self._job:
            return
        if job.is_sent:
            self.child.send(StopJob(job=job.number))
        else:
            job.file.unlink(missing_ok=True)
        self._end(job, FAILED, sentence)

    def _on_layer_removed(self, event: Any) -> None:
        set_aside(self._viewer, event.value)  # its contours would lie on another image
        # When napari has removed all that it is removing.
        QTimer.singleShot(0, partial(remove_layers_of, self._viewer, event.value))
        if bayes_metadata(event.value).get("role") == "edited":
            self._show_numbers()  # which the review of another image has hidden
        if self._shown_job is not None and event.value is self._shown_job.layer:
            self.stop()
            self.run.show_messages(IMAGE_REMOVED)

    def _end(self, job: _Job, outcome: str, sentence: str) -> None:
        """End the job, and show that when its layers are shown."""
        self._patience.stop()
        self._job = None
        if job.is_sent:  # else it may still be written
            job.file.unlink(missing_ok=True)
        if outcome == STOPPED:
            states = {phase: job.result.phases[phase] for phase in job.shown}
            sentence = stopped_sentence(states, phases=job.phases)
            sentence = f"{sentence} {unfinished_sentence(job.result)}".rstrip()
        if outcome == FAILED and job.shown:
            sentence = f"{sentence} {RESULT_KEPT}"
        self.turns.then(partial(self._show_end, job, outcome, sentence))

    def _show_end(self, job: _Job, outcome: str, sentence: str) -> None:
        self._collections.end()
        self._shown_job = None
        self.run.set_running(False)
        self._offer_result()
        self._show_numbers()
        layer, result = job.layer, job.result
        is_kept = result in kept_results(layer).values()
        shown = sentence
        if outcome == FINISHED:
            shown = FINISHED_IN.format(duration=duration_text(perf_counter() - job.started))
        elif outcome == STOPPED and not is_kept:
            shown = STOPPED_EARLY
        whose = self._whose(layer)
        self.run.add_message(whose + shown)
        if is_kept:
            if (contours := find_contours(self._viewer, layer)) is not None:
                contours.draw()  # with the posterior of the last phase
            self.run.add_message(self._where_is(layer))
        for note in result.notes if outcome == FINISHED and is_kept else ():
            self.run.add_message(whose + note)
        self.ended.emit(outcome, sentence)

    def _whose(self, layer: Image) -> str:
        """Return the beginning of a message on another image than the chosen one."""
        return "" if layer is self.image.layer else f"{layer.name}: "

    def _where_is(self, image: Image) -> str:
        """Return where to find a result that is not on screen, "" if there is no way to it."""
        if image not in self._viewer.layers:
            return ""
        if is_reviewed(self._viewer, image):
            return IN_REVIEW.format(image=image.name)
        if is_set_aside(self._viewer, image):
            return CHOOSE_TO_SEE.format(image=image.name)
        return "" if "prediction" in result_layers(self._viewer, image) else PREDICTION_REMOVED

    # The results of the chosen image

    def _on_result_chosen(self, method: str) -> None:
        layer = self.image.layer
        if layer is not None and (result := kept_results(layer).get(method)) is not None:
            self._put(layer, result)
        self._show_result()

    def _on_result_removed(self, method: str) -> None:
        """Remove the result of a method with its layers, and show the one that remains."""
        layer = self.image.layer
        if layer is None:
            return
        job = self._job
        if job is not None and kept_results(layer).get(method) is job.result:
            self.stop()
        reviewed = is_reviewed(self._viewer, layer)
        forget_result(self._viewer, layer, method, is_reviewed=reviewed)
        if self.result is not None:
            self._put(layer, self.result)
        self._show_result()

    def _put(self, layer: Image, result: SegmentationResult) -> None:
        """Show a result at once, even if a review, or the user, had hidden it before."""
        self.turns.run(self._steps_to_put(layer, result))
        self.turns.finish()
        if result not in self._held:
            show_hidden_result(self._viewer, layer)

    def _show_result(self) -> None:
        """Show what belongs to the chosen result: its numbers, notes and, if stopped, progress."""
        self._offer_result()
        self._show_numbers()
        result = self._shown_result
        if self._job is not None or self.image.layer is None:
            return
        if result is None:
            self.run.show_messages()
            return
        begun = {
            phase: state
            for phase, state in result.phases.items()
            if state.done < state.total and not state.provisional
        }
        stopped = stopped_sentence(begun, phases=len(result.phases)) if begun else ""
        self.run.show_messages(stopped, unfinished_sentence(result), *result.notes)

    def _offer_result(self) -> None:
        """Enable saving and review of the result, unless a job is running."""
        result = None if self._job is not None else self.result
        self.run.set_result(result.classes if result is not None else None)

    def _show_numbers(self) -> None:
        """Show the numbers of all results of the chosen image, and the warnings of its result."""
        layer, chosen = self.image.layer, self._shown_result
        self.run.warnings.show_message("\n".join(chosen.warnings if chosen else ()))
        results = kept_results(layer) if layer is not None and chosen is not None else {}
        numbers = {method: result.numbers() for method, result in results.items()}
        method = chosen.settings.method if chosen else ""
        self.run.results.set_results(numbers, method)
        ed, es = self.image.known_phases or (None, None)
        if method:
            ed, es = numbers[method].ed or ed, numbers[method].es or es
        self._caption.set_landmarks(ed, es)
        self._caption.set_provisional(chosen.provisional if chosen is not None else ())

    def _show_display(self, display: Display) -> None:
        """Show contours, fill and image as chosen."""
        layer, result = self.image.layer, self.result
        if layer is not None:
            has_labels = result is not None and "prediction" in result_layers(self._viewer, layer)
            apply_display(self._viewer, layer, display, result if has_labels else None)

    def _show_map(self) -> None:
        """Show the chosen map, unless a review hides the result."""
        self.turns.finish()
        layer, result = self.image.layer, self.result
        if layer is not None and result is not None and not is_reviewed(self._viewer, layer):
            show_map(self._viewer, layer, result, self.run.shown_map.title)

    # Save…

    def _on_save_clicked(self) -> None:
        result = self.result
        if result is None:
            return
        try:
            check_savable(result)
            folder = self._ask_for_folder(
                f"Save the prediction of {result.case} in", folder_of_image(result)
            )
            if folder is None:
                return
            check_savable(result, folder)
        except AppError as error:
            self.run.show_messages(in_the_window(error))
            return
        names = [file.name for file in replaced_files(result, folder)]
        text = REPLACE_FILES.format(folder=folder, names="\n".join(names))
        yes = QMessageBox.StandardButton.Yes
        if names and QMessageBox.question(self, "Replace files", text) != yes:
            return
        # An image without a file, such as the sample, has no other folder to offer next time.
        self._settings.keep(save_folder=str(folder))
        self.run.show_messages(f"Saving in {folder}…")
        maps = dict.fromkeys([ENTROPY.name, self.run.shown_map.name])
        save = partial(save_result, result, folder, maps=maps)
        self._writer.run(save, self._on_saved, self.run.show_messages)

    def _on_saved(self, files: list[Path]) -> None:
        self.run.show_messages(FILES_SAVED.format(count=len(files), folder=files[0].parent))

    def _ask_for_folder(self, title: str, start: Path | None = None) -> Path | None:
        """Ask for a folder, from ``start`` on, or else from the one that was chosen last."""
        start = start or existing(self._settings.kept.save_folder) or Path.home()
        chosen = QFileDialog.getExistingDirectory(self, title, str(start))
        return Path(chosen) if chosen else None

    # Review…

    def _on_review_clicked(self) -> None:
        layer, result = self.image.layer, self.result
        if layer is None or result is None:
            return
        if not result.posteriors:
            self.run.show_messages(NOTHING_DONE)
        elif (folder := default_study_folder(result)) is not None:
            self._make_study(layer, result, folder)
        else:
            self._make_study_elsewhere(layer, result)

    def _make_study_elsewhere(self, layer: Image, result: SegmentationResult) -> None:
        """Make the study in a folder that the user chooses, as it cannot be next to the image."""
        folder = self._ask_for_folder(f"Folder for the study of {result.case}")
        if folder is not None:
            self._settings.keep(save_folder=str(folder))
            self._make_study(layer, result, study_folder_in(result, folder))

    def _make_study(self, layer: Image, result: SegmentationResult, folder: Path) -> None:
        """Make the study and open it; write it unless its review has begun."""
        if self._makes_study:
            return
        result.long_axes = bayes_metadata(layer).get(LONG_AXES, ())
        self._makes_study = True  # a second press would overwrite the study that is being opened
        self.run.show_messages(MAKING_STUDY.format(folder=folder))
        work = partial(_make_study_or_refuse, result, folder, image=layer_voxels(layer))
        made = partial(self._on_study_made, layer, result)
        self._writer.run(work, made, self._on_no_study_made)

    def _on_study_made(
        self, layer: Image, result: SegmentationResult, study: ResultStudy | DataError
    ) -> None:
        """Open the study, or ask for another folder if this one was refused."""
        self._makes_study = False
        if isinstance(study, DataError):
            self.run.show_messages(in_the_window(study))
            self._make_study_elsewhere(layer, result)
            return
        self.run.show_messages(study.sentence)
        note = "" if study.is_new else study.sentence
        raise_dock(self._viewer, self, REVIEW_DOCK).open(study.folder, note=note)

    def _on_no_study_made(self, sentence: str) -> None:
        self._makes_study = False
        self.run.show_messages(sentence)

    def _on_archive_clicked(self) -> None:
        from ..archive.window import show_archive  # not needed to open the dock

        show_archive(self._viewer)

    # Segment a folder…

    def _on_folder_clicked(self) -> None:
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

    # The dock

    def showEvent(self, event: QShowEvent) -> None:
        """Start the child early, choose the last ensemble, and prepare the review."""
        super().showEvent(event)
        self.child.start()
        self.ensemble.choose_last()
        self._background.run(import_review_dock)

    def can_take(self, path: Path) -> bool:
        """Return True if ``path`` is a folder, weights or a zip file; images are for the viewer."""
        return super().can_take(path) or path.suffix in (".pth", ".zip")

    def take_dropped(self, path: Path) -> None:
        """Choose the dropped ``path`` as ensemble."""
        self.ensemble.choose(path)

    def close_child(self) -> None:
        """End the job and the child process; showing the dock starts another."""
        if (job := self._job) is not None:
            job.gives_up.set()
            self._end(job, STOPPED, "")
            self.turns.finish()
        self._collections.end()
        self.child.close()

    def _on_dock_closed(self) -> None:
        self.close_child()

    def _on_docked(self, window: QMainWindow) -> None:
        menu_action(window, KeysAction)
        hide = menu_action(window, HidePatientAction)
        if hide is not None:
            hide.toggled.connect(self._strip.hide_patient)
            self._strip.hide_patient(hide.isChecked())

    def _on_taken_out(self) -> None:
        self.turns.finish()
        self.close_child()
        self.cohort.close()
        if self.cohort_window is not None:
            self.cohort_window.close()
        self._strip.release()
        self.turns.finish()
        self._caption.close()
        self.image.close_events()
        self._viewer.layers.events.removed.disconnect(self._on_layer_removed)


def import_review_dock() -> None:
    """Import the Review dock, which takes 0.15 s; in a thread, so that it opens quickly."""
    import_module("..review.dock", __package__)


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


def stopped_sentence(states: Mapping[int | None, PhaseState], *, phases: int) -> str:
    """Return a sentence on the shown ``states`` of a job, which had this number of ``phases``."""
    if not states:
        return STOPPED_EARLY
    unfinished = [p for p, state in states.items() if state.done < state.total]
    unfinished = unfinished or list(states)[-1:]
    counts = {states[phase].done for phase in unfinished}
    least = "" if len(counts) == 1 else "at least "
    stopped_in = f" in {phase_names(unfinished)}" if phases > 1 else ""
    members = f"{least}{min(counts)} of {states[unfinished[0]].total} members"
    return STOPPED_AFTER.format(phases=stopped_in, members=members)


def unfinished_sentence(result: SegmentationResult) -> str:
    """Return sentences on the provisional and unfinished phases of a result, "" for none."""
    looks, unfinished = result.provisional, result.unfinished
    provisional = PROVISIONAL_PHASES.format(phases=phase_names(looks)) if looks else ""
    if not unfinished or not result.posteriors:
        return provisional
    return f"{provisional} {LEFT_OUT_OF_REVIEW.format(phases=phase_names(unfinished))}".lstrip()
