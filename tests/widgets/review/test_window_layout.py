"""Dock with the thumbnails of the open study."""

from __future__ import annotations

from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.QtCore import Qt
from qtpy.QtWidgets import QApplication, QDockWidget

from napari_bayes_nnunet.widgets.review import dock as review_dock
from napari_bayes_nnunet.widgets.review.dock import ReviewWidget
from napari_bayes_nnunet.widgets.review.window_layout import THUMBNAIL_TITLE

from ...helpers.data.cines import ED, ES, SHAPE, WORST, make_cine
from ...helpers.windows.reviewing import open_in, press
from ...helpers.windows.settling import settle


def thumbnail_docks(dock: ReviewWidget) -> list[QDockWidget]:
    QApplication.processEvents()
    docks = dock._viewer.window._qt_window.findChildren(QDockWidget)
    return [part for part in docks if part.objectName() == THUMBNAIL_TITLE and part.isVisible()]


def click(dock: ReviewWidget, phase: int | None, z: int, qtbot: Any) -> None:
    strip = dock.forms.thumbnails
    view, point = strip.viewport(), strip.cell_rect(phase, z).center()
    qtbot.mouseClick(view, Qt.MouseButton.LeftButton, pos=view.mapFrom(strip, point))


def toggle_thumbnails(dock: ReviewWidget, qtbot: Any) -> None:
    qtbot.mouseClick(dock.thumbnails_button, Qt.MouseButton.LeftButton)


def test_mouse_and_keys_in_thumbnails_change_the_slice(opened_dock, qtbot) -> None:
    dock, strip = opened_dock, opened_dock.forms.thumbnails
    place = dock.controller.picture.place
    qtbot.waitUntil(lambda: not strip.is_drawing)
    before = {key: pixmap.toImage() for key, pixmap in strip._pixmaps.items()}
    assert len(before) == 2 * SHAPE[0]

    def changed() -> list[Any]:
        settle(qtbot, dock, dock.controller)
        return [key for key, pixmap in strip._pixmaps.items() if pixmap.toImage() != before[key]]

    press(dock._viewer, "D")
    assert changed() == [place]
    assert strip.slice_model.reading(*place).endswith("edited")
    dock.controller.corrections.undo()
    assert changed() == []
    click(dock, ES, 1, qtbot)
    assert dock.controller.picture.place == (ES, 1)
    strip.setFocus()
    qtbot.keyClick(strip, Qt.Key.Key_Up)
    assert dock.controller.picture.place == (ED, 1)
    qtbot.keyClick(strip, Qt.Key.Key_T)  # a key of the review
    settle(qtbot, dock.controller)
    assert strip.current == dock.controller.picture.place == (ES, 1)
    qtbot.keyClick(strip, Qt.Key.Key_K)
    settle(qtbot, dock, dock.controller)
    assert strip.slice_model.reading(ES, 1).endswith("flagged")
    qtbot.keyClick(strip, Qt.Key.Key_A)
    settle(qtbot, dock, dock.controller)
    assert strip.slice_model.reading(ES, 1).endswith("accepted")
    assert strip.current == dock.controller.picture.place != (ES, 1)


def test_thumbnails_fit_the_layout_and_can_be_closed(opened_dock, qtbot) -> None:
    dock, settings, camera = opened_dock, opened_dock._settings, opened_dock._viewer.scene.camera
    (shown,) = thumbnail_docks(dock)
    window = dock._viewer.window._qt_window
    assert window.dockWidgetArea(shown) == Qt.DockWidgetArea.BottomDockWidgetArea
    assert shown.height() <= 150
    assert dock.forms.thumbnails.phases == (ED, ES)
    assert dock.forms.thumbnails.current == WORST == dock.controller.picture.place
    zoom = camera.zoom
    dock.controller.picture.zoom_to_heart()
    assert camera.zoom == pytest.approx(zoom, rel=0.05)  # zoomed with the thumbnails in place
    height = dock.forms.thumbnails.height()
    assert dock.forms.thumbnails.fitting_height(height) == height
    window.resizeDocks([shown], [190], Qt.Orientation.Vertical)
    QApplication.processEvents()
    height = shown.height()
    for _ in range(2):
        qtbot.mouseClick(dock.reading_button, Qt.MouseButton.LeftButton)
        assert thumbnail_docks(dock) == [shown]
        assert shown.height() == height
    bottom = Qt.DockWidgetArea.BottomDockWidgetArea
    for button in ("hide_button", "close_button"):
        assert window.corner(Qt.Corner.BottomRightCorner) != bottom
        (shown,) = thumbnail_docks(dock)
        assert dock.thumbnails_button.isChecked()
        assert dock.forms.grid.isHidden()
        qtbot.mouseClick(getattr(shown.titleBarWidget(), button), Qt.MouseButton.LeftButton)
        qtbot.waitUntil(lambda: not dock.thumbnails_button.isChecked())
        assert thumbnail_docks(dock) == []
        assert not dock.forms.grid.isHidden()
        assert not settings.kept.thumbnails
        assert window.corner(Qt.Corner.BottomRightCorner) == bottom
        toggle_thumbnails(dock, qtbot)
        assert len(thumbnail_docks(dock)) == 1
        assert settings.kept.thumbnails
        assert dock.forms.thumbnails.current == dock.controller.picture.place
        click(dock, ED, 0, qtbot)
        assert dock.controller.picture.place == (ED, 0)


