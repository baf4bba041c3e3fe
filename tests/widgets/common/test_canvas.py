"""Tests of overlays on the canvas of napari."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
from napari.components import ViewerModel
from napari.components.overlays import TextOverlay
from napari.utils._proxies import PublicOnlyProxy
from vispy.visuals.shaders.program import ModularProgram

from napari_bayes_nnunet.widgets.common.canvas import put_overlay, remove_overlay, unwrap

KEY = "made_here"
SHADE = (0.0, 0.0, 0.0, 0.5)


@pytest.mark.parametrize("given", [ViewerModel, lambda: PublicOnlyProxy(ViewerModel())])
def test_only_the_overlay_that_was_put_is_removed(given: Callable[[], Any], qapp: Any) -> None:
    viewer = given()
    before = {**viewer.canvas.overlays}
    first, second = TextOverlay(), TextOverlay()
    put_overlay(viewer, KEY, first)
    put_overlay(viewer, KEY, second)
    assert unwrap(viewer.canvas.overlays[KEY]) is second
    remove_overlay(viewer, KEY, first)
    assert unwrap(viewer.canvas.overlays[KEY]) is second
    remove_overlay(viewer, KEY, second)
    assert {**viewer.canvas.overlays} == before


def test_new_text_keeps_shaders_of_its_box(make_napari_viewer: Any, monkeypatch: Any) -> None:
    viewer = make_napari_viewer(show=True)
    overlay = TextOverlay(visible=False, box_color=SHADE)
    put_overlay(viewer, KEY, overlay)
    overlay.text, overlay.visible = "Slice 1", True
    before = viewer.screenshot(flash=False)
    linked: list[object] = []
    link = ModularProgram._build
    monkeypatch.setattr(ModularProgram, "_build", lambda self: (linked.append(self), link(self)))
    overlay.text = "Slice 10\nof 12"
    assert (viewer.screenshot(flash=False) != before).any()
    assert not linked
