"""The command ``demo``: a real cine, segmented by the built-in ensemble and opened for review."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import tempfile
from contextlib import suppress
from datetime import datetime
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from platformdirs import user_data_path, user_documents_path

from ...app import AppError
from ...app.messages import FINISHED
from ...io.study.study import has_corrections
from ..common.settings import DemoSettings, Settings

if TYPE_CHECKING:
    from ..review.dock import ReviewWidget
    from .save import ResultStudy

WINDOW = (1500, 920)
TITLE_BAR = 40
"""Height of the bar above a window, px; unknown until it is shown."""
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
NO_QT = (
    "napari or a Qt binding is missing ({error}). Install the package with "
    'pip install "napari-bayes-nnunet[all]".'
)
NO_DISPLAY = (
    "There is no display (neither DISPLAY nor WAYLAND_DISPLAY is set). Start it on a desktop, or "
    "on a virtual display with xvfb-run -a (Debian packages xvfb and xauth)."
)
UNREACHABLE_DISPLAY = (
    "The display ({display}) cannot be used. Check it, or start on a virtual display with "
    "xvfb-run -a. Qt reports more with QT_DEBUG_PLUGINS=1."
)
DEMO_STUDY = "demo_study"
GUIDE = (
    "{next} shows the next slice, {accept} accepts the one on screen.\n"
    "{previous_alternative} and {next_alternative} show other answers. Ctrl+Z undoes.\n"
    "Help → Keys lists all keys. Your changes are kept."
)
"""Advice on what to press, with the keys of the actions."""


def run_demo() -> Path | None:
    """Open napari with the sample cine, segment ED and ES, and open the review of the result.

    Returns when the window is closed. A study that the user has worked on is moved into the user's
    data folder and its new place is returned; an untouched one is deleted. Raises AppError if Qt or
    a display is missing; the dock shows what fails later.
    """
    try:
        import napari
        import qtpy.QtWidgets  # noqa: F401
    except ImportError as error:  # qtpy's own errors are ImportErrors too
        raise AppError(NO_QT, error=error) from error
    check_display()
    viewer = napari.Viewer(title="napari: Bayesian nnU-Net")
    study = Path(tempfile.mkdtemp(prefix="bayes-nnunet-demo-")) / DEMO_STUDY
    try:
        demo = _Demo(viewer, study)  # kept in a name, because signals do not keep it
        demo.start()
        napari.run()
    finally:
        kept = keep_work(study)
    return kept


def keep_work(study: Path) -> Path | None:
    """Move a study that the user has worked on from its temporary folder, else delete it.

    Returns where it is now, None if it was deleted. If the study cannot be moved, it stays where it
    is, as do files saved next to it. It becomes the last study only if the user has opened none
    before.
    """
    if not has_corrections(study):
        _delete_with_empty_folder(study)
        return None
    folder = user_data_path("napari-bayes-nnunet", appauthor=False) / "demo"
    # The time tells the studies of several demos apart.
    kept = folder / f"{datetime.now():%Y-%m-%d_%H-%M-%S}"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        shutil.move(study, kept)
    except OSError:
        return study
    _delete_with_empty_folder(study)
    settings = Settings()
    if not settings.kept.last_study:
        settings.keep(last_study=str(kept))
    return kept


def lasting_folder() -> Path:
    """Return the folder to propose for exports, because the study's is temporary."""
    documents = user_documents_path()
    return documents if documents.is_dir() else Path.home()


def _delete_with_empty_folder(study: Path) -> None:
    shutil.rmtree(study, ignore_errors=True)
    with suppress(OSError):  # the user has saved files next to it
        study.parent.rmdir()


def check_display() -> None:
    """Raise AppError on Linux if Qt finds no display; it would abort the process."""
    if not sys.platform.startswith("linux"):
        return
    script = "from qtpy.QtWidgets import QApplication; QApplication([])"
    # In another process, which may abort.
    tried = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, check=False)
    if tried.returncode:
        displays = [f"{name}={os.environ[name]}" for name in DISPLAYS if os.environ.get(name)]
        if not displays:
            raise AppError(NO_DISPLAY)
        raise AppError(UNREACHABLE_DISPLAY, display=displays[0])


def fit_to_screen(width: int, height: int) -> tuple[int, int, int, int]:
    """Return x, y, width and height of a window of at most this size, in the middle of the screen.

    Its title bar is on the screen, too.
    """
    from qtpy.QtGui import QGuiApplication

    screen = QGuiApplication.primaryScreen().availableGeometry()
    width, height = min(width, screen.width()), min(height, screen.height() - TITLE_BAR)
    x, y = (screen.width() - width) // 2, (screen.height() - TITLE_BAR - height) // 2
    return screen.x() + x, screen.y() + y + TITLE_BAR, width, height


class _Demo:
    """The steps from the empty window to the first slice of the queue."""

    def __init__(self, viewer: Any, study: Path) -> None:
        from ..layers.result_layers import add_image
        from ..layers.sample_data import cine
        from .dock import SegmentWidget

        self._viewer = viewer
        self._study = study
        self._viewer.window.set_geometry(*fit_to_screen(*WINDOW))
        for data in cine():
            add_image(self._viewer, data)
        self._dock = SegmentWidget(viewer, settings=DemoSettings())
        self._review: ReviewWidget | None = None

    def start(self) -> None:
        """Show the dock; all further steps happen in napari's event loop."""
        self._viewer.window.add_dock_widget(self._dock, name="Segment", area="right")
        self._dock.ensemble.found.connect(self._on_ensemble_found)
        self._dock.ended.connect(self._on_ended)
        self._dock.ensemble.choose_demo()

    def _on_ensemble_found(self, path: Path) -> None:
        self._dock.ensemble.found.disconnect(self._on_ensemble_found)
        if self._dock.image.layer is not None:  # the window has not been closed
            self._dock.segment()

    def _on_ended(self, outcome: str) -> None:
        if outcome == FINISHED:
            self._write_study()

    def _write_study(self) -> None:
        """Write the study of the first result, then open it."""
        from ..common.background import Background
        from ..layers.metadata import layer_voxels
        from .save import make_result_study

        # What is segmented later is the user's own.
        self._dock.ended.disconnect(self._on_ended)
        layer, result = self._dock.image.layer, self._dock.result
        if layer is None or result is None:  # the user has chosen another image meanwhile
            return
        work = partial(make_result_study, result, self._study, image=layer_voxels(layer))
        Background(self._dock).run(work, self._open_review, self._dock.run.show_messages)

    def _open_review(self, study: ResultStudy) -> None:
        from ..review.dock import ReviewWidget

        self._review = ReviewWidget(
            self._viewer, settings=DemoSettings(), start_folder=lasting_folder()
        )
        self._viewer.window.add_dock_widget(self._review, name="Review", area="right")
        self._review.study_shown.connect(self._on_study_shown)
        self._review.open(study.folder)

    def _on_study_shown(self) -> None:
        from ..layers.keys import KEYS, key_text

        assert self._review is not None
        self._review.study_shown.disconnect(self._on_study_shown)
        keys = {action.replace(" ", "_"): key_text(action) for action in KEYS}
        self._review.show_guide(GUIDE.format(**keys))
