"""The Review dock: opens a study, shows its forms and closes it."""

from __future__ import annotations

import math
import re
from collections.abc import Generator, Iterator, Sequence
from functools import partial
from pathlib import Path
from time import monotonic
from typing import Any

from qtpy.compat import isalive
from qtpy.QtCore import QEvent, QObject, Qt, QTimer, Signal
from qtpy.QtGui import QKeyEvent, QResizeEvent, QShowEvent
from qtpy.QtWidgets import (
    QApplication,
    QComboBox,
    QDockWidget,
    QGridLayout,
    QLabel,
    QLayout,
    QMainWindow,
    QPushButton,
    QVBoxLayout,
    QWidget,
)

from ...app.prediction.output_files import dicom_file_names
from ...app.review.accepted_slices import describe_open_slices
from ...app.review.export import export_files
from ...core.counts import format_count
from ...io import DataError
from ...io.dicom.files import may_hold_dicom
from ...io.study.info import is_study
from ...io.study.readings import list_readings
from ..archive.archive_work import ArchiveWork
from ..archive.send import ask_to_send, send_study
from ..common.background import UNEXPECTED_ERROR, Background, ShortCollections, Turns
from ..common.dialogs import ask_to_replace, ask_to_save, choose_folder, choose_image
from ..common.dock import (
    CollapsibleSection,
    DockContent,
    FittingScrollArea,
    WholeLabel,
    column_layout,
    explained,
    line,
    main_window,
    row_layout,
)
from ..common.folder_drop import FolderDrop
from ..common.settings import Settings, existing, open_settings
from ..common.wording import in_the_window
from ..layers.captions import PATIENT_HIDDEN, FrontCaption, shown_parts
from ..layers.front import bring_to_front, hide, is_foreign, is_picture
from ..layers.image_input import is_mask, is_segmentable
from ..layers.keys import is_typing
from ..layers.metadata import bayes_metadata, dicom_path, layer_patient
from ..layers.result_layers import LabelsWarmUp
from ..layers.study_card import alias_key
from ..layers.viewing import KeptFit, fit_view
from ..reading.key_sheet import HIDE_KEY, HidePatientAction, KeysAction, menu_action
from ..reading.picture import LayerRemovedError, OpenedStudy
from .controller import ReviewController
from .forms import ReviewForms
from .messages import NO_STUDY, ReviewMessages
from .open_study import open_study
from .saver import NOT_SAVED
from .study_list import StudyList
from .view import READ_ONLY
from .window_layout import ReadingLayout, ThumbnailDock

REMOVED_WHILE_OPENING = (
    "A layer of the study was removed while the study was being opened. Open the study again."
)
CLOSING_MS = 500
"""Delay after which to check whether a window that was to close is still open."""
DISCARD_S = 30.0
"""Seconds within which closing again discards unsaved changes."""
CLOSE_AGAIN = "The study stays open. Close it again to discard unsaved changes."
LAYER_REMOVED = (
    "The layer with the {layer} was removed, so the study was closed. {saved} Open the study again "
    "to continue."
)
_OPEN_HELP = "Open a study, or list the studies of a folder."
READING_HELP = (
    "Hide napari's layer list and layer controls, so that the image gets more room. Press again to "
    "show them."
)
THUMBNAILS_HELP = "Show all slices of ED and ES at the bottom of the window, or the heat grid here."
BOTH_HELP = (
    "Show the same slice at ED and ES side by side, or a long axis if the study has one. "
    "Corrections are made in the left one."
)
CANVAS_SHARE, OTHER_SHARE = 2, 1
"""Widths of canvas and other phase relative to each other."""
SAID_IN_DICOM = "The descriptions of the DICOM files say how many slices were accepted."
SAVING = "Saving the study in {folder}."
ALL_SAVED, NOTHING_SAVED = "All changes are saved.", "Nothing was saved."
PICTURE_HIDDEN = (
    "{layer} is neither a 3D image nor a cine, so it was hidden. Close the study to look at it."
)
LABELS_HIDDEN = (
    "{layer} is not part of this study, so it was hidden. Corrections go to the edited labels."
)
IMAGE_WAITS = "{image} stays hidden until the study is closed."
MADE_WAY = "The study was closed for {image}. {saved} Open the study again to continue."
REVIEW_SAVED = "The review of {case} is saved."
LEAVING = (Qt.Key.Key_Return, Qt.Key.Key_Enter, Qt.Key.Key_Escape)
HIDE_HELP = f"View → Hide patient ({HIDE_KEY}) hides this, for example in screenshots."
READER_EXISTS = "{name} has a reading of this study. Choose another name, or open that reading."
NOW_READ_BY = "This is the reading of {name}. Ctrl+Z undoes what follows."
CHOOSE_STUDY = "Choose a study or a folder of studies"
CHOOSE_IMAGE = "Choose the image of this study"
CHOOSE_OUTPUT = "Choose a folder for labels, numbers and report"
CHOOSE_DICOM_IMAGES = "Choose the DICOM images of this study"
CHOOSE_DICOM_OUTPUT = "Choose a folder for DICOM SEG and SR"
NO_DICOM_IMAGES = (
    "{folder} does not contain DICOM images. DICOM SEG and SR refer to the images that the study "
    "was made from. Choose their folder."
)
CHOOSE_DATASET = "Choose an nnU-Net dataset"
SENDING, SENT = "Sending to {archive}…", "Sent {files} to {archive}."
STILL_SENDING = "The last study is still being sent. Try again in a moment."


