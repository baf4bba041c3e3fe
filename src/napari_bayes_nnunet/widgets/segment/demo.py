"""The command ``demo``: a real cine, segmented in the dock Segment by the built-in ensemble."""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from collections.abc import Callable, Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from ...app import AppError
from ...app.messages import FINISHED, STOPPED

if TYPE_CHECKING:
    from .dock import SegmentWidget

TIMEOUT_S = 1800
DRAWN_AFTER_MS = 500
"""Qt and the graphics card have drawn the layers by then."""
WINDOW = (1500, 920)
DISPLAYS = ("DISPLAY", "WAYLAND_DISPLAY")
PICTURES = (".png", ".jpg", ".jpeg", ".tif", ".tiff")
WITHOUT_DISPLAY = ("offscreen", "minimal", "vnc", "linuxfb", "eglfs")
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
NO_PICTURE_NAME = "{file} is not the name of a picture. Use one of the endings {endings}."
CANNOT_WRITE_PICTURE = "{file} cannot be written ({reason})."
PICTURE_IS_FOLDER = "{folder} is a folder. Name a file, such as {example}."
TOO_SLOW = "The demo did not finish within {seconds:.0f} seconds."
CLOSED_EARLY = "The window was closed before the picture was taken."


def run_demo(
    screenshot: Path | None = None,
    *,
    make_dock: Callable[[Any], SegmentWidget] | None = None,
    timeout_s: float = TIMEOUT_S,
) -> None:
    """Open napari with the sample cine and segment ED and ES; return when the window is closed.

    With ``screenshot`` it runs unattended: after the last member it writes a picture of the window
    to this file and closes the window. Raises AppError if anything is missing or fails, or if it
    takes longer than ``timeout_s``.
    """
    check_display(os.environ, sys.platform)
    if screenshot is not None:
        check_picture(screenshot)
    try:
        import napari
        import qtpy.QtWidgets  # noqa: F401
    except ImportError as error:  # qtpy's own errors are ImportErrors too
        raise AppError(NO_QT, error=error) from error
    check_reachable(sys.platform)
    viewer = napari.Viewer(title="napari: Bayesian nnU-Net")
    demo = _Demo(viewer, screenshot, make_dock or _dock)
    demo.start(timeout_s)
    if not demo.has_failed:
        napari.run()
    demo.check()


def check_display(environment: Mapping[str, str], platform: str) -> None:
    """Raise AppError on Linux without a display, where Qt would abort the process."""
    chosen = environment.get("QT_QPA_PLATFORM", "").partition(":")[0]
    if not platform.startswith("linux") or chosen in WITHOUT_DISPLAY:
        return
    if not any(environment.get(name) for name in DISPLAYS):
        raise AppError(NO_DISPLAY)


def check_reachable(platform: str) -> None:
    """Raise AppError on Linux if the display does not respond; Qt would abort the process."""
    if not platform.startswith("linux"):
        return
    script = "from qtpy.QtWidgets import QApplication; QApplication([])"
    tried = subprocess.run([sys.executable, "-P", "-c", script], capture_output=True, check=False)
    if tried.returncode:
        display = next((f"{n}={os.environ[n]}" for n in DISPLAYS if os.environ.get(n)), "none set")
        raise AppError(UNREACHABLE_DISPLAY, display=display)


def check_picture(file: Path) -> None:
    """Raise AppError if no picture can be written to ``file``."""
    if file.suffix.lower() not in PICTURES:
        raise AppError(NO_PICTURE_NAME, file=file, endings=", ".join(PICTURES))
    try:
        file.parent.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=file.parent):
            pass
    except OSError as error:
        raise AppError(CANNOT_WRITE_PICTURE, file=file, reason=error.strerror) from error
    if file.is_dir():
        raise AppError(PICTURE_IS_FOLDER, folder=file, example=file / "demo.png")


class _Demo:
    """The steps from the empty window to the picture."""

    def __init__(
        self, viewer: Any, screenshot: Path | None, make_dock: Callable[[Any], SegmentWidget]
    ) -> None:
        self._viewer = viewer
        self._screenshot = screenshot
        self._make_dock = make_dock
        self._dock: SegmentWidget | None = None
        self._failure = ""
        self._is_done = screenshot is None

    def start(self, timeout_s: float) -> None:
        """Open the sample and the dock; all further steps happen in napari's event loop."""
        from qtpy.QtCore import QTimer

        from ..layers.result_layers import add_image
        from ..layers.sample_data import cine

        self._viewer.window.resize(*WINDOW)
        for data in cine():
            add_image(self._viewer, data)
        self._dock = self._make_dock(self._viewer)
        self._viewer.window.add_dock_widget(self._dock, name="Segment", area="right")
        self._dock.ensemble.found.connect(self._on_ensemble_found)
        self._dock.ensemble.failed.connect(self._fail)
        self._dock.job.ended.connect(self._on_ended)
        self._dock.ensemble.choose_demo()
        if self._screenshot is not None:
            sentence = TOO_SLOW.format(seconds=timeout_s)
            QTimer.singleShot(round(timeout_s * 1000), partial(self._fail, sentence))

    @property
    def has_failed(self) -> bool:
        """Whether the demo has ended without a picture, and closed the window."""
        return bool(self._failure)

    def check(self) -> None:
        """Raise AppError if a picture was wanted but not taken."""
        if not self._is_done:
            raise AppError(self._failure or CLOSED_EARLY)

    def _on_ensemble_found(self, path: Path) -> None:
        assert self._dock is not None
        self._dock.ensemble.found.disconnect(self._on_ensemble_found)
        self._dock.segment()
        if not self._dock.job.is_running:
            self._fail(self._dock.run.status.text())

    def _on_ended(self, outcome: str, sentence: str) -> None:
        from qtpy.QtCore import QTimer

        if self._screenshot is None or outcome == STOPPED:  # the user pressed Stop or closed it
            return
        if outcome != FINISHED:
            self._fail(sentence)
            return
        self._zoom()
        QTimer.singleShot(DRAWN_AFTER_MS, self._take_picture)

    def _zoom(self) -> None:
        from ..layers.result_layers import result_layers
        from ..layers.viewing import zoom_to_labels

        assert self._dock is not None
        layer = self._dock.image.layer
        assert layer is not None
        zoom_to_labels(self._viewer, result_layers(self._viewer, layer)["prediction"])

    def _take_picture(self) -> None:
        assert self._screenshot is not None
        try:
            self._viewer.screenshot(str(self._screenshot), canvas_only=False)
        except OSError as error:
            reason = error.strerror or error
            self._fail(CANNOT_WRITE_PICTURE.format(file=self._screenshot, reason=reason))
            return
        self._is_done = True
        self._viewer.close()

    def _fail(self, sentence: str) -> None:
        if self._screenshot is not None and not self._is_done and not self._failure:
            self._failure = sentence
            self._viewer.close()


def _dock(viewer: Any) -> SegmentWidget:
    from .dock import SegmentWidget

    return SegmentWidget(viewer)
