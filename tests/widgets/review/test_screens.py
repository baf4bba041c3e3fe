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

from napari_bayes_nnunet.io.study.study import read_study, save_work
from napari_bayes_nnunet.widgets.reading.queue_table import FEWEST_ROWS
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.review.forms import NUMBERS
from napari_bayes_nnunet.widgets.review.window_layout import THUMBNAIL_TITLE

from ...helpers.data.cines import ES, LV, make_cine
from ...helpers.windows.settling import settle

SCREENS = [(1280, 800, 9), (1280, 800, 14), (1600, 1000, 18)]
LARGEST_FONT = 14
"""Up to this size, the tools fit the screen as well."""


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


def with_finding(folder: Path) -> Path:
    """Write a study in whose first slice the LV is missing between two others."""
    study = read_study(make_cine(folder))
    study.edited[ES - 1, 1][study.edited[ES - 1, 1] == LV] = 0
    save_work(folder, study.edited, study.info.geometry, study.review)
    return folder


@pytest.mark.parametrize(("width", "height", "points"), SCREENS)
def test_what_a_reader_needs_fits_the_screen(
    window_dock: ReviewWidget, sized: Any, tmp_path: Path, qtbot: Any, width, height, points
) -> None:
    dock = window_dock
    main = dock.window()
    sized(width, height, points)
    dock.open(with_finding(tmp_path / "heart"))
    qtbot.waitUntil(lambda: not dock.is_opening)
    settle(qtbot, dock)
    QApplication.processEvents()
    assert (main.width(), main.height()) == (width, height)
    assert dock.title.font().pointSize() >= points
    slice_ = dock.forms.slice
    buttons = [*slice_.buttons.values(), dock.forms.export]
    fixed = dock.title, dock.forms.key_numbers, dock.forms.finding, dock.forms.progress
    scrolled = dock.forms.table, dock.forms.corrections
    tools = scrolled if points <= LARGEST_FONT else ()
    for part in (*buttons, *fixed, *tools, dock.messages.line):
        assert shown_whole(part), part
    rows = dock.forms.table.table
    assert rows.viewport().height() >= FEWEST_ROWS * rows.rowHeight(0)
    assert dock.forms.progress.slices.width() >= dock.forms.progress.slices.sizeHint().width()
    for is_asked in (False, True):
        slice_.ask(is_asked)
        for button in buttons:
            assert button.width() >= button.sizeHint().width(), button.text()
    (thumbnails,) = main.findChildren(QDockWidget, THUMBNAIL_TITLE)
    assert height > 800 or 60 < thumbnails.height() <= 150
    canvas = dock._viewer.window._qt_viewer.canvas.native
    assert canvas.width() > 0.24 * width
    assert dock.width() < width / 2
    if points == SCREENS[0][2]:  # the dock gives back the width that a section took
        before, numbers = dock.width(), dock.forms.sections[NUMBERS]
        numbers.toggleButton().click()
        qtbot.waitUntil(lambda: dock.width() > before)
        numbers.toggleButton().click()
        qtbot.waitUntil(lambda: dock.width() == before)
