"""What the *Review* dock shows without scrolling, at the sizes of screens and fonts it is for."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import napari
import pytest
from napari.settings import get_settings
from qtpy.QtCore import QRect
from qtpy.QtWidgets import QApplication, QDockWidget, QWidget

from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.review.window_layout import THUMBNAIL_TITLE

from ...helpers.data.cines import make_cine
from ...helpers.windows.settling import settle

SCREENS = [(1280, 800, 8), (1280, 800, 12), (1600, 1000, 18)]


@pytest.fixture
def sized(window: napari.Viewer) -> Iterator[Any]:
    """Return a function that gives the window a size and napari a font size."""
    appearance, main = get_settings().appearance, window.window._qt_window
    font, size = appearance.font_size, main.size()

    def choose(width: int, height: int, points: int) -> None:
        appearance.font_size = points
        main.resize(width, height)
        QApplication.processEvents()

    yield choose
    appearance.font_size = font
    main.resize(size)


def shown_whole(part: QWidget) -> bool:
    """Return whether no pixel of a widget is outside of the window or below something else."""
    return bool(part.visibleRegion().boundingRect() == QRect(0, 0, part.width(), part.height()))


@pytest.mark.parametrize(("width", "height", "points"), SCREENS)
def test_case_numbers_queue_and_thumbnails_fit_the_screen(
    window_dock: ReviewWidget, sized: Any, tmp_path: Path, qtbot: Any, width, height, points
) -> None:
    dock = window_dock
    main = dock.window()
    sized(width, height, points)
    dock.open(make_cine(tmp_path / "heart"))
    qtbot.waitUntil(lambda: not dock.is_opening)
    settle(qtbot, dock)
    QApplication.processEvents()
    assert (main.width(), main.height()) == (width, height)
    assert dock.title.font().pointSize() >= points
    slice_ = dock.forms.slice
    buttons = [*slice_.buttons.values()]
    for part in (*buttons, dock.title, dock.forms.key_numbers, dock.messages.line):
        assert shown_whole(part), part
    for button in buttons:
        assert button.width() >= button.sizeHint().width()
    (thumbnails,) = main.findChildren(QDockWidget, THUMBNAIL_TITLE)
    assert height > 800 or 60 < thumbnails.height() <= 150
    canvas = dock._viewer.window._qt_viewer.canvas.native
    assert canvas.width() > width / 4
    assert dock.width() < width / 2
