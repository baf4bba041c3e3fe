"""A real window for the tests of the Review dock."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import suppress
from typing import Any

import napari
import pytest
from qtpy.compat import isalive
from qtpy.QtCore import QEvent
from qtpy.QtWidgets import QApplication

from napari_bayes_nnunet.widgets.common.settings import Settings
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget

from ...helpers.windows.own_app import own_app
from ...helpers.windows.settling import settle

NEVER = 1_000_000


@pytest.fixture(scope="module")
def window(qapp: Any) -> Iterator[napari.Viewer]:
    """A real window for all tests of a module, because opening one takes seconds."""
    with own_app():
        viewer = napari.Viewer(show=True)
        viewer.window.resize(1280, 800)
        yield viewer
        with suppress(RuntimeError):  # the last test has closed it
            viewer.close()
        QApplication.sendPostedEvents(None, QEvent.Type.DeferredDelete)
        QApplication.processEvents()
    del viewer
    gc.collect()


@pytest.fixture
def window_dock(window: napari.Viewer, settings: Settings, qtbot: Any) -> Iterator[ReviewWidget]:
    """The dock in a real window, taken out after the test."""
    made = ReviewWidget(window, every_ms=NEVER, settings=settings)
    window.window.add_dock_widget(made, name="Review", area="right")
    yield made
    if isalive(made):
        made.close_study()
        window.window.remove_dock_widget(made)
        made.deleteLater()
        window.layers.clear()
        settle(qtbot)