class FormsArea(FittingScrollArea):
    """Scroll area that leaves the keys to the review: PageUp and PageDown show other slices.

    ``resized`` carries the height that is in sight, px.
    """

    resized = Signal(int)

    def resizeEvent(self, event: QResizeEvent) -> None:
        """Emit the new height."""
        super().resizeEvent(event)
        self.resized.emit(self.viewport().height())

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Do nothing, so that the window gets the key."""
        event.ignore()


class ReviewWidget(FolderDrop, DockContent):
    """Dock that opens and closes studies; a `ReviewController` handles the open one.

    Case, save state, numbers, the buttons of the queue and the line of messages never scroll, and
    no message moves them. Dialogs start in ``start_folder``, by default the folder that holds the
    study; the one to open a study starts next to the study opened last. ``study_shown`` is emitted
    when a study is open.
    """

    TITLE = "Review"
    READS_IMAGES = True
    study_shown = Signal()

    def __init__(
        self,
        napari_viewer: Any,
        *,
        settings: Settings | None = None,
        start_folder: Path | None = None,
    ) -> None:
        super().__init__()
        self._viewer = napari_viewer
        self._given_start = start_folder
        self._opened: Path | None = None
        self._sending = ArchiveWork(self)
        self._settings = open_settings(settings)
        self._layout = ReadingLayout()
        self._reads = self._settings.kept.reading_layout
        self._thumbnails = ThumbnailDock(napari_viewer, self._settings, self)
        self.messages = ReviewMessages(napari_viewer, self)
        self._arrived: list[Any] = []  # new or shown layers that may be of another heart
        self._opening: Path | None = None  # the study that is being read or shown
        self._note = ""
        self._background = Background(self)
        self.turns = Turns(self)
        self._collections = ShortCollections()
        LabelsWarmUp(self._background)
        self._dicom_paths: dict[str, str] = {}  # by case
        self._save_failed_at = -math.inf
        self.controller: ReviewController | None = None
        self.studies = StudyList(settings=self._settings)
        self.title = WholeLabel()
        self._hide_patient: HidePatientAction | None = None
        self._strip = FrontCaption.shared(napari_viewer)
        self.open_button = explained(QPushButton("Open…"), _OPEN_HELP)
        self.close_button = explained(QPushButton("Close"), "Save and close the study.")
        self.reading_button = explained(QPushButton("Reading layout"), READING_HELP)
        self.thumbnails_button = explained(QPushButton("Thumbnails"), THUMBNAILS_HELP)
        self.phases_button = explained(QPushButton("ED and ES"), BOTH_HELP)
        self._layout_buttons = self.reading_button, self.thumbnails_button, self.phases_button
        self.image_button = QPushButton("Find image…")
        self._lay_out()
        self._connect()
        self._show_parts(None)
        self._open_shown_study()

    @property
    def forms(self) -> ReviewForms:
        """Forms of the open study."""
        assert self.controller is not None
        return self.controller.forms

    @property
    def is_opening(self) -> bool:
        """Whether a study is being read, or shown part by part."""
        return self._opening is not None

    def open(
        self, folder: Path, *, image: Path | None = None, note: str = "", **whose: Any
    ) -> None:
        """Close the open study, then read a study in a thread and show it with a ``note``.

        ``whose`` are ``named`` and ``reading`` of `open_study`.
        """
        self._close_study(leaves_layout=False)  # otherwise the window would change twice
        if self.controller is not None:
            return
        self._opened = folder
        self.messages.show(f"Opening {folder.name}…")
        self._read(folder, image, note, **whose)

    def show_guide(self, text: str) -> None:
        """Show lines of help above the corrections, until the study is closed."""
        self.forms.guide.show_message(text)

    def list_studies(self, folder: Path) -> None:
        """List the studies of ``folder``, the worst first."""
        self._studies_section.expand()
        self.studies.set_folder(folder)

    def close_study(self) -> None:
        """Save the study and close it.

        If saving fails, the study stays open; closing it again discards unsaved changes.
        """
        self._close_study(leaves_layout=True, may_discard=True)

    def _close_study(self, *, leaves_layout: bool, may_discard: bool = False) -> None:
        was_opening = self.is_opening
        self._cancel_opening()
        if self.controller is None and was_opening and leaves_layout:
            self._restore_window()
            self.messages.show(NO_STUDY)
        elif self.controller is not None and self._is_saved(may_discard=may_discard):
            case = self.controller.session.study.info.case
            saved = [REVIEW_SAVED.format(case=case)] if self.controller.saver.has_saved else []
            self._remove_study("\n".join([*saved, NO_STUDY]), leaves_layout=leaves_layout)

    def _is_saved(self, *, may_discard: bool = True) -> bool:
        """Save now; return whether the study may be closed, and show why not.

        A second time it may be closed without, but only by the reader (``may_discard``).
        """
        assert self.controller is not None
        try:
            self.controller.end_drawing()
            self.controller.corrections.discard_preview()
            self.controller.saver.save_now()
        except DataError as error:
            if may_discard and monotonic() - self._save_failed_at < DISCARD_S:
                return True
            self._save_failed_at = monotonic()
            self.messages.ask(f"{NOT_SAVED.format(reason=in_the_window(error))} {CLOSE_AGAIN}")
            return False
        return True

    def _remove_study(self, message: str, *, leaves_layout: bool = True) -> None:
        if self.controller is None:
            return
        controller, self.controller, self._save_failed_at = self.controller, None, -math.inf
        try:
            controller.close()
        except DataError as error:
            message = NOT_SAVED.format(reason=in_the_window(error))
        finally:
            self._collections.end()
            controller.forms.discard()
            if isalive(controller):
                controller.deleteLater()
        if not isalive(self):  # the window has closed
            return
        self._show_parts(None)
        self._thumbnails.clear()
        if leaves_layout:
            self._restore_window()
        self.messages.end_study(message)
        self.studies.refresh()

    # Opening: a study is read in a thread, then its layers and forms are shown in steps

    def _read(self, folder: Path, image: Path | None, note: str = "", **whose: Any) -> None:
        self._note, self._opening = note, folder
        self._arrived.clear()  # what was there before is hidden without a word
        kept = self._settings.kept
        whose |= {"ranges": kept.normal_ranges, "site": kept.site_profile, "reader": kept.reader}
        self.studies.site.stop_testing()
        work = partial(open_study, folder, image=image, **whose)
        on_read = partial(self._on_read, folder)
        self._background.run(work, on_read, partial(self._on_not_read, folder, image))

    def _cancel_opening(self) -> None:
        """Stop opening, and close a study that is only partly shown."""
        self._opening = None
        self.turns.cancel()

    def _on_read(self, folder: Path, opened: OpenedStudy) -> None:
        if folder != self._opening or self.turns.is_busy:  # it may have been chosen twice
            opened.dismiss()
            return
        self.turns.run(self._steps_to_open(opened))

    def _on_not_read(self, folder: Path, image: Path | None, message: str) -> None:
        if folder != self._opening:
            return
        self._opening = None
        if image is not None:
            self._read(folder, None, message)  # again with the previous image
        self._on_not_opened(message)

    def _steps_to_open(self, opened: OpenedStudy) -> Generator[None, None, None]:
        """Show a study in steps; if they fail, nothing is open."""
        try:
            controller = yield from self._steps_to_controller(opened)
            yield from self._steps_to_show(controller, opened)
            self._collections.start()  # again, for layers and forms
        except LayerRemovedError:
            self._on_not_opened(REMOVED_WHILE_OPENING)
            return
        except DataError as error:  # of another reading of the study
            self._on_not_opened(in_the_window(error))
            return
        except Exception as error:
            self._on_not_opened(UNEXPECTED_ERROR.format(error=error))
            raise
        finally:
            self._opening = None  # only now, so that the new layers do not open another study
        self.studies.site.stop_testing()  # which the list may have begun meanwhile
        self.study_shown.emit()
        QTimer.singleShot(0, self._make_way)  # for what has arrived meanwhile, after these steps

    def _steps_to_controller(self, opened: OpenedStudy) -> Generator[None, None, ReviewController]:
        """Show the layers of a study and fill its forms; close it if the steps end early."""
        self._collections.start()
        forms = ReviewForms(settings=self._settings)
        controller: ReviewController | None = None
        try:
            yield
            controller = ReviewController(self._viewer, opened, forms, self)
            yield from controller.open()
        except BaseException:
            if controller is not None:
                controller.close()
                controller.deleteLater()
            opened.dismiss()
            self._collections.end()
            forms.discard()
            raise
        return controller

    def _steps_to_show(self, controller: ReviewController, opened: OpenedStudy) -> Iterator[None]:
        """Show the filled forms of a study, part by part."""
        self.controller = controller
        self._connect_study(controller)
        self.messages.line.show_message(self._note)
        self._place(controller.forms)
        yield
        self._show_study(controller, opened)
        yield
        if self._reads:
            self._enter_layout()
            yield
        self._show_beside_canvas(controller)
        yield
        self._thumbnails.open(controller.forms.thumbnails)
        yield
        self._zoom_soon()

    def _on_not_opened(self, message: str) -> None:
        """Show the window as it is without a study, and why none is open."""
        self._remove_study(message)  # if its forms were already being shown
        self._restore_window()
        self.messages.show(message)

    def _connect_study(self, controller: ReviewController) -> None:
        self.messages.connect_study(controller)
        # Later, because napari is still removing the layer when it tells so.
        controller.lost.connect(self._on_lost, Qt.ConnectionType.QueuedConnection)
        controller.saver.saved.connect(self._on_saved)
        reader, export = controller.forms.reader, controller.forms.export
        reader.show_reader(controller.session)
        reader.choices.aboutToShow.connect(partial(self._show_readers, controller))
        reader.reader_chosen.connect(partial(self._on_reader_chosen, controller, False))
        reader.reader_renamed.connect(partial(self._on_reader_chosen, controller, True))
        study = controller.session.study.folder
        reader.reading_chosen.connect(lambda reading: self.open(study, reading=reading.path))
        reader.compare_requested.connect(controller.exporter.compare)
        export.study_action.triggered.connect(partial(self._save, controller))
        export.export_action.triggered.connect(partial(self._export, controller))
        export.dicom_action.triggered.connect(partial(self._export_dicom, controller))
        export.send_action.triggered.connect(partial(self._send_to_archive, controller))
        export.training_action.triggered.connect(partial(self._add_to_training_set, controller))

    def _zoom_soon(self) -> None:
        """Zoom in on the heart, once the canvas has its size next to our docks."""
        if self.controller is not None:
            QTimer.singleShot(0, self.controller.picture.zoom_to_heart)

    def _on_saved(self) -> None:
        self._save_failed_at = -math.inf
        if self.controller is not None:
            self.studies.update_study(self.controller.session.study.folder)

    def _show_parts(self, opened: OpenedStudy | None) -> None:
        """Show the parts that belong to an open study, or hide them."""
        buttons = self.close_button, *self._layout_buttons
        for part in (*buttons, self.title, self.messages.line, self._foot):
            part.setVisible(opened is not None)
        self.image_button.setVisible(opened is not None and opened.image is None)

    def _show_study(self, controller: ReviewController, opened: OpenedStudy) -> None:
        self._show_parts(opened)
        self.messages.show_study(opened, read_only=controller.saver.read_only)
        case, folder = opened.session.study.info.case, opened.session.study.folder
        self._settings.keep(last_study=str(folder))
        self._dicom_images(case)  # known even if the layer is removed
        self._show_patient()
        is_alone = controller.view.other_place is None
        self.phases_button.setEnabled(not is_alone or bool(opened.session.study.long_axes))

    def _show_beside_canvas(self, controller: ReviewController) -> None:
        """Show tools and second view; next to napari's docks they might widen the window."""
        window = main_window(self)
        if window is not None:
            beside = window.centralWidget().layout()
            beside.insertWidget(0, controller.forms.corrections.tools)
            beside.addWidget(controller.forms.second, OTHER_SHARE)
            beside.setStretch(1, CANVAS_SHARE)
        self._show_phases(self._settings.kept.both_phases)

    def _show_patient(self) -> None:
        """Show whose study is open, or that this is hidden."""
        is_hidden = self._hide_patient is not None and self._hide_patient.isChecked()
        self._strip.hide_patient(is_hidden)
        self.studies.hide_patient(is_hidden)
        if self.controller is None:
            return
        study = self.controller.session.study
        case, patient = study.info.case, layer_patient(self.controller.picture.image)
        key = alias_key(case, study.folder)
        alias = self._settings.kept.study_aliases.get(key, "")
        whose = PATIENT_HIDDEN if is_hidden else re.sub(r"\.nii(\.gz)?", "", patient.identity)
        self.title.show_text(f"{alias} ({whose})" if alias and not is_hidden else whose)
        about = f"{patient.title}\n{case}\n{study.folder}\n{HIDE_HELP}"
        self.title.setToolTip(HIDE_HELP if is_hidden else about)
        self._thumbnails.show_patient(" · ".join(shown_parts(patient, is_hidden)))

    def _enter_layout(self) -> None:
        self._layout.enter(main_window(self))
        self.reading_button.setChecked(self._layout.is_on)

    def _restore_window(self) -> None:
        """Show the window as it is without a study."""
        self._leave_layout()
        self._thumbnails.close()

    def _leave_layout(self) -> None:
        """Show the window as it was; the reader's choice stays for the next study."""
        self._layout.leave()
        self.reading_button.setChecked(False)

    def _return_to_layout(self) -> None:
        """Enter the layout again if napari, or the user when asked, refused to close the window."""
        if QApplication.activeModalWidget() is not None:  # the user is being asked
            QTimer.singleShot(CLOSING_MS, self._return_to_layout)
            return
        is_open = self.controller is not None and self.window().isVisible()
        if is_open and self._reads:
            self._enter_layout()

    def _on_phases_clicked(self, is_on: bool) -> None:
        self._settings.keep(both_phases=is_on)
        self._show_phases(is_on)
        self._zoom_soon()

    def _show_phases(self, are_shown: bool) -> None:
        """Show the second view, if the study has both of ED and ES, or a long axis."""
        self.phases_button.setChecked(are_shown)
        self.forms.second.setVisible(are_shown and self.phases_button.isEnabled())
        if self.controller is not None:
            self.controller.show_long_axis()

    def _on_reading_clicked(self, is_on: bool) -> None:
        if is_on:
            self._enter_layout()
        else:
            self._leave_layout()
        self._reads = is_on
        self._settings.keep(reading_layout=is_on)
        self._area.verticalScrollBar().setValue(0)  # back to the tools
        self._zoom_soon()

    def _open_shown_study(self) -> None:
        """Open a study that was dropped on the window before the dock existed."""
        for layer in self._viewer.layers:
            self._open_study_of(layer)

    def _on_inserted(self, event: Any) -> None:
        """Open the study of a new layer, or close the study for another image."""
        if self.controller is None:
            self._open_study_of(event.value)
        event.value.events.visible.connect(self._on_visible)
        self._receive(event.value)

    def _on_visible(self, event: Any) -> None:
        """Treat a layer that is shown as a new one."""
        if event.source.visible:
            self._receive(event.source)

    def _receive(self, layer: Any) -> None:
        """Hide a layer of another heart before it is seen, then make way for it."""
        self._arrived.append(layer)
        image = self.controller.picture.image if self.controller is not None else None
        if image is not None and is_foreign(layer, image):
            hide(layer, image)
        QTimer.singleShot(0, self._make_way)  # after napari has added it

    def _make_way(self) -> None:
        """Make way for the layers that have arrived, once no study is being opened."""
        if not self.is_opening:
            arrived, self._arrived = self._arrived, []
            for layer in arrived:
                self._make_way_for(layer)

    def _make_way_for(self, layer: Any) -> None:
        """Open another study, or close this one for another image.

        A picture, which cannot be segmented, labels and results of another study stay hidden.
        """
        if self.controller is None or self.is_opening or layer not in self._viewer.layers:
            return
        picture = self.controller.picture
        if "study" in bayes_metadata(layer):
            self._open_study_of(layer)
        elif not is_foreign(layer, picture.image):
            return
        elif is_segmentable(layer):
            self._leave_for(layer)
        else:
            hide(layer, picture.image)
            picture.select_edited()  # to which brush and keys belong
            is_photo = is_picture(layer) and not is_mask(layer)
            hidden = PICTURE_HIDDEN if is_photo else LABELS_HIDDEN
            self.messages.ask(hidden.format(layer=layer.name))

    def _leave_for(self, image: Any) -> None:
        """Close the study, then show the image; if it cannot be saved, the image stays hidden."""
        assert self.controller is not None
        saved = NOTHING_SAVED if self.controller.saver.read_only else ALL_SAVED
        hide(image)
        self._close_study(leaves_layout=True)
        if self.controller is not None:
            self.controller.picture.come_to_front()
            waits = IMAGE_WAITS.format(image=image.name)
            self.messages.ask(f"{self.messages.line.message} {waits}")
        else:
            bring_to_front(self._viewer, image)
            self._fitted = KeptFit(self._viewer, image, partial(fit_view, self._viewer, image))
            self._fitted.fit()
            self.messages.ask(MADE_WAY.format(image=image.name, saved=saved))

    def _open_study_of(self, layer: Any) -> None:
        folder, controller = bayes_metadata(layer).get("study"), self.controller
        is_open = controller is not None and controller.session.study.folder == Path(folder or "")
        if folder and not is_open and not self.is_opening and is_study(Path(folder)):
            self.open(Path(folder))

    def _lay_out(self) -> None:
        content = QWidget()
        self._studies_section = CollapsibleSection("Studies of a folder", self.studies)
        self._forms_area = QVBoxLayout()
        layouts = row_layout(None, *self._layout_buttons)
        below = layouts, self._studies_section, self.messages.hint, None
        column = column_layout(content, self.image_button, self._forms_area, *below)
        column.setContentsMargins(8, 0, 8, 4)
        self._head, self._foot = QWidget(), QWidget()
        self._head_area = self._lay_out_head()
        self._foot_area = column_layout(self._foot, line())
        self._foot_area.setContentsMargins(8, 0, 8, 4)
        self._area = FormsArea(content)
        parts = self._head, self._area, self._foot, self.messages.line
        layout = column_layout(self, *parts)
        layout.setSpacing(0)
        layout.setStretchFactor(self._area, 1)
        self.setAcceptDrops(True)

    def _lay_out_head(self) -> QLayout:
        """Lay out case, save state and buttons; return where the numbers are placed."""
        case = QGridLayout()
        case.setVerticalSpacing(0)
        case.setColumnStretch(0, 1)
        case.addWidget(self.title, 0, 0, 2, 1)
        for column, button in enumerate((self.open_button, self.close_button), start=1):
            case.addWidget(button, 0, column)
        case.addWidget(QLabel(" "), 1, 1)  # the height of the state of saving, which may be empty
        case.addWidget(self.messages.saved, 1, 1, 1, 2, Qt.AlignmentFlag.AlignRight)
        column = column_layout(self._head, case)
        column.setContentsMargins(8, 4, 8, 4)
        return column

    def _place(self, forms: ReviewForms) -> None:
        """Place the forms of a study at the top, in the middle and at the bottom."""
        self._head_area.addWidget(forms.key_numbers)
        self._forms_area.addWidget(forms)
        self._area.resized.connect(forms.set_room)
        forms.set_room(self._area.viewport().height())
        self._foot_area.addWidget(forms.foot)
        self._thumbnails.shown_changed.connect(forms.show_thumbnails)
        forms.show_thumbnails(self._thumbnails.is_shown)
        forms.carried.shown_changed.connect(partial(self._thumbnails.cover, forms.carried))
        self._thumbnails.strip_closed.connect(forms.carried.drop_requested)

    def _connect(self) -> None:
        self.open_button.clicked.connect(self._on_open_clicked)
        self.close_button.clicked.connect(self.close_study)
        for button in self._layout_buttons:
            button.setCheckable(True)
        self.reading_button.clicked.connect(self._on_reading_clicked)
        self.phases_button.clicked.connect(self._on_phases_clicked)
        self.thumbnails_button.clicked.connect(self._thumbnails.set_shown)
        self._thumbnails.shown_changed.connect(self.thumbnails_button.setChecked)
        self.image_button.clicked.connect(self._on_image_clicked)
        self.studies.study_chosen.connect(self.open)
        self._viewer.layers.events.inserted.connect(self._on_inserted)
        for layer in self._viewer.layers:
            layer.events.visible.connect(self._on_visible)

    def _save(self, controller: ReviewController, _: bool) -> None:
        """Save the study without waiting, and say how many slices are open."""
        controller.end_drawing()
        controller.saver.save()
        saving = READ_ONLY if controller.saver.read_only else SAVING
        saving = saving.format(folder=controller.session.study.folder)
        doubt = describe_open_slices(controller.session)
        controller.forms.export.show_message(f"{doubt} {saving}".strip())

    def _export(self, controller: ReviewController, _: bool) -> None:
        """Ask where to write labels, numbers and report, and write them."""
        chosen = self._choose_output(CHOOSE_OUTPUT)
        if chosen and self._may_write(export_files(controller.session, Path(chosen))):
            controller.exporter.export_to(Path(chosen))

    def _export_dicom(self, controller: ReviewController, _: bool) -> None:
        """Ask where to write DICOM SEG and SR, and write them."""
        controller.end_drawing()  # which may withdraw an acceptance
        images = self._find_dicom_images(controller)
        if images is None:
            return
        doubt = describe_open_slices(controller.session, controller.session.phases)
        if doubt and not ask_to_save(self, f"{doubt} {SAID_IN_DICOM}"):
            return
        chosen = self._choose_output(CHOOSE_DICOM_OUTPUT)
        names = self._dicom_names(controller)
        if chosen and self._may_write([Path(chosen) / name for name in names]):
            controller.exporter.export_dicom_to(Path(chosen), images=images)

    def _send_to_archive(self, controller: ReviewController, _: bool) -> None:
        """Ask which archive gets DICOM SEG and SR, and send them."""
        controller.end_drawing()
        if self._sending.is_running:
            self.messages.ask(STILL_SENDING)
            return
        images = self._find_dicom_images(controller)
        if images is None:
            return
        session = controller.session
        doubt = describe_open_slices(session, session.phases)
        is_hidden = self._hide_patient is not None and self._hide_patient.isChecked()
        patient = PATIENT_HIDDEN if is_hidden else session.study.patient.identity
        *names, _table = self._dicom_names(controller)
        known = ask_to_send(self, patient, names, doubt, self._settings)
        if known is None:
            return
        self.messages.show(SENDING.format(archive=known.name))
        contours = controller.forms.export.dicom_contours.isChecked()
        steps = partial(send_study, session.snapshot(), images, contours=contours)
        self._sending.talk(known, steps, partial(self._on_sent, known.name), self.messages.ask)

    def _on_sent(self, archive: str, count: int) -> None:
        self.messages.show(SENT.format(files=format_count(count, "file"), archive=archive))

    def _find_dicom_images(self, controller: ReviewController) -> Path | None:
        """Return the folder of the study's DICOM images, or ask for it; None without one."""
        case = controller.session.study.info.case
        images = self._dicom_images(case) or self._choose_folder(CHOOSE_DICOM_IMAGES)
        if images and not may_hold_dicom(Path(images)):
            controller.forms.export.show_message(NO_DICOM_IMAGES.format(folder=images))
            return None
        return Path(images) if images else None

    def _dicom_names(self, controller: ReviewController) -> list[str]:
        """Return the names of the DICOM files of the study, and last that of the CSV table."""
        info, form = controller.session.study.info, controller.forms.export
        contours = form.dicom_contours.isChecked()
        labels, drawn, *reports = dicom_file_names(info.case, info.phases, contours=contours)
        return [*labels, *drawn, *reports]

    def _add_to_training_set(self, controller: ReviewController, _: bool) -> None:
        """Ask for a dataset and add the study to its training cases."""
        chosen = self._choose_folder(CHOOSE_DATASET)
        if chosen:
            controller.exporter.add_to_training_set(Path(chosen))

    def _dicom_images(self, case: str) -> str:
        """Return the folder of the DICOM images of a case that were open in this window, or ""."""
        path = dicom_path(self._viewer.layers, case)
        if path:
            self._dicom_paths[case] = path
        known = self._dicom_paths.get(case, "")
        return known if known and Path(known).exists() else ""

    def _choose_output(self, title: str) -> str:
        """Return the folder to write to, "" for none; the folder chosen last is offered."""
        chosen = self._choose_folder(title, str(existing(self._settings.kept.save_folder) or ""))
        if chosen:
            self._settings.keep(save_folder=chosen)
        return chosen

    def _may_write(self, files: Sequence[Path]) -> bool:
        """Return whether no file exists, or the reader agrees to replace the files."""
        names = [file.name for file in files if file.exists()]
        return not names or ask_to_replace(self, names)

    @property
    def _start_folder(self) -> str:
        """The given folder, or the one next to the study open now or last; "" if unknown."""
        study = self._settings.kept.last_study
        if self.controller is not None:
            study = str(self.controller.session.study.folder)
        return str(self._given_start or (Path(study).parent if study else ""))

    def _choose_folder(self, title: str, start: str = "") -> str:
        return choose_folder(self, title, start or self._start_folder)

    def _on_open_clicked(self) -> None:
        opened = self._opened  # else a closed study in a temporary folder could not be found
        start = self._start_folder if opened is None else str(opened.parent)
        chosen = choose_folder(self, CHOOSE_STUDY, start)
        if chosen:
            self.take_dropped(Path(chosen))

    def _show_readers(self, controller: ReviewController) -> None:
        """Offer the readings of the study, also those that another window has kept since."""
        session = controller.session
        try:
            controller.forms.reader.show_choices(session, list_readings(session.study.folder))
        except DataError as error:
            self.messages.ask(in_the_window(error))

    def _on_reader_chosen(self, controller: ReviewController, named: bool, name: str) -> None:
        """Open the reading of a reader, or give this name to the reader of the one on screen."""
        folder = controller.session.study.folder
        taken = {reading.review.reader for reading in list_readings(folder)}
        if named and controller.session.state.reader and name in taken:
            self.messages.ask(READER_EXISTS.format(name=name))
            return
        self._settings.keep(reader=name)
        self.open(folder, named=named, note=NOW_READ_BY.format(name=name))

    def _on_image_clicked(self) -> None:
        assert self.controller is not None
        folder = self.controller.session.study.folder
        chosen = choose_image(self, CHOOSE_IMAGE, self._start_folder)
        if chosen:
            self.open(folder, image=Path(chosen))

    def _on_lost(self, layer: str) -> None:
        """Close the study after the user has removed a layer and napari has updated its list."""
        if self.controller is not None and self._is_saved(may_discard=False):
            self._cancel_opening()  # which may still be showing the forms
            saved = NOTHING_SAVED if self.controller.saver.read_only else ALL_SAVED
            removed = LAYER_REMOVED.format(layer=layer, saved=saved)
            # napari also removes the layers of a window that it closes, which then has no docks.
            self._remove_study(removed, leaves_layout=self.window().isVisible())

    def take_dropped(self, path: Path) -> None:
        """Open a dropped or chosen study, or list the studies of a folder."""
        if is_study(path):
            self.open(path)
        else:
            self.list_studies(path)

    def keyPressEvent(self, event: QKeyEvent) -> None:
        """Leave a field at Return, Enter and Escape, so that letters are keys again."""
        field = QApplication.focusWidget()
        if event.key() in LEAVING and (is_typing() or isinstance(field, QComboBox)):
            field.clearFocus()
        else:
            super().keyPressEvent(event)

    def showEvent(self, event: QShowEvent) -> None:
        """Watch the window of the dock, so that the study is saved before it closes."""
        super().showEvent(event)
        if self.window() is not self:
            self.window().installEventFilter(self)

    def eventFilter(self, watched: QObject, event: QEvent) -> bool:
        """Save when the window or the dock closes; refuse once if saving fails."""
        if event.type() == QEvent.Type.Close:
            self.turns.finish()  # a study that is half open cannot be closed with the window
            if self.controller is not None and not self._is_saved():
                event.ignore()
                return True
            if self._layout.is_on:
                self._leave_layout()  # napari saves the layout of its window when it closes
                QTimer.singleShot(CLOSING_MS, self._return_to_layout)
            if isinstance(watched, QDockWidget):
                self.close_study()
        return bool(super().eventFilter(watched, event))

    def _on_docked(self, window: QMainWindow) -> None:
        menu_action(window, KeysAction)
        self._hide_patient = menu_action(window, HidePatientAction)
        if self._hide_patient is not None:
            self._hide_patient.toggled.connect(self._show_patient)
            self._show_patient()

    def _on_taken_out(self) -> None:
        """Save and release the viewer; return to the window once if saving fails.

        The cross of napari's title bar sends no Close event that could be refused.
        """
        if self.controller is not None and not self._is_saved():
            QTimer.singleShot(0, self._put_back)  # after napari has removed the dock
            return
        self._cancel_opening()
        self._remove_study(NO_STUDY)
        self.messages.notice.close()
        self._strip.release()
        self._viewer.layers.events.inserted.disconnect(self._on_inserted)
        for layer in self._viewer.layers:
            layer.events.visible.disconnect(self._on_visible)

    def _put_back(self) -> None:
        self._viewer.window.add_dock_widget(self, name=self.dock_name)
        self.raise_dock()
