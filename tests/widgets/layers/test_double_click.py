"""Tests of double clicks."""

from __future__ import annotations

from types import SimpleNamespace

from napari.components import ViewerModel

from napari_bayes_nnunet.widgets.layers.double_click import DoubleClick


def double_click(viewer: ViewerModel, button: int) -> None:
    event = SimpleNamespace(button=button, modifiers=(), position=(3.0, 4.0))
    for callback in viewer.mouse_double_click_callbacks:
        callback(viewer, event)


def test_a_handled_double_click_keeps_the_camera() -> None:
    viewer = ViewerModel()
    before = list(viewer.mouse_double_click_callbacks)
    taken = DoubleClick(viewer, lambda event: event.button == 2)
    camera = viewer.scene.camera
    zoom, centre = camera.zoom, camera.center
    double_click(viewer, 2)
    assert (camera.zoom, camera.center) == (zoom, centre)
    double_click(viewer, 1)
    assert camera.zoom == 2 * zoom
    taken.close()
    assert viewer.mouse_double_click_callbacks == before
