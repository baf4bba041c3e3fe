"""Opening of a study in the Review dock: read in a thread, then shown in steps."""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterator
from functools import partial
from pathlib import Path
from typing import Any, Final, TypeAlias

from qtpy.QtCore import QObject, QTimer, Signal

from ..common.background import UNEXPECTED_ERROR, Background
from ..common.settings import Settings
from ..common.window_thread import ShortCollections, Turns
from ..layers.result_layers import prepare_labels
from ..reading.picture import LayerRemovedError, OpenedStudy
from .controller import ReviewController
from .forms import ReviewForms
from .open_study import open_study

WARM_UP_AFTER_MS: Final = 1000
"""Delay of slow imports, so that the dock opens first."""
REMOVED_WHILE_OPENING: Final = (
    "A layer of the study was removed while the study was being opened. Open the study again."
)
ShowStudy: TypeAlias = Callable[[ReviewController, OpenedStudy], Iterator[None]]


class StudyOpener(QObject):
    """Opener of one study at a time, which can be cancelled.

    When the layers are shown and the forms are filled, the steps of ``show`` follow, and then
    ``opened`` is emitted. ``failed`` carries the reason if nothing is opened, or if the study is
    opened again without the chosen image; ``image_error`` is then this reason.
    """

    opened = Signal()
    failed = Signal(str)

    def __init__(
        self, viewer: Any, settings: Settings, show: ShowStudy, *, every_ms: int, parent: QObject
    ) -> None:
        super().__init__(parent)
        self._viewer = viewer
        self._settings = settings
        self._show = show
        self._every_ms = every_ms
        self._folder: Path | None = None
        self.image_error = ""
        self._background = Background(self)
        self.turns = Turns(self)
        self._collections = ShortCollections()
        self._warm_up = QTimer(self)
        self._warm_up.setSingleShot(True)
        self._warm_up.timeout.connect(partial(prepare_labels, self._background))
        self._warm_up.start(WARM_UP_AFTER_MS)

    @property
    def is_busy(self) -> bool:
        """Whether a study is being read, or shown part by part."""
        return self._folder is not None

    def open(self, folder: Path, *, image: Path | None = None) -> None:
        """Read a study in a thread, with ``image`` if its own cannot be found, and show it."""
        self.image_error = ""
        self._folder = folder
        work = partial(open_study, folder, image=image)
        on_read = partial(self._on_read, folder)
        self._background.run(work, on_read, partial(self._on_not_read, folder, image))

    def cancel(self) -> None:
        """Stop opening, and close a study that is only partly shown."""
        self._folder = None
        self.turns.cancel()

    def discard(self, controller: ReviewController) -> None:
        """Close a study and delete its forms. Raises DataError if saving fails."""
        try:
            controller.close()
        finally:
            self._collections.end()
            controller.forms.discard()
            controller.deleteLater()

    def _on_read(self, folder: Path, opened: OpenedStudy) -> None:
        if folder != self._folder or self.turns.is_busy:  # it may have been chosen twice
            opened.dismiss()
            return
        self.turns.run(self._steps(opened))

    def _on_not_read(self, folder: Path, image: Path | None, message: str) -> None:
        if folder != self._folder:
            return
        self._folder = None
        if image is not None:
            self.open(folder)  # again with the previous image
            self.image_error = message
        self.failed.emit(message)

    def _steps(self, opened: OpenedStudy) -> Generator[None, None, None]:
        """Show a study in steps; if they fail, nothing is open."""
        try:
            controller = yield from self._steps_to_controller(opened)
            yield from self._show(controller, opened)
            self._collections.start()  # again, for layers and forms
        except LayerRemovedError:
            self.failed.emit(REMOVED_WHILE_OPENING)
            return
        except Exception as error:
            self.failed.emit(UNEXPECTED_ERROR.format(error=error))
            raise
        finally:
            self._folder = None  # only now, so that the new layers do not open another study
        self.opened.emit()

    def _steps_to_controller(self, opened: OpenedStudy) -> Generator[None, None, ReviewController]:
        """Show the layers of a study and fill its forms; close it if the steps end early."""
        self._collections.start()
        forms = ReviewForms(settings=self._settings)
        controller: ReviewController | None = None
        try:
            yield
            controller = ReviewController(
                self._viewer, opened, forms, every_ms=self._every_ms, parent=self
            )
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