def test_thumbnails_of_the_next_study(opened_dock, shared_study, qtbot, monkeypatch) -> None:
    dock, window = opened_dock, opened_dock._viewer.window._qt_window
    (shown,) = thumbnail_docks(dock)
    window.resizeDocks([shown], [210], Qt.Orientation.Vertical)
    dock.open(shared_study)  # the dock stays, with other thumbnails
    assert thumbnail_docks(dock) == [shown]
    qtbot.waitUntil(lambda: not dock.is_opening)
    assert thumbnail_docks(dock) == [shown]
    assert shown.widget().widget() is dock.forms.thumbnails
    height, corner = shown.height(), window.corner(Qt.Corner.BottomRightCorner)
    dock.close_study()
    assert thumbnail_docks(dock) == []
    assert THUMBNAIL_TITLE not in dock._viewer.window.dock_widgets
    assert window.corner(Qt.Corner.BottomRightCorner) != corner
    dock._settings.keep(thumbnails=False)  # closed here or in another window
    open_in(dock, shared_study, qtbot)
    assert thumbnail_docks(dock) == []
    assert not dock.thumbnails_button.isChecked()
    assert not dock.forms.grid.isHidden()
    toggle_thumbnails(dock, qtbot)
    assert [part.height() for part in thumbnail_docks(dock)] == [height]
    assert dock.forms.grid.isHidden()
    dock.open(shared_study / "missing")
    qtbot.waitUntil(lambda: not dock.is_opening)
    assert thumbnail_docks(dock) == []

    def broken(*_: object, **__: object) -> None:
        raise RuntimeError("No controller.")

    with monkeypatch.context() as patch, qtbot.captureExceptions() as raised:
        patch.setattr(review_dock, "ReviewController", broken)
        dock.open(shared_study)
        qtbot.waitUntil(lambda: not dock.is_opening)
    assert [kind for kind, _, _ in raised] == [RuntimeError]
    assert thumbnail_docks(dock) == []


# Without a window


def test_without_a_window_the_heat_grid_is_shown(folder, settings, qtbot) -> None:
    dock = ReviewWidget(ViewerModel(), settings=settings)
    qtbot.addWidget(dock)
    dock.open(folder)
    qtbot.waitUntil(lambda: not dock.is_opening)
    assert not dock.forms.grid.isHidden()
    dock.thumbnails_button.click()
    assert not dock.thumbnails_button.isChecked()
    dock.close_study()


def test_the_heat_grid_shows_more_than_two_phases(make_review, tmp_path) -> None:
    review = make_review(make_cine(tmp_path / "heart", phases=(1, 2, 3), ed=ED, es=ES))
    forms = review.forms
    forms.show_thumbnails(True)
    assert forms.grid.isHidden()
    forms.queue.phases_switch.click()
    assert not forms.grid.isHidden()
    assert forms.thumbnails.phases == (ED, ES)
    forms.queue.phases_switch.click()
    assert forms.grid.isHidden()


def test_phases_without_ed_and_es_have_no_thumbnails(make_review, tmp_path) -> None:
    names = {"A": 1, "B": 2, "C": 3}
    folder = make_cine(tmp_path / "heart", phases=(1, 2, 3), structures=names)
    review = make_review(folder)
    review.forms.show_thumbnails(True)
    assert review.forms.thumbnails.phases == ()
    assert not review.forms.grid.isHidden()


def test_a_volume_has_one_row_of_thumbnails(make_review) -> None:
    review = make_review(phases=(None,))
    assert review.forms.thumbnails.phases == (None,)
    review.controller.picture.show_slice((None, 2))
    assert review.forms.thumbnails.current == (None, 2)
    review.forms.thumbnails.cell_chosen.emit(None, 1)
    assert review.controller.picture.place == (None, 1)


def test_thumbnails_turn_with_the_slice(review) -> None:
    strip = review.forms.thumbnails
    wide = strip._aspect
    order = review.viewer.dims.order
    review.viewer.dims.order = (*order[:-2], order[-1], order[-2])
    assert strip._aspect == pytest.approx(1 / wide)
