"""The Review dock while a study is being opened, step by step."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from napari.components import ViewerModel
from qtpy.compat import isalive
from qtpy.QtWidgets import QDockWidget

from napari_bayes_nnunet.core.ensemble.maps import MUTUAL_INFORMATION
from napari_bayes_nnunet.io.study.study import open_study_lock
from napari_bayes_nnunet.widgets.common.background import UNEXPECTED_ERROR
from napari_bayes_nnunet.widgets.layers.captions import CAPTION_KEY
from napari_bayes_nnunet.widgets.layers.metadata import bayes_metadata
from napari_bayes_nnunet.widgets.review.dock import REMOVED_WHILE_OPENING, ReviewWidget
from napari_bayes_nnunet.widgets.review.messages import NO_STUDY
from napari_bayes_nnunet.widgets.review.view import ReviewView
from napari_bayes_nnunet.widgets.review.window_layout import ThumbnailDock

from ...helpers.data.cines import make_cine
from ...helpers.windows.settling import settle

BY_HAND_MS = 10**6


@pytest.fixture
def make_dock(qtbot: Any, settings: Any) -> Iterator[Callable[[Any], ReviewWidget]]:
    """Return a function that makes a dock whose steps are done by `step`, after the first."""
    made: list[ReviewWidget] = []

    def make(viewer: Any) -> ReviewWidget:
        dock = ReviewWidget(viewer, settings=settings)
        dock.turns._timer.setInterval(BY_HAND_MS)
        made.append(dock)
        if isinstance(viewer, ViewerModel) and not hasattr(viewer, "window"):
            qtbot.addWidget(dock)
        else:
            viewer.window.add_dock_widget(dock, name="Review", area="right")
        return dock

    yield make
    for dock in made:
        if isalive(dock):
            dock.close_study()
    settle(qtbot)


@pytest.fixture
def dock(make_dock: Callable[[Any], ReviewWidget]) -> ReviewWidget:
    return make_dock(ViewerModel())


def begin(dock: ReviewWidget, folder: Path, qtbot: Any) -> None:
    """Open a study as far as the first step."""
    dock.open(folder)
    qtbot.waitUntil(dock.turns._timer.isActive)


def step(dock: ReviewWidget, count: int = 1) -> None:
    for _ in range(count):
        dock.turns._on_turn()


def edited(dock: ReviewWidget) -> list[Any]:
    return [layer for layer in dock._viewer.layers if bayes_metadata(layer).get("role") == "edited"]


def has_keys(dock: ReviewWidget) -> bool:
    owners = (dock._viewer, *dock._viewer.layers)
    return any(str(key) == "A" for owner in owners for key in owner.keymap)


def is_free(folder: Path) -> bool:
    """Return whether no window has locked a study."""
    open_study_lock(folder).release()
    return True


def test_nothing_can_be_edited_until_the_study_is_open(dock, folder, qtbot) -> None:
    begin(dock, folder, qtbot)
    while dock.controller is None:
        assert not has_keys(dock)
        assert not any(layer.editable for layer in edited(dock))
        assert not dock._foot.isVisibleTo(dock)
        step(dock)
    assert has_keys(dock)
    assert [layer.editable for layer in edited(dock)] == [True]
    dock.controller.accept()
    assert dock.controller.session.state.decisions
    while dock.is_opening:
        step(dock)
    assert dock._foot.isVisibleTo(dock)


def test_closing_after_any_step_leaves_no_study(dock, folder, qtbot) -> None:
    for steps in (0, 1, 2, 5, 8, 11, 14, 17, 20):
        begin(dock, folder, qtbot)
        step(dock, steps)
        assert dock.is_opening, steps
        dock.close_study()
        assert (dock.controller, dock.is_opening, dock.turns.is_busy) == (None, False, False)
        assert not has_keys(dock), steps
        assert not any(layer.editable for layer in edited(dock)), steps
        assert CAPTION_KEY not in dock._viewer.canvas.overlays, steps
        assert dock.messages.hint.text() == NO_STUDY
        assert is_free(folder)
    begin(dock, folder, qtbot)  # and it can be opened again
    dock.turns.finish()
    assert dock.controller is not None
    assert len(edited(dock)) == 1


def test_map_that_was_chosen_last_is_shown(dock, folder, settings, qtbot) -> None:
    settings.keep(uncertainty_view="MUTUAL_INFORMATION")
    begin(dock, folder, qtbot)
    dock.turns.finish()
    shown = [bayes_metadata(layer)["role"] for layer in dock._viewer.layers if layer.visible]
    assert MUTUAL_INFORMATION.title in shown
    assert dock.controller.outlines.title == MUTUAL_INFORMATION.view


@pytest.mark.parametrize("role", ["image", "edited"])
def test_a_layer_removed_during_opening_ends_it(dock, folder, role, qtbot) -> None:
    for steps in (3, 9, 13):
        begin(dock, folder, qtbot)
        step(dock, steps)
        layers = dock._viewer.layers
        removed = [x for x in layers if bayes_metadata(x).get("role", "image") == role]
        for layer in removed:
            layers.remove(layer)
        dock.turns.finish()
        if removed:
            qtbot.waitUntil(lambda: dock.controller is None)
            assert not dock.is_opening, steps
            assert not has_keys(dock), steps
            assert is_free(folder)


def test_a_layer_removed_while_forms_appear_closes_the_study(dock, folder, qtbot) -> None:
    begin(dock, folder, qtbot)
    while dock.controller is None:
        step(dock)
    for layer in edited(dock):
        dock._viewer.layers.remove(layer)
    qtbot.waitUntil(lambda: dock.controller is None)
    message = dock.messages.hint.text()
    step(dock)
    assert (dock.is_opening, dock.turns.is_busy) == (False, False)
    assert dock.messages.hint.text() == message != NO_STUDY
    assert is_free(folder)


def test_a_removed_image_is_reported(dock, folder, qtbot) -> None:
    begin(dock, folder, qtbot)
    step(dock, 3)
    dock._viewer.layers.clear()
    step(dock)
    assert dock.messages.hint.text() == REMOVED_WHILE_OPENING


def test_an_error_during_opening_leaves_no_study(dock, folder, monkeypatch, qtbot) -> None:
    def failing(self: ReviewView) -> None:
        raise RuntimeError

    monkeypatch.setattr(ReviewView, "show_numbers", failing)
    begin(dock, folder, qtbot)
    with pytest.raises(RuntimeError):
        dock.turns.finish()
    assert (dock.controller, dock.is_opening) == (None, False)
    assert not has_keys(dock)
    assert dock.messages.hint.text() == UNEXPECTED_ERROR.format(error=RuntimeError())
    assert is_free(folder)


def test_an_unexpected_error_while_forms_appear_is_said(dock, folder, monkeypatch, qtbot) -> None:
    def failing(self: ThumbnailDock, thumbnails: object) -> None:
        raise RuntimeError

    monkeypatch.setattr(ThumbnailDock, "open", failing)
    begin(dock, folder, qtbot)
    with pytest.raises(RuntimeError):
        dock.turns.finish()
    assert dock.messages.hint.text() == UNEXPECTED_ERROR.format(error=RuntimeError())
    assert (dock.controller, dock.is_opening) == (None, False)
    assert is_free(folder)


def test_another_study_can_be_opened_meanwhile(dock, folder, tmp_path, qtbot) -> None:
    other = make_cine(tmp_path / "other", case="other")
    begin(dock, folder, qtbot)
    step(dock, 10)
    begin(dock, other, qtbot)
    dock.turns.finish()
    assert "other" in dock.title.text()
    assert is_free(folder)


def test_a_study_chosen_twice_is_shown_once(dock, folder, qtbot) -> None:
    dock.open(folder)
    dock.open(folder)
    qtbot.waitUntil(lambda: not dock._background.is_busy)
    dock.turns.finish()
    assert len(edited(dock)) == 1
    assert not dock.controller.saver.read_only
    dock.close_study()
    assert not has_keys(dock)
    assert is_free(folder)


# In a real window


def test_closing_during_opening_gives_the_layout_back(window, make_dock, folder, qtbot) -> None:
    dock = make_dock(window)
    qtbot.waitUntil(dock.isVisible)

    def shown() -> set[str]:
        docks = dock.window().findChildren(QDockWidget)
        return {part.objectName() for part in docks if part.isVisible()}

    before = shown()
    for steps in (2, 20):
        begin(dock, folder, qtbot)
        step(dock, steps)
        assert dock.is_opening
        dock.close_study()
        settle(qtbot, dock)
        assert shown() == before
    begin(dock, folder, qtbot)
    step(dock, 6)
    window.close()
    settle(qtbot)
    assert is_free(folder)  # nothing is opened later
